"""Claims about what a careful viewer concludes from frames."""

from __future__ import annotations

import pytest

from vreason_agent.tiny.questions import NOT_SHOWN, Question, conclude, tallies
from vreason_agent.tiny.scene import View

RED, BLUE = View("red", "circle", "W"), View("blue", "square", "E")
NOTHING: tuple[View, ...] = ()


def question(topic: str, *options: str, **subject: str) -> Question:
    """A question whose true answer does not matter."""
    return Question("?", options, "x", topic, topic, subject)


@pytest.mark.parametrize(
    ("asked", "frames", "lines", "answer"),
    [
        (question("color", asked="circle"), [NOTHING, (RED, BLUE)], ["red circle"], "red"),
        (question("shape", asked="blue"), [(RED, BLUE)], ["blue square"], "square"),
        (
            question("direction", asked="red circle"),
            [(RED,), (RED._replace(cell="E"),)],
            ["red circle W to E"],
            "right",
        ),
        (question("direction", asked="red circle"), [(RED,), (RED._replace(cell="NW"),)], ["red circle W to NW"], "up"),
        (question("first"), [NOTHING, (BLUE,), (RED,)], ["1 blue square", "2 red circle"], "blue square"),
        (question("last"), [(RED,), (BLUE,), (RED,)], ["1 red circle", "2 blue square"], "blue square"),
        (question("count"), [(RED,), (RED, BLUE)], ["1 red circle", "2 blue square"], "2"),
        (
            question("blink", asked="red circle"),
            [(RED,), NOTHING, (RED,), (RED,)],
            ["red circle 1 2"],
            "2",
        ),
        (question("after", asked="blue square"), [(BLUE,), (RED,)], ["blue square E", "no square"], "disappeared"),
        (
            question("after", asked="blue square"),
            [(BLUE,), (BLUE._replace(cell="N"),)],
            ["blue square E", "blue square N"],
            "moved",
        ),
        (
            question("after", asked="blue square"),
            [(BLUE,), (View("red", "square", "E"),)],
            ["blue square E", "red square"],
            "changed color",
        ),
        (question("after", asked="blue square"), [(BLUE,), (BLUE,)], ["blue square E", "same"], "stayed"),
    ],
)
def test_frames_decide_the_answer(
    asked: Question, frames: list[tuple[View, ...]], lines: list[str], answer: str
) -> None:
    said = conclude(asked, frames)
    assert list(said.lines) == lines
    assert said.answer == answer
    assert not said.is_guess


@pytest.mark.parametrize("topic", ["color", "shape", "direction", "blink"])
def test_what_no_frame_shows_is_not_shown(topic: str) -> None:
    said = conclude(question(topic, asked="green cross"), [(RED,), (BLUE,)])
    assert said == (("no green cross",), NOT_SHOWN, True)


def test_without_not_shown_among_the_options_the_first_is_guessed() -> None:
    said = conclude(question("color", "blue", "red", asked="cross"), [(RED,)])
    assert said.answer == "blue"
    assert said.is_guess


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        (question("count"), [{"red circle": 1}, {}, {}, {"blue square": 2}]),
        (question("blink", asked="red circle"), [{"red circle": 1}, {}, {"red circle": 2}, {}]),
        (question("color", asked="square"), [{}, {}, {}, {"blue square": 1}]),
        (question("after", asked="red circle"), [{"red circle": 1}, {}, {}, {}]),
    ],
)
def test_what_the_question_is_about_is_numbered_as_it_comes_into_view(
    asked: Question, numbers: list[dict[str, int]]
) -> None:
    assert tallies(asked, [(RED,), NOTHING, (RED,), (RED, BLUE)]) == numbers
