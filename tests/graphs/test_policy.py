from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.graphs import AcceptPolicy, Attempt, Budget, Decision, Ladder
from vreason_agent.graphs.budget import NOTHING, Cost, add_spent, expected_cost
from vreason_agent.graphs.state import Spent

RUNGS = (4, 8, 16)


def attempt(answer: str | None, drop: float | None, *, rung: int, index: int, variation: Any = None) -> Attempt:
    return Attempt(
        attempt=index,
        rung=rung,
        num_frames=RUNGS[rung],
        timestamps_seconds=[],
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


def judge(attempts: list[Attempt], policy: AcceptPolicy | None = None, budget: Budget | None = None) -> Decision:
    spent = NOTHING
    for each in attempts:
        spent = add_spent(spent, frames=each["num_frames"], tokens=120, seconds=1.0)
    return (policy or AcceptPolicy()).judge(attempts, rungs=RUNGS, budget=budget or Budget(), spent=spent)


def test_a_drop_and_an_answer_that_held_are_accepted_with_their_numbers() -> None:
    decision = judge(climb(("red", 0.9), ("Red.", 0.8)))
    assert decision["action"] == "accept"
    assert (
        decision["reason"]
        == "entropy fell by 80% after its peak (needed: 70%), and two attempts in a row gave the same answer"
    )
    assert decision["numbers"]["entropy_drop"] == 0.8
    assert decision["numbers"]["num_agreeing"] == 2


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([("red", 0.9)], "'red' was given once; two matching attempts in a row are required"),
        ([("red", 0.9), ("blue", 0.9)], "'blue' was given once"),
        ([("red", 0.9), ("red", 0.2)], "entropy fell by 20% after its peak (needed: a drop of 70%)"),
        ([("red", 0.9), ("red", None)], "no entropy was measured (needed: a drop of 70%)"),
        ([("red", 0.9), ("red", 0.0)], "entropy had not come down when the answer ended (needed: a drop of 70%)"),
        ([("red", 0.9), (None, 0.9)], "no answer could be read"),
    ],
)
def test_each_concern_alone_asks_for_more_frames_and_says_why(answers, reason: str) -> None:
    decision = judge(climb(*answers))
    assert decision["action"] == "more_frames"
    assert reason in decision["reason"]


def test_one_look_is_enough_where_the_policy_says_so() -> None:
    decision = judge(climb(("red", 0.9)), AcceptPolicy(min_agreeing=1))
    assert decision["action"] == "accept"
    assert "one attempt was enough" in decision["reason"]


def test_one_look_is_enough_where_there_is_no_other() -> None:
    policy = AcceptPolicy(min_agreeing=2, max_retries=0)
    decision = policy.judge(climb(("red", 0.9)), rungs=(4,), budget=Budget(), spent=NOTHING)
    assert decision["action"] == "accept"
    assert decision["numbers"]["min_agreeing"] == 1


def test_one_look_is_enough_where_the_budget_allows_no_other() -> None:
    decision = judge(climb(("red", 0.9)), budget=Budget(max_attempts=1))
    assert (decision["action"], decision["settled"]) == ("accept", True)
    assert decision["numbers"]["min_agreeing"] == 1


def test_past_the_last_rung_it_retries_and_then_abstains() -> None:
    attempts = climb(("red", 0.1), ("red", 0.1), ("blue", 0.1))
    assert judge(attempts)["action"] == "retry"
    attempts.append(attempt("red", 0.1, rung=2, index=3, variation={"seed": 1}))
    decision = judge(attempts)
    assert decision["action"] == "abstain"
    assert "no attempt is left after 16 frames and 1 retry" in decision["reason"]


def test_retries_take_the_variations_in_turn() -> None:
    policy = AcceptPolicy(max_retries=2, variations=({"seed": 1}, {"vreason": "off"}))
    attempts = climb(("red", 0.1), ("red", 0.1), ("blue", 0.1))
    assert policy.variation(attempts) == {"seed": 1}
    attempts.append(attempt("red", 0.1, rung=2, index=3, variation={"seed": 1}))
    assert policy.variation(attempts) == {"vreason": "off"}


def test_giving_up_quotes_the_answer_whose_votes_are_surest() -> None:
    attempts = climb(("red", 0.1), ("red", 0.1), ("blue", 0.1))
    for each, probability in zip(attempts, (0.3, 0.4, 0.8), strict=True):
        each["confidence"]["signals"]["answer_probability"] = probability
    assert judge(attempts, AcceptPolicy(max_retries=0))["quotes"] == 2
    attempts[0]["confidence"]["probability"] = 0.5
    assert judge(attempts, AcceptPolicy(max_retries=0))["quotes"] == 1


def test_an_answer_can_be_judged_by_its_probability_alone() -> None:
    policy = AcceptPolicy(min_entropy_drop=None, min_answer_probability=0.9, min_agreeing=1)
    attempts = climb(("red", None))
    assert "the probability of the answer's tokens was not measured (needed: 0.9)" in judge(attempts, policy)["reason"]
    signals = attempts[0]["confidence"]["signals"]
    signals["answer_probability"] = 0.89
    assert "the probability of the answer's tokens is 0.890 (needed: 0.9)" in judge(attempts, policy)["reason"]
    signals["answer_probability"] = 0.9
    decision = judge(attempts, policy)
    assert (decision["action"], decision["settled"]) == ("accept", True)
    assert (
        decision["reason"]
        == "the answer's tokens have a probability of 0.900 (needed: 0.9), and one attempt was enough"
    )


