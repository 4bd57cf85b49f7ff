"""Claims about text samples: every object is followed by its number exactly where the question asks about it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from vreason_agent.tiny.curriculum import Plan, make_batch
from vreason_agent.tiny.scene import COLORS, SHAPES
from vreason_agent.tiny.text_samples import CELL, REPEAT_WEIGHT, text_sample_row
from vreason_agent.tiny.train import fresh_tokenizer

OBJECT = re.compile(
    rf" (?P<color>{'|'.join(COLORS)})(?P<early> \d)? (?P<shape>{'|'.join(SHAPES)})(?P<late> \d)? {CELL}"
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A fresh tokenizer."""
    return fresh_tokenizer()


def text_samples(tokenizer: PreTrainedTokenizerFast, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        str(tokenizer.decode(text_sample_row(tokenizer.backend_tokenizer, rng, max_lines=8).ids)) for _ in range(count)
    ]


def asked_words(text: str) -> set[str]:
    """Colors and shapes that the question itself names, its options left out."""
    question = text.split("\n")[1].split("?")[0]
    return {word for word in question.split() if word in COLORS or word in SHAPES}


def test_an_object_is_numbered_when_first_seen_if_it_has_every_word_asked_about(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    num_asked = num_others = 0
    for text in text_samples(tokenizer, 200):
        words, seen = asked_words(text), set[tuple[str, str]]()
        asks_shape = words <= set(COLORS)
        for found in OBJECT.finditer(text.split("<think>")[1]):
            name = (found["color"], found["shape"])
            is_asked, is_fresh = words <= set(name), name not in seen
            seen.add(name)
            assert not found["late" if asks_shape else "early"], text
            number = found["early" if asks_shape else "late"]
            if is_fresh:
                assert (number is not None) == is_asked, text
                num_asked, num_others = num_asked + is_asked, num_others + (not is_asked)
            elif number is not None:
                assert "flash" in text, text
    assert 0.15 < num_asked / (num_asked + num_others) < 0.85


def test_where_a_shape_is_asked_for_one_object_has_the_color(tokenizer: PreTrainedTokenizerFast) -> None:
    """Its number comes before its shape, so that no other object of the color could be told from it."""
    shapes = [text for text in text_samples(tokenizer, 200) if "shape" in text]
    for text in shapes:
        names = {(found["color"], found["shape"]) for found in OBJECT.finditer(text.split("<think>")[1])}
        assert len([color for color, _ in names if color in asked_words(text)]) <= 1, text
    assert len(shapes) > 40


def test_only_what_follows_the_word_asked_about_is_a_target(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        row = text_sample_row(tokenizer.backend_tokenizer, rng, max_lines=8)
        text = str(tokenizer.decode(row.ids))
        assert row.ids == tokenizer.encode(text)
        words, ends = (COLORS, SHAPES) if "shape" in text else (SHAPES, (CELL,))
        for before, token, weight in zip(row.ids, row.ids[1:], row.weights[1:], strict=False):
            if weight:
                assert weight in (1.0, REPEAT_WEIGHT)
                assert str(tokenizer.decode([before])).strip() in words
                assert str(tokenizer.decode([token])).strip() in {*ends, *"123456789"}


def test_a_batch_of_text_samples_has_no_frames_and_no_answers(tokenizer: PreTrainedTokenizerFast) -> None:
    plan = Plan(number=3, seed=1, is_text_only=True, is_blind=True, is_scrambled=False, num_pairs=4, rows=5, truth=0.0)
    batch = make_batch(plan, tokenizer.backend_tokenizer)
    assert batch.frames is None
    assert not batch.answers.any()
    assert (batch.weights > 0).any(1).sum() >= 4
