from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vreason_agent.confidence import largest_group, normalize_answer, num_agreeing, same_answer


def answers(*texts: str | None) -> list[dict[str, str | None]]:
    return [{"text": text, "choice": None} for text in texts]


@pytest.mark.parametrize(
    ("one", "other"), [("Red.", "red"), ("the circle", "Circle"), ("Three", "3"), (" left ", "“left”")]
)
def test_spelling_that_means_the_same_is_the_same_answer(one: str, other: str) -> None:
    assert same_answer(*answers(one, other))


@pytest.mark.parametrize(
    ("one", "other"), [("red", "red circle"), ("-3", "3"), ("3.5", "35"), ("left", "right"), ("a", "the"), ("5%", "5")]
)
def test_answers_that_differ_are_not_merged(one: str, other: str) -> None:
    assert not same_answer(*answers(one, other))


def test_the_option_letter_decides_where_both_have_one() -> None:
    assert same_answer({"text": "the red one", "choice": "A"}, {"text": "red", "choice": "A"})
    assert not same_answer({"text": "red", "choice": "A"}, {"text": "red", "choice": "B"})


def test_an_unread_answer_equals_nothing_not_even_itself() -> None:
    assert not same_answer(*answers(None, None))
    assert num_agreeing(answers("red", None)) == 0


def test_agreement_counts_the_latest_run_only() -> None:
    assert num_agreeing(answers("red", "blue", "Red", "red.")) == 2
    assert num_agreeing([]) == 0


def test_the_largest_group_wins_and_among_equals_the_latest() -> None:
    assert largest_group(answers("red", "blue", "red", None)) == [0, 2]
    assert largest_group(answers("red", "blue")) == [1]
    assert largest_group(answers(None)) == []


def test_a_group_weighs_what_its_votes_weigh() -> None:
    assert largest_group(answers("red", "blue", "red"), weights=[0.2, 0.9, 0.3]) == [1]
    assert largest_group(answers("red", "blue", "red"), weights=[0.5, 0.9, 0.5]) == [0, 2]


@given(st.text())
def test_normalizing_twice_changes_nothing_more_than_an_article(text: str) -> None:
    once = normalize_answer(text)
    assert normalize_answer(f"the {once}") in (once, normalize_answer(once), "the")
