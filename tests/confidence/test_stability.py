from __future__ import annotations

from vreason_agent.confidence import largest_group, num_agreeing


def answers(*texts: str | None) -> list[dict[str, str | None]]:
    return [{"text": text, "choice": None} for text in texts]


def test_an_unread_answer_equals_nothing_not_even_itself() -> None:
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
