"""Questions of the toy world: wording, options, and what can be concluded from frames alone.

`conclude` is the one place that turns frames into a reasoning and an answer: training targets and the oracle both
come from it. Knows no picture, no file and no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vreason_agent.tiny.scene import CELLS, COLORS, SHAPES, View
from vreason_agent.tiny.scripts import DIRECTIONS, MAX_COUNT, MAX_FLASHES, OUTCOMES

KINDS = ("color", "shape", "direction", "first", "last", "count", "blink", "after", "unanswerable")
NOT_SHOWN = "not shown"
NUM_OPTIONS = 4
ABSENT_KINDS = ("color", "shape", "direction", "blink")
# Of the answerable questions on a topic that has unanswerable ones, a fifth of all on it: then "not shown" is right in
# a quarter of the option lists that hold it, as every other option is.
NOT_SHOWN_SHARE = 0.75
WORDINGS = {
    "color": ("What color is the {asked}?", "Which color does the {asked} have?"),
    "shape": ("What shape is the {asked} object?", "Which shape does the {asked} object have?"),
    "direction": ("Which way does the {asked} move?", "In which direction does the {asked} go?"),
    "first": ("Which object appears first?", "What appears first?"),
    "last": ("Which object appears last?", "What appears last?"),
    "count": ("How many objects appear?", "How many different objects are there?"),
    "blink": ("How often does the {asked} flash?", "How many times does the {asked} flash?"),
    "after": ("What happens to the {asked} after the {hitter} hits it?", "What does the {hitter} do to the {asked}?"),
}
EVERY_OBJECT = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)
ANSWERS: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "shape": SHAPES,
    "direction": DIRECTIONS,
    "first": EVERY_OBJECT,
    "last": EVERY_OBJECT,
    "count": tuple(str(i) for i in range(1, MAX_COUNT + 1)),
    "blink": tuple(str(i) for i in range(1, MAX_FLASHES + 1)),
    "after": OUTCOMES,
}


@dataclass(frozen=True)
class Question:
    """One question with its true answer.

    `options` is empty for an open one; `topic` is the kind whose wording it uses.
    """

    question: str
    options: tuple[str, ...]
    answer: str
    kind: str
    topic: str
    subject: Mapping[str, str] = field(default_factory=dict)
    event_seconds: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        """The question as a prompt states it, options included."""
        return self.question + (f"\nOptions: {' / '.join(self.options)}" if self.options else "")


class Conclusion(NamedTuple):
    """Lines of reasoning, the answer they lead to, and whether the frames held the evidence."""

    lines: tuple[str, ...]
    answer: str
    is_guess: bool


def ask(
    rng: np.random.Generator,
    topic: str,
    subject: Mapping[str, str],
    answer: str,
    *,
    position: int,
    is_open: bool,
    near: Sequence[str] = (),
) -> Question:
    """Word a question; the true answer takes `position` among the options; `near` are wrong answers to prefer."""
    wording = WORDINGS[topic][int(rng.integers(2))].format(**subject)
    kind = "unanswerable" if answer == NOT_SHOWN else topic
    if is_open:
        return Question(wording, (), answer, kind, topic, dict(subject))
    pool = [a for a in ANSWERS[topic] if a != answer]
    rng.shuffle(pool)
    pool.sort(key=lambda a: a not in near)
    wrong = pool[: NUM_OPTIONS - 1]
    if topic in ABSENT_KINDS and answer != NOT_SHOWN and rng.random() < NOT_SHOWN_SHARE:
        wrong[-1] = NOT_SHOWN
    rng.shuffle(wrong)
    options = [*wrong[:position], answer, *wrong[position:]]
    return Question(wording, tuple(options), answer, kind, topic, dict(subject))


def tallies(question: Question, frames: Sequence[tuple[View, ...]]) -> list[dict[str, int]]:
    """Per frame the objects that matter to the question and just came into view, each with its running number.

    Where a question is about all objects, each is numbered when it is first seen; else only the one asked about is:
    every time it comes back if the question is how often it flashes, once otherwise.
    """
    counts_all, counts_again = question.topic in ("first", "last", "count"), question.topic == "blink"
    numbers: list[dict[str, int]] = []
    seen: set[str] = set()
    number = 0
    for views in frames:
        fresh = [view for view in views if view.name not in seen and (counts_all or _is_asked(question, view))]
        numbers.append({view.name: number + i for i, view in enumerate(fresh, 1)})
        number += len(fresh)
        now = {view.name for view in views}
        seen = now if counts_again else seen | now
    return numbers


def name_words(question: Question, view: View, number: int | None) -> list[str]:
    """An object's name, with its number if it has one, right behind the word that the question asks about.

    There the number hangs on the word before it alone; two tokens behind that word the match was not learned.
    """
    words = [view.color, view.shape]
    if number is not None:
        words.insert(1 if question.topic == "shape" else 2, str(number))
    return words


def _is_asked(question: Question, view: View) -> bool:
    return question.subject["asked"] in (view.name, view.color, view.shape)


def conclude(question: Question, frames: Sequence[tuple[View, ...]]) -> Conclusion:
    """What a careful viewer of these frames alone would say.

    Args:
        question: the question.
        frames: what each sampled frame shows, in time order.

    Returns:
        The reasoning lines and the best answer. Where the frames lack the evidence, that is ``not shown`` if it may
        be said, else the first option, and `is_guess` is true.
    """
    lines, answer = _RULES[question.topic](question, frames)
    if answer is not None and (not question.options or answer in question.options):
        return Conclusion(tuple(lines), answer, False)
    guess = NOT_SHOWN if not question.options or NOT_SHOWN in question.options else question.options[0]
    return Conclusion(tuple(lines), guess, question.kind != "unanswerable")


def _look(question: Question, frames: Sequence[tuple[View, ...]]) -> tuple[list[str], str | None]:
    for views in frames:
        for view in views:
            if _is_asked(question, view):
                return [view.name], view.color if question.topic == "color" else view.shape
    return [f"no {question.subject['asked']}"], None


def _direction(question: Question, frames: Sequence[tuple[View, ...]]) -> tuple[list[str], str | None]:
    asked = question.subject["asked"]
    cells = [view.cell for views in frames for view in views if view.name == asked]
    if not cells:
        return [f"no {asked}"], None
    (row, column), (to_row, to_column) = divmod(CELLS.index(cells[0]), 3), divmod(CELLS.index(cells[-1]), 3)
    line = f"{asked} {cells[0]} to {cells[-1]}"
    if (row, column) == (to_row, to_column):
        return [line], None
    if row == to_row:
        return [line], "left" if to_column < column else "right"
    return [line], "up" if to_row < row else "down"


def _order(question: Question, frames: Sequence[tuple[View, ...]]) -> tuple[list[str], str | None]:
    names = _numbered(question, frames)
    lines = [f"{i} {name}" for i, name in enumerate(names, 1)] or ["nothing"]
    if question.topic == "count":
        return lines, str(len(names)) if names else None
    listed = [name for name in names if not question.options or name in question.options]
    return lines, (listed[0] if question.topic == "first" else listed[-1]) if listed else None


def _blink(question: Question, frames: Sequence[tuple[View, ...]]) -> tuple[list[str], str | None]:
    asked, flashes = question.subject["asked"], len(_numbered(question, frames))
    if not flashes:
        return [f"no {asked}"], None
    return [" ".join([asked, *(str(i + 1) for i in range(flashes))])], str(flashes)


def _numbered(question: Question, frames: Sequence[tuple[View, ...]]) -> list[str]:
    return [name for fresh in tallies(question, frames) for name in fresh]


def _after(question: Question, frames: Sequence[tuple[View, ...]]) -> tuple[list[str], str | None]:
    asked = question.subject["asked"]
    color, shape = asked.split()
    before: View | None = None
    for views in frames:
        now = next((view for view in views if view.shape == shape), None)
        if before is None:
            before = now
        elif now is None:
            return [f"{asked} {before.cell}", f"no {shape}"], "disappeared"
        elif now.color != color:
            return [f"{asked} {before.cell}", now.name], "changed color"
        elif now.cell != before.cell:
            return [f"{asked} {before.cell}", f"{now.name} {now.cell}"], "moved"
    return ([f"{asked} {before.cell}", "same"], "stayed") if before else ([f"no {asked}"], None)


_RULES = {
    "color": _look,
    "shape": _look,
    "direction": _direction,
    "first": _order,
    "last": _order,
    "count": _order,
    "blink": _blink,
    "after": _after,
}
