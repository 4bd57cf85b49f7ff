"""What is decided after an attempt, in which words, and what a budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.graphs import AcceptPolicy, Attempt, Budget, Decision, Ladder, Spent
from vreason_agent.graphs.budget import NOTHING, Cost, expected_cost, spent_on

RUNGS = (4, 8, 16)
FELL = "entropy fell by 90% after its peak (needed: 70%)"


def attempt(answer: str | None, drop: float | None, *, rung: int, index: int, variation: Any = None) -> Attempt:
    return Attempt(
        attempt=index,
        rung=rung,
        num_frames=RUNGS[rung],
        timestamps_seconds=[step * 16 / RUNGS[rung] for step in range(RUNGS[rung])],
        variation=variation or {},
        answer=answer,
        choice=None,
        text=answer or "",
        reasoning="",
        confidence={"signals": {"entropy_drop": drop, "final_entropy": 0.1}},
        tokens={"input": 100, "output": 20},
        model="m",
        seconds=1.0,
    )


def climb(*answers: tuple[str | None, float | None]) -> list[Attempt]:
    return [attempt(text, drop, rung=index, index=index) for index, (text, drop) in enumerate(answers)]


def climb_and_retry(*answers: str) -> list[Attempt]:
    """A whole ladder that never settles, and one retry at its top."""
    retry = attempt(answers[-1], 0.2, rung=2, index=3, variation={"seed": 1})
    return [*climb(*[(answer, 0.2) for answer in answers]), retry]


def judge(attempts: list[Attempt], policy: AcceptPolicy | None = None, budget: Budget | None = None) -> Decision:
    spent = spent_on(attempts)
    return (policy or AcceptPolicy()).judge(attempts, rungs=RUNGS, budget=budget or Budget(), spent=spent)


def test_a_drop_and_an_answer_that_held_are_accepted_with_their_numbers() -> None:
    decision = judge(climb(("red", 0.9), ("Red.", 0.8)))
    assert (decision["action"], decision["settled"], decision["quotes"]) == ("accept", True, 1)
    stable = "two attempts in a row gave the same answer"
    assert decision["reason"] == f"entropy fell by 80% after its peak (needed: 70%), and {stable}"
    assert (decision["numbers"]["entropy_drop"], decision["numbers"]["num_agreeing"]) == (0.8, 2)


def test_each_concern_alone_asks_for_more_frames_and_says_why() -> None:
    given_once = "was given once; two matching attempts in a row are required"
    for answers, reason in (
        ([("red", 0.9)], f"'red' {given_once}"),
        ([("red", 0.9), ("blue", 0.9)], f"'blue' {given_once}"),
        ([("red", 0.9), ("red", 0.2)], "entropy fell by 20% after its peak (needed: a drop of 70%)"),
        ([("red", 0.9), ("red", 0.6999)], "entropy fell by 69.9% after its peak (needed: a drop of 70%)"),
        ([("red", 0.9), ("red", None)], "no entropy was measured (needed: a drop of 70%)"),
        ([("red", 0.9), ("red", 0.0)], "entropy had not come down when the answer ended (needed: a drop of 70%)"),
        ([("red", 0.9), ("red", -0.4)], "entropy had not come down when the answer ended (needed: a drop of 70%)"),
        ([("red", 0.9), (None, 0.9)], "no answer could be read from the output"),
    ):
        decision = judge(climb(*answers))
        assert (decision["action"], decision["reason"]) == ("more_frames", reason)


def test_one_attempt_is_enough_where_the_policy_says_so_or_no_other_can_follow() -> None:
    once = climb(("red", 0.9))
    only = AcceptPolicy(max_retries=0).judge(once, rungs=(4,), budget=Budget(), spent=NOTHING)
    for decision in (judge(once, AcceptPolicy(min_agreeing=1)), only, judge(once, budget=Budget(max_attempts=1))):
        assert (decision["action"], decision["settled"]) == ("accept", True)
        assert decision["reason"] == f"{FELL}, and one attempt was enough"
        assert decision["numbers"]["min_agreeing"] == 1


def test_past_the_last_rung_it_retries_with_the_variations_in_turn_and_then_abstains() -> None:
    attempts = climb(("red", 0.1), ("red", 0.1), ("blue", 0.1))
    policy = AcceptPolicy(max_retries=2, variations=({"seed": 1}, {"vreason": "off"}))
    assert judge(attempts)["action"] == "retry"
    assert policy.variation(attempts) == {"seed": 1}
    attempts = climb_and_retry("red", "red", "blue")
    assert policy.variation(attempts) == {"vreason": "off"}
    decision = judge(attempts)
    assert decision["action"] == "abstain"
    assert "no attempt is left after 16 frames and 1 retry" in decision["reason"]


def test_giving_up_quotes_the_answer_with_the_most_votes_weighed_by_probability() -> None:
    attempts = climb(("red", 0.1), ("red", 0.1), ("blue", 0.1))
    no_retry = AcceptPolicy(max_retries=0)
    assert judge(attempts, no_retry)["quotes"] == 1
    for each, probability in zip(attempts, (0.3, 0.4, 0.8), strict=True):
        each["confidence"]["signals"]["answer_probability"] = probability
    assert judge(attempts, no_retry)["quotes"] == 2
    attempts[0]["confidence"]["probability"] = 0.5
    assert judge(attempts, no_retry)["quotes"] == 0, "a calibrated probability counts before any vote"


def test_acceptance_quotes_the_answer_that_held_last_even_against_a_majority() -> None:
    attempts = [attempt(text, 0.9, rung=2, index=i) for i, text in enumerate(["red", "red", "red", "blue", "blue"])]
    decision = AcceptPolicy(max_retries=0).judge(attempts, rungs=RUNGS, budget=Budget(), spent=NOTHING)
    assert (decision["action"], decision["quotes"]) == ("accept", 4)


def test_without_abstention_the_best_guess_is_accepted_and_said_to_be_one() -> None:
    policy = AcceptPolicy(max_retries=0, abstain=False)
    decision = judge(climb(("red", 0.1), ("red", 0.1), ("red", 0.1)), policy)
    assert (decision["action"], decision["settled"]) == ("accept", False)
    assert decision["reason"].startswith("best guess taken because abstain=False: entropy fell by 10%")
    assert judge(climb((None, 0.1), (None, 0.1), (None, 0.1)), policy)["action"] == "abstain", "there is no guess"


def test_an_answer_can_be_judged_by_its_probability_alone() -> None:
    policy = AcceptPolicy(min_entropy_drop=None, min_answer_probability=0.9, min_agreeing=1)
    attempts, name = climb(("red", None)), "the probability of the answer's tokens"
    assert judge(attempts, policy)["reason"] == f"{name} was not measured (needed: 0.9)"
    attempts[0]["confidence"]["signals"]["answer_probability"] = 0.89
    assert judge(attempts, policy)["reason"] == f"{name} is 0.890 (needed: 0.9)"
    attempts[0]["confidence"]["signals"]["answer_probability"] = 0.9
    probable = "the answer's tokens have a probability of 0.900 (needed: 0.9)"
    assert judge(attempts, policy)["reason"] == f"{probable}, and one attempt was enough"


def test_a_users_own_check_is_one_more_condition_in_words() -> None:
    def has_three_attempts(attempts: Sequence[Attempt]) -> str | None:
        return None if len(attempts) >= 3 else f"only {len(attempts)} attempts so far"

    policy = AcceptPolicy(check=has_three_attempts)
    two = judge(climb(("red", 0.9), ("red", 0.9)), policy)
    assert (two["action"], two["reason"]) == ("more_frames", "only 2 attempts so far")
    assert judge(climb(("red", 0.9), ("red", 0.9), ("red", 0.9)), policy)["action"] == "accept"
    says_true: Any = lambda attempts: True  # noqa: E731
    with pytest.raises(ConfigError, match="check returned True: return what is wrong as text, or None"):
        judge(climb(("red", 0.9)), AcceptPolicy(check=says_true))


def test_each_limit_of_the_budget_ends_the_ladder_with_its_numbers_and_what_fits_is_tried() -> None:
    for name, limit, total, fits in (
        ("max_attempts", 1, "2 attempts", 2),
        ("max_total_frames", 7, "8 frames", 8),
        ("max_total_tokens", 339, "about 340 tokens", 340),
        ("max_seconds", 2.9, "about 3 seconds", 3.0),
    ):
        once, limits = climb(("red", 0.1)), {name: limit}
        decision = judge(once, budget=Budget(**limits))  # type: ignore[arg-type]
        assert (decision["action"], decision["wanted"]) == ("abstain", "more_frames")
        assert f"one more attempt would bring the total to {total}, over {name}={limit}" in decision["reason"]
        assert judge(once, budget=Budget(**{name: fits}))["action"] == "more_frames"  # type: ignore[arg-type]
    assert judge(climb(("red", 0.9), ("red", 0.9)), budget=Budget(max_attempts=2))["action"] == "accept"


def test_what_was_read_grows_with_the_frames_and_what_was_written_does_not() -> None:
    attempts = climb(("red", 0.1), ("red", 0.1))
    attempts[0]["tokens"] = {"input": 50, "output": 70}
    attempts[1]["seconds"] = 3.0
    assert expected_cost(attempts, 16, 8) == (8, 200 + 70, 6.0)
    assert expected_cost(attempts, 8, 0) == (0, 100 + 70, 3.0)


def test_a_frame_that_a_later_attempt_keeps_is_spent_once() -> None:
    spent = spent_on(climb_and_retry("red", "red", "blue"))
    assert (spent["frames_seen"], spent["frames_shown"]) == (16, 4 + 8 + 16 + 16)
    at_the_top = climb(("red", 0.1), ("red", 0.1), ("blue", 0.1))
    for variation, total in (("other_frames", 32), ("zoom", 24)):
        policy = AcceptPolicy(variations=(variation,))
        assert f"total to {total} frames" in judge(at_the_top, policy, Budget(max_total_frames=16))["reason"]
    same_frames = AcceptPolicy(variations=("new_seed",))
    assert judge(at_the_top, same_frames, Budget(max_total_frames=16))["action"] == "retry"


def with_probability(attempts: list[Attempt], *probabilities: float | None, thresholds: Any = ()) -> list[Attempt]:
    for each, probability in zip(attempts, probabilities, strict=True):
        each["confidence"].update(probability=probability, calibration={"thresholds": list(thresholds)})
    return attempts


def test_a_retry_that_no_calibrator_fits_is_not_judged_by_less_than_the_attempt_before() -> None:
    attempts = with_probability(climb(("red", 0.9), ("red", 0.9), ("red", 0.9)), 0.5, 0.6, None)
    decision = judge(attempts, AcceptPolicy(max_retries=0))
    assert decision["action"] == "abstain"
    assert "the probability of being right is not known (needed: 83.0%)" in decision["reason"]
    assert decision["quotes"] == 1


def test_a_calibrated_probability_decides_alone_and_without_one_the_entropy_rule_does() -> None:
    sure = judge(with_probability(climb(("red", 0.0)), 0.937))
    assert (sure["action"], sure["settled"]) == ("accept", True)
    assert sure["reason"] == "about 93.7% of such answers are right (needed: 83.0%)"
    unsure = judge(with_probability(climb(("red", 0.9), ("red", 0.9)), 0.8, 0.82))
    assert (unsure["action"], unsure["reason"]) == (
        "more_frames",
        "about 82% of such answers are right (needed: 83.0%)",
    )
    for policy in (AcceptPolicy(), AcceptPolicy(min_probability=None)):
        probability = None if policy.min_probability else 0.1
        attempts = with_probability(climb(("red", 0.9), ("red", 0.9)), probability, probability)
        assert judge(attempts, policy)["reason"].startswith(FELL)


def test_a_bound_on_the_risk_uses_the_threshold_of_the_calibrator_and_nothing_else() -> None:
    bounds = [{"max_risk": 0.05, "min_probability": 0.93}, {"max_risk": 0.1, "min_probability": 0.85}]
    policy = AcceptPolicy(max_risk=0.07)
    accepted = judge(with_probability(climb(("red", 0.0)), 0.93, thresholds=bounds), policy)
    assert (accepted["action"], accepted["numbers"]["min_probability"]) == ("accept", 0.93)
    assert "to keep the share of wrong answers below 0.07" in accepted["reason"]
    for probability, found, reason in (
        (0.92, bounds, "about 92% of such answers are right (needed: 93.0%)"),
        (None, bounds, "the probability of being right is not known (needed: 93.0%)"),
        (0.99, [], "no calibrator of this setup has a threshold for max_risk=0.07"),
    ):
        settled = climb(("red", 0.9), ("red", 0.9), ("red", 0.9))
        attempts = with_probability(settled, *[probability] * 3, thresholds=found)
        decision = judge(attempts, policy)
        assert (decision["action"], decision["reason"].split("; ")[0]) == ("abstain", reason)


def test_a_probability_that_does_not_rise_ends_the_ladder_before_the_top() -> None:
    flat = with_probability(climb(("red", 0.1), ("red", 0.1)), 0.4, 0.42)
    decision = judge(flat, AcceptPolicy(min_rise=0.05))
    assert (decision["action"], decision["quotes"]) == ("abstain", 1)
    assert decision["reason"].endswith(
        "more frames are not expected to help: the probability of being right went from 40% to 42%"
    )
    assert judge(flat, AcceptPolicy(min_rise=0.01))["action"] == "more_frames"
    assert judge(climb(("red", 0.1), ("red", 0.1)), AcceptPolicy(min_rise=0.05))["action"] == "more_frames"


def test_a_retry_of_an_image_draws_again_because_there_are_no_other_frames() -> None:
    picture = {**climb(("red", 0.1))[0], "plan": None}
    assert AcceptPolicy().variation([picture]) == {"temperature": 0.7, "seed": 1}  # type: ignore[list-item]
    assert AcceptPolicy().variation(climb(("red", 0.1))) == {"frames": "other"}


def test_a_model_that_reports_no_usage_is_not_held_back_by_tokens() -> None:
    attempts = climb(("red", 0.1))
    attempts[0]["tokens"] = {"input": 0, "output": 0}
    decision = AcceptPolicy().judge(attempts, rungs=RUNGS, budget=Budget(max_total_tokens=1), spent=NOTHING)
    assert decision["action"] == "more_frames"


def test_large_numbers_are_written_out() -> None:
    spent = Spent(attempts=1, frames_seen=4, frames_shown=4, tokens=12_345_678, seconds=0.0)
    excess = Budget(max_total_tokens=12_345_678).find_excess(spent, Cost(8, 10, 0.0))
    assert excess == "one more attempt would bring the total to about 12345688 tokens, over max_total_tokens=12345678"


def test_rungs_double() -> None:
    assert Ladder(num_frames=4, max_frames=32).rungs() == (4, 8, 16, 32)
    assert Ladder(num_frames=6, max_frames=6).rungs() == (6,)


def test_the_docs_say_how_each_part_of_a_reason_reads() -> None:
    page = (Path(__file__).parents[2] / "docs" / "graphs.md").read_text(encoding="utf-8")
    both = AcceptPolicy(min_answer_probability=0.9)
    unsure = climb(("blue", None))
    unsure[0]["confidence"]["signals"]["answer_probability"] = 0.6
    at_the_top = climb_and_retry("red", "red", "blue")
    reasons = [
        judge(attempts, policy, budget)["reason"]
        for attempts, policy, budget in (
            (climb(("red", 0.9), ("red", 0.8)), None, None),
            (climb(("red", 0.8)), AcceptPolicy(min_agreeing=1), None),
            (climb((None, 0.2)), both, Budget(max_total_frames=7)),
            (climb(("blue", 0.0)), None, None),
            (climb(("blue", 0.2)), None, None),
            (unsure, both, None),
            (at_the_top, None, None),
            (with_probability(climb(("red", 0.1)), 0.93), None, None),
            (with_probability(climb(("red", 0.1), ("red", 0.1)), 0.4, 0.41), AcceptPolicy(min_rise=0.05), None),
            (climb(("red", 0.9)), AcceptPolicy(max_risk=0.05, max_retries=0), None),
        )
    ]
    parts = [part for reason in reasons for part in reason.split("; ")]
    assert [part for part in parts if f"{part}`" not in page and f"`{part}" not in page] == []
    taken = judge(at_the_top, AcceptPolicy(abstain=False))["reason"]
    assert f"`{taken.partition(': ')[0]}:`" in page