def test_a_users_own_check_is_one_more_condition() -> None:
    def has_three_looks(attempts: Sequence[Attempt]) -> str | None:
        return None if len(attempts) >= 3 else f"only {len(attempts)} looks so far"

    policy = AcceptPolicy(check=has_three_looks)
    two = judge(climb(("red", 0.9), ("red", 0.9)), policy)
    assert (two["action"], two["reason"]) == ("more_frames", "only 2 looks so far")
    assert judge(climb(("red", 0.9), ("red", 0.9), ("red", 0.9)), policy)["action"] == "accept"


def test_giving_up_quotes_the_most_frequent_answer() -> None:
    decision = judge(climb(("red", 0.1), ("red", 0.1), ("blue", 0.1)), AcceptPolicy(max_retries=0))
    assert (decision["action"], decision["quotes"]) == ("abstain", 1)


def test_acceptance_quotes_the_answer_that_held_last_even_against_a_majority() -> None:
    policy = AcceptPolicy(max_retries=0)
    attempts = [attempt(text, 0.9, rung=2, index=i) for i, text in enumerate(["red", "red", "red", "blue", "blue"])]
    decision = policy.judge(attempts, rungs=RUNGS, budget=Budget(), spent=NOTHING)
    assert (decision["action"], decision["quotes"]) == ("accept", 4)


def test_without_abstention_the_best_guess_is_accepted_and_said_to_be_one() -> None:
    decision = judge(climb(("red", 0.1), ("red", 0.1), ("red", 0.1)), AcceptPolicy(max_retries=0, abstain=False))
    assert decision["action"] == "accept"
    assert decision["reason"].startswith("best guess taken because abstain=False: entropy fell by 10%")
    assert decision["settled"] is False


def test_without_any_answer_there_is_nothing_to_accept_even_without_abstention() -> None:
    decision = judge(climb((None, 0.1), (None, 0.1), (None, 0.1)), AcceptPolicy(max_retries=0, abstain=False))
    assert decision["action"] == "abstain"


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(max_attempts=1), "bring the total to 2 attempts, over max_attempts=1"),
        (Budget(max_total_frames=11), "bring the total to 12 frames, over max_total_frames=11"),
        (Budget(max_total_tokens=339), "bring the total to about 340 tokens, over max_total_tokens=339"),
        (Budget(max_seconds=2.9), "bring the total to about 3 seconds, over max_seconds=2.9"),
    ],
)
def test_each_limit_of_the_budget_ends_the_ladder_with_its_numbers(budget: Budget, reason: str) -> None:
    decision = judge(climb(("red", 0.1)), budget=budget)
    assert decision["action"] == "abstain"
    assert reason in decision["reason"]


@pytest.mark.parametrize("budget", [Budget(max_total_tokens=340), Budget(max_seconds=3.0)])
def test_an_attempt_that_is_expected_to_fit_is_made(budget: Budget) -> None:
    assert judge(climb(("red", 0.1)), budget=budget)["action"] == "more_frames"


def test_what_was_read_grows_with_the_frames_and_what_was_written_does_not() -> None:
    attempts = climb(("red", 0.1), ("red", 0.1))
    attempts[0]["tokens"] = {"input": 50, "output": 70}
    attempts[1]["seconds"] = 3.0
    assert expected_cost(attempts, 16) == (16, 200 + 70, 6.0)
    assert expected_cost(attempts, 8) == (8, 100 + 70, 3.0)


def test_a_model_that_reports_no_usage_is_not_held_back_by_tokens() -> None:
    attempts = climb(("red", 0.1))
    attempts[0]["tokens"] = {"input": 0, "output": 0}
    policy, budget = AcceptPolicy(), Budget(max_total_tokens=1)
    assert policy.judge(attempts, rungs=RUNGS, budget=budget, spent=NOTHING)["action"] == "more_frames"


def test_large_numbers_are_written_out() -> None:
    spent = Spent(attempts=1, frames=4, tokens=12_345_678, seconds=0.0)
    refusal = Budget(max_total_tokens=12_345_678).find_excess(spent, Cost(8, 10, 0.0))
    assert refusal == "one more attempt would bring the total to about 12345688 tokens, over max_total_tokens=12345678"


def test_a_good_answer_is_accepted_though_the_budget_is_spent() -> None:
    assert judge(climb(("red", 0.9), ("red", 0.9)), budget=Budget(max_attempts=2))["action"] == "accept"


@pytest.mark.parametrize("name", ["max_attempts", "max_total_frames", "max_total_tokens", "max_seconds"])
def test_a_limit_of_zero_is_refused(name: str) -> None:
    limits: Any = {name: 0}
    with pytest.raises(ConfigError, match=f"{name}=0: a limit must be a number above 0; use None"):
        Budget(**limits)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "3", True])
