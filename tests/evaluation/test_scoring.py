from __future__ import annotations

from dataclasses import replace

from vreason_agent.evaluation import Answer, Question, score

CHOICE = Question(id="a", video="a.mp4", question="?", answer="red circle", options=("blue square", "red circle"))
NUMBER = Question(id="b", video="a.mp4", question="?", answer="3")
OPEN = Question(id="c", video="a.mp4", question="?", answer="red circle")


def verdict(question: Question, text: str | None, **fields: object) -> str:
    result = score(question, Answer(text="raw", answer=text, **fields))  # type: ignore[arg-type]
    assert result.is_parsed or not result.is_correct
    return "right" if result.is_correct else "wrong" if result.is_parsed else "unread"


def test_a_choice_is_right_wrong_or_unread() -> None:
    for text in ("red circle", "Red Circle", " red  circle. ", '"red circle"', "the red circle", "B"):
        assert verdict(CHOICE, text) == "right"
    for text in ("blue square", "A"):
        assert verdict(CHOICE, text) == "wrong"
    for unread in ("red", "red circle or blue square", "not a red circle", "C", "", "  ", None):
        assert verdict(CHOICE, unread) == "unread"
    assert score(CHOICE, Answer(text="", answer="A")).reason == "'blue square' is not 'red circle'"


def test_a_choice_decides_where_there_is_one_and_nothing_is_guessed_without() -> None:
    letters = replace(CHOICE, options=("b", "a"), answer="a")
    assert verdict(CHOICE, None, choice="B") == verdict(letters, "a", choice="B") == "right"
    assert verdict(letters, "b", choice="A") == "wrong"
    assert verdict(letters, "a") == "unread"


def test_open_answers_are_compared_by_value_or_after_normalization() -> None:
    for text in ("3", "3.0", "three", " 3 ", "+3", "3."):
        assert verdict(NUMBER, text) == "right"
    for text in ("4", "-3", "about 3", "3 or 4", "not shown"):
        assert verdict(NUMBER, text) == "wrong"
    assert verdict(OPEN, "A red circle.") == "right"
    assert verdict(OPEN, "circle") == "wrong"


def test_error_row_is_wrong_with_the_error_as_reason() -> None:
    result = score(OPEN, Answer.from_error(ValueError("no frames")))
    assert (result.is_correct, result.is_parsed, result.reason) == (False, False, "ValueError: no frames")
