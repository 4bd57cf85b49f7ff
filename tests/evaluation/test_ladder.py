"""Policies replayed over known answers: each takes what it may see, and the gates cost what they say."""

from __future__ import annotations

import pytest

from benchmarks.ladder import bars, perfect_gate, policy_rows, random_gate, replay
from vreason_agent.evaluation import Answer, Question, Result, score
from vreason_agent.graphs.policy import AcceptPolicy
from vreason_agent.video import pairs_plan

RISKS = [{"max_risk": 0.05, "confidence": 0.9, "min_probability": 0.93}]
SEEN = {  # right at, and its probability at 4, 8 and 16 frames
    "early": ((True, True, True), (0.95, 0.97, 0.99)),
    "late": ((False, False, True), (0.3, 0.5, 0.92)),
    "deceived": ((False, True, True), (0.9, 0.95, 0.96)),
    "never": ((False, False, False), (0.2, 0.3, 0.4)),
}


def row(name: str, count: int, right: bool, probability: float) -> Result:
    question = Question(id=name, video="clip", question="?", answer="red", kind="color")
    answer = Answer(
        text="",
        answer="red" if right else "blue",
        num_frames=count,
        signals={"entropy_drop": 0.0},
        details={
            "timestamps_seconds": pairs_plan(0.0, 8.0, num_frames=count, max_frames=16).timestamps_seconds,
            "probability": probability,
            "calibration": {"thresholds": RISKS},
        },
    )
    return Result(question, answer, score(question, answer))


RUNGS = {
    count: [row(name, count, right[index], known[index]) for name, (right, known) in SEEN.items()]
    for index, count in enumerate((4, 8, 16))
}


def test_a_threshold_stops_each_question_at_its_rung_and_counts_frames_once() -> None:
    default = replay(RUNGS, AcceptPolicy(max_retries=0, min_probability=0.85))
    assert default.stops == [4, 16, 4, 16]
    assert [row.score.is_correct for row in default.results] == [True, True, False, False]
    assert [row.answer.decision for row in default.results] == ["accept", "accept", "accept", "abstain"]
    assert default.num_frames == (4 + 16 + 4 + 16) / 4
    assert [one.spent["frames_shown"] for one in default.climbs] == [4, 28, 4, 28]


def test_a_bound_on_the_risk_takes_the_calibrators_threshold() -> None:
    bounded = replay(RUNGS, AcceptPolicy(max_retries=0, max_risk=0.05))
    assert bounded.stops == [4, 16, 8, 16]
    assert [row.answer.decision for row in bounded.results] == ["accept", "abstain", "accept", "abstain"]


def test_a_question_whose_probability_falls_short_of_rising_is_given_up_early() -> None:
    early = replay(RUNGS, AcceptPolicy(max_retries=0, min_probability=0.85, min_rise=0.15))
    assert early.stops == [4, 16, 4, 8]


def test_gates_of_equal_cost_and_of_perfect_knowledge() -> None:
    default = replay(RUNGS, AcceptPolicy(max_retries=0, min_probability=0.85))
    assert random_gate(RUNGS, default) == pytest.approx(0.5 * 1 / 4 + 0.5 * 3 / 4)
    assert perfect_gate(RUNGS) == (3 / 4, (4 + 16 + 8 + 16) / 4)
    table = policy_rows(RUNGS, default, replay(RUNGS, AcceptPolicy(max_retries=0, max_risk=0.05)))
    assert table[3][2:5] == ["10.0", "0.625", "16.0"]
    assert table[-1][:4] == ["perfect gate", "75.0", "11.0", "0.688"]


def test_bars_say_what_was_measured_and_whether_it_is_enough() -> None:
    default = replay(RUNGS, AcceptPolicy(max_retries=0, min_probability=0.85))
    bounded = replay(RUNGS, AcceptPolicy(max_retries=0, max_risk=0.05))
    table = {line[0]: line[1:] for line in bars(RUNGS, default, bounded, most=0.65)}
    assert table["best guesses against fixed 16, points"] == [">= -1.0", "-25.0", "no"]
    assert table["unique frames as a share of 16"] == ["<= 0.65", "0.625 (perfect gate: 0.688)", "yes"]
    assert table["answered at max_risk 0.05"] == [">= .75", "0.500", "no"]
    assert table["wrong of those at max_risk 0.05"] == ["<= 0.05", "0.000", "yes"]