def test_a_limit_that_is_no_number_above_zero_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="a limit must be a number above 0; use None"):
        Budget(max_seconds=value)


@pytest.mark.parametrize("name", ["max_attempts", "max_total_frames", "max_total_tokens"])
def test_a_fraction_of_what_is_counted_is_refused(name: str) -> None:
    limits: Any = {name: 2.5}
    with pytest.raises(ConfigError, match=f"{name}=2.5: this is a count; use a whole number, e.g. 2"):
        Budget(**limits)


def test_asking_is_a_yes_or_a_no() -> None:
    said: Any = "no"
    with pytest.raises(ConfigError, match="use True or False"):
        Budget(ask=said)


def test_a_check_that_returns_no_words_is_told_what_to_return() -> None:
    says_true: Any = lambda attempts: True  # noqa: E731
    with pytest.raises(ConfigError, match="check returned True: return what is wrong as text, or None"):
        judge(climb(("red", 0.9)), AcceptPolicy(check=says_true))


def test_spending_adds_up() -> None:
    spent = add_spent(Spent(attempts=1, frames=4, tokens=10, seconds=0.5), frames=8, tokens=20, seconds=1.0)
    assert spent == {"attempts": 2, "frames": 12, "tokens": 30, "seconds": 1.5}


def test_rungs_double() -> None:
    assert Ladder(num_frames=4, max_frames=32).rungs() == (4, 8, 16, 32)
    assert Ladder(num_frames=6, max_frames=6).rungs() == (6,)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"num_frames": 3}, "model reads frames in pairs, so use e.g. 4"),
        ({"num_frames": 0}, "model reads frames in pairs, so use e.g. 4"),
        ({"num_frames": "4", "max_frames": "8"}, "model reads frames in pairs, so use e.g. 4"),
        ({"num_frames": 4.0, "max_frames": 8}, "model reads frames in pairs, so use e.g. 4"),
        ({"num_frames": 4, "max_frames": "8"}, "use one of 4, 8"),
        ({"num_frames": 4, "max_frames": 24}, "use one of 4, 8, 16, 32, 64"),
        ({"num_frames": 8, "max_frames": 4}, "use one of 8, 16"),
    ],
)
def test_a_ladder_that_cannot_nest_is_refused(arguments, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Ladder(**arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"min_entropy_drop": 1.5}, "at most 1"),
        ({"min_entropy_drop": float("nan")}, "at most 1"),
        ({"min_answer_probability": 1.1}, "from 0 to 1"),
        ({"min_entropy_drop": "0.7"}, "use a value such as 0.7"),
        ({"min_answer_probability": "0.9"}, "such as 0.9"),
        ({"min_agreeing": 1.5}, "use a whole number of at least"),
        ({"max_retries": "1"}, "use a whole number of at least"),
        ({"abstain": "no"}, "use True or False"),
        ({"check": "x"}, "returns what is wrong as text, or None"),
        ({"variations": ("x",)}, r"e\.g\. \(\{'seed': 1\}, \{'prompt'"),
        ({"variations": "seed"}, r"e\.g\. \(\{'seed': 1\}, \{'prompt'"),
        ({"variations": ({"prompt": 5},)}, r"e\.g\. \(\{'seed': 1\}, \{'prompt'"),
        ({"min_agreeing": 0}, "at least 1"),
        ({"max_retries": -1}, "whole number of at least 0"),
        ({"max_retries": 3}, "add some to `variations`"),
    ],
)
def test_a_policy_out_of_range_is_refused(arguments, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        AcceptPolicy(**arguments)


def test_a_variation_that_varies_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"repeats itself; use e\.g\. \(\{'seed': 1\}"):
        AcceptPolicy(variations=({"seed": 1}, {}))


def test_the_docs_say_how_each_part_of_a_reason_reads() -> None:
    page = (Path(__file__).parents[2] / "docs" / "graphs.md").read_text(encoding="utf-8")
    sure, looked_again = AcceptPolicy(min_answer_probability=0.9), [*climb(("red", 0.9), ("red", 0.9), ("blue", 0.2))]
    looked_again.append(attempt("blue", 0.2, rung=2, index=3, variation={"seed": 1}))
    unsure = climb(("blue", None))
    unsure[0]["confidence"]["signals"]["answer_probability"] = 0.6
    reasons = [
        judge(attempts, policy, budget)["reason"]
        for attempts, policy, budget in (
            (climb(("red", 0.9), ("red", 0.8)), None, None),
            (climb(("red", 0.8)), AcceptPolicy(min_agreeing=1), None),
            (climb((None, 0.2)), sure, Budget(max_total_frames=11)),
            (unsure, sure, None),
            (looked_again, None, None),
        )
    ]
    parts = [part for reason in reasons for part in reason.split("; ")]
    assert [part for part in parts if f"{part}`" not in page and f"`{part}" not in page] == []
    taken = judge(looked_again, AcceptPolicy(abstain=False))["reason"]
    assert f"`{taken.partition(': ')[0]}:`" in page
