"""The bound on the ladder's risk holds as often as it says, and the monitor warns as seldom as it says."""

from __future__ import annotations

import random

import pytest

from vreason_agent.confidence import RiskMonitor
from vreason_agent.confidence.risk import Gate, binomial_tail, certify_gates
from vreason_agent.errors import ConfigError
from vreason_agent.evaluation import ladder_gates

Rungs = list[tuple[list[float | None], list[bool]]]


def ladder(draw: random.Random, num_questions: int) -> Rungs:
    """Three rungs, each better than the one before, whose probabilities claim a tenth too much."""
    rungs: Rungs = []
    for rung in range(3):
        chances = [min(1.0, draw.betavariate(2 + 2 * rung, 1.5)) for _ in range(num_questions)]
        correct = [draw.random() < 0.9 * chance for chance in chances]
        rungs.append((list(chances), correct))
    return rungs


def test_the_ladders_risk_stays_below_the_bound_as_often_as_promised() -> None:
    # In each of 100 repetitions the bound may fail with a probability of 0.1; more than 27 failures: below 1e-6.
    draw = random.Random(0)
    truth = {gate.threshold: gate for gate in ladder_gates(ladder(draw, 40_000))}
    failures = found = 0
    for _ in range(100):
        bound = certify_gates(ladder_gates(ladder(draw, 300)), 300, max_risk=0.25, confidence=0.9)
        if bound.threshold is not None:
            found += 1
            true = truth[bound.threshold]
            failures += true.num_wrong / true.num_answered > 0.25
    assert found > 50
    assert failures <= 27


def test_a_ladder_answers_at_its_first_confident_rung_and_never_what_was_not_read() -> None:
    rungs: Rungs = [([0.9, 0.4, None], [True, False, False]), ([0.1, 0.8, 0.7], [False, True, False])]
    assert ladder_gates(rungs, [0.95, 0.75, 0.0]) == [Gate(0.95, 0, 0), Gate(0.75, 2, 0), Gate(0.0, 3, 2)]


def test_too_few_answers_support_no_threshold() -> None:
    assert certify_gates([Gate(0.5, 10, 0)], 10, max_risk=0.1).threshold is None
    assert certify_gates([Gate(0.5, 60, 0)], 60, max_risk=0.1).threshold == 0.5
    assert "cannot support a threshold" in str(certify_gates([], 0, max_risk=0.1))
    assert binomial_tail(0, 22, 0.1) == pytest.approx(0.9**22)


def test_the_monitor_rarely_warns_while_the_bound_holds_and_does_once_it_is_broken() -> None:
    # Each of 200 watches of 500 answers may warn with a probability of 0.05; more than 28 warnings: below 1e-6.
    draw = random.Random(0)

    def is_void(risk: float) -> bool:
        monitor = RiskMonitor(0.1, false_alarm=0.05)
        return any(monitor.observe(is_correct=draw.random() >= risk) for _ in range(500))

    assert sum(is_void(0.1) for _ in range(200)) <= 28
    assert sum(is_void(0.2) for _ in range(50)) >= 45


def test_the_monitor_says_what_it_saw() -> None:
    monitor = RiskMonitor(0.1)
    assert not monitor.observe(is_correct=True)
    assert "no evidence that more than 10% are" in str(monitor)
    for _ in range(8):
        monitor.observe(is_correct=False)
    assert monitor.is_void
    assert "run: vreason-agent calibrate RUN --out FILE" in str(monitor)
    monitor.observe(is_correct=True)
    assert monitor.is_void
    with pytest.raises(ConfigError, match="max_risk=2 must lie between 0 and 1"):
        RiskMonitor(2)
