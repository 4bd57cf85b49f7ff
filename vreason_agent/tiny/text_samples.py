"""Text-only samples: rows whose one lesson is which objects a question asks about.

In a clip that decision is made two or three times among hundreds of tokens, and it was never learned from clips alone;
a text sample makes it at every object, in batches of many short rows. The objects are drawn without a scene, each in
the same cell, so that nothing but the match is left to predict. Knows no picture and no torch model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer

from vreason_agent.tiny.batches import TokenRow, prompt_text, rope_positions, token_id
from vreason_agent.tiny.questions import (
    ABSENT_KINDS,
    ANSWERS,
    EVERY_OBJECT,
    NOT_SHOWN,
    NUM_OPTIONS,
    Question,
    ask,
    name_words,
    tallies,
)
from vreason_agent.tiny.scene import View

CELL = "C"
TYPICAL_LENGTH = 75  # tokens
TOPIC_SHARES = (0.15, 0.45, 0.2, 0.2)  # of `ABSENT_KINDS`: a color is hardest to match
REPEAT_WEIGHT = 0.3  # of an object that was seen before: its line can be copied
SHOWN_SHARE = 0.75  # of the questions ask about an object that is there
OPEN_SHARE = 0.4
PER_LINE = (0, 1, 1, 2, 2, 3)  # objects in a line, each as likely


def text_sample_row(tokenizer: Tokenizer, rng: np.random.Generator, *, max_lines: int) -> TokenRow:
    """A question and a transcript of up to `max_lines` lines; only what follows the word asked about is a target."""
    names = [EVERY_OBJECT[i] for i in rng.permutation(len(EVERY_OBJECT))[: rng.integers(2, 7)]]
    question = _question(rng, names)
    parts = [(f"{prompt_text((), question.text)}<think>", 0.0)]
    frames = _frames(rng, names, num_lines=int(rng.integers(1, max_lines + 1)))
    parts += _transcript(question, frames, rng)
    encoded = [(list(tokenizer.encode(text).ids), weight) for text, weight in parts]
    ids = [token for tokens, _ in encoded for token in tokens]
    weights = [weight for tokens, weight in encoded for _ in tokens]
    return TokenRow(ids, rope_positions(ids, token_id(tokenizer, "<|video_pad|>")), weights, slice(0, 0))


def _question(rng: np.random.Generator, names: list[str]) -> Question:
    """A question about the first of `names` or about any object.

    Half the time `names` loses the other objects that share its word; always if that is a color, since the number then
    comes before the word that tells them apart.
    """
    topic = str(rng.choice(ABSENT_KINDS, p=TOPIC_SHARES))
    about = names[0] if rng.random() < SHOWN_SHARE else str(rng.choice(EVERY_OBJECT))
    color, shape = about.split()
    asked = {"color": shape, "shape": color}.get(topic, about)
    if topic == "shape" or rng.random() < 0.5:
        names[:] = [name for name in names if name == about or asked not in name.split()]
    answer = NOT_SHOWN if rng.random() < 1 / (NUM_OPTIONS + 1) else str(rng.choice(ANSWERS[topic]))
    is_open = bool(rng.random() < OPEN_SHARE)
    return ask(rng, topic, {"asked": asked}, answer, position=int(rng.integers(NUM_OPTIONS)), is_open=is_open)


def _frames(rng: np.random.Generator, names: Sequence[str], *, num_lines: int) -> list[tuple[View, ...]]:
    views = [View(color, shape, CELL) for color, shape in (name.split() for name in names)]
    return [tuple(views[i] for i in rng.permutation(len(views))[: rng.choice(PER_LINE)]) for _ in range(num_lines)]


def _transcript(
    question: Question, frames: Sequence[tuple[View, ...]], rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """Pieces of text with their weights as targets; pieces are whole tokens."""
    asked_at = 1 if question.topic == "shape" else 2  # words of a name up to the one asked about
    tenths, seen = 0, set[str]()
    for views, numbers in zip(frames, tallies(question, frames), strict=True):
        tenths += int(rng.integers(1, 30))
        yield f"{tenths / 10:.1f}", 0.0
        for view in views:
            weight = REPEAT_WEIGHT if view.name in seen else 1.0
            seen.add(view.name)
            words = [*name_words(question, view, numbers.get(view.name)), view.cell]
            for i, word in enumerate(words):
                yield f" {word}", weight if i == asked_at else 0.0
        yield "\n" if views else " -\n", 0.0
