from __future__ import annotations

from dataclasses import replace

import pytest

from vreason_agent.evaluation import Answer, Question, score

CHOICE = Question(id="a", video="a.mp4", question="?", answer="red circle", options=("blue square", "red circle"))
NUMBER = Question(id="b", video="a.mp4", question="?", answer="3")
OPEN = Question(id="c", video="a.mp4", question="?", answer="red circle")


def given(text: str | None, **fields: object) -> Answer:
    return Answer(text="raw", answer=text, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["red circle", "Red Circle", " red  circle. ", '"red circle"', "the red circle", "B"])
def test_ways_to_write_the_right_option_are_right(text):
    assert score(CHOICE, given(text)).is_correct


@pytest.mark.parametrize("text", ["blue square", "A"])
def test_another_option_is_wrong_but_parsed(text):
    verdict = score(CHOICE, given(text))
    assert (verdict.is_correct, verdict.is_parsed) == (False, True)
    assert verdict.reason == "'blue square' is not 'red circle'"


@pytest.mark.parametrize("text", ["red", "red circle or blue square", "C", "", "  ", None])
def test_what_names_no_option_is_wrong_and_unparsed(text):
    verdict = score(CHOICE, given(text))
    assert (verdict.is_correct, verdict.is_parsed) == (False, False)


def test_letter_alone_stands_for_its_option():
    assert score(CHOICE, given(None, choice="B")).is_correct


def test_a_choice_decides_where_an_option_is_a_letter_and_nothing_is_guessed_without():
    question = replace(CHOICE, options=("b", "a"), answer="a")
    assert score(question, given("a", choice="B")).is_correct
    assert not score(question, given("b", choice="A")).is_correct
    assert not score(question, given("a")).is_parsed


@pytest.mark.parametrize("text", ["3", "3.0", "three", " 3 ", "+3", "3."])
def test_numbers_compare_by_value(text):
    assert score(NUMBER, given(text)).is_correct


@pytest.mark.parametrize("text", ["4", "-3", "about 3", "3 or 4", "not shown"])
def test_other_answers_to_a_numeric_question_are_wrong_but_parsed(text):
    verdict = score(NUMBER, given(text))
    assert (verdict.is_correct, verdict.is_parsed) == (False, True)


def test_numeric_question_may_have_a_word_as_truth():
    question = replace(NUMBER, answer="unknown")
    assert score(question, given("Unknown")).is_correct
    assert not score(question, given("3")).is_correct


def test_open_text_is_compared_after_normalization():
    assert score(OPEN, given("A red circle.")).is_correct
    assert not score(OPEN, given("circle")).is_correct


def test_error_row_is_wrong_with_the_error_as_reason():
    verdict = score(OPEN, Answer.from_error(ValueError("no frames")))
    assert (verdict.is_correct, verdict.is_parsed, verdict.reason) == (False, False, "ValueError: no frames")
