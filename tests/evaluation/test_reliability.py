"""Measures of a confidence against written-out definitions, scikit-learn and simulations with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from vreason_agent.errors import ConfigError
from vreason_agent.evaluation import (
    Estimate,
    augrc,
    aurc,
    brier,
    calibration_error,
    certify_threshold,
    risk_coverage,
)


def sample(n: int, seed: int, *, shift: float = 0.0) -> tuple[list[float], list[bool]]:
    """Probabilities that are right as often as they say, moved by `shift` afterwards."""
    rng = np.random.default_rng(seed)
    chances = rng.beta(4, 1.5, n)
    return list(np.clip(chances + shift, 0, 1)), list(rng.random(n) < chances)


def test_brier_is_sklearns() -> None:
    scores, correct = sample(300, 0)
    assert brier(scores, correct).value == pytest.approx(brier_score_loss(correct, scores))


def test_areas_are_their_definitions() -> None:
    scores, correct = [0.9, 0.8, 0.7, 0.6], [True, False, True, False]
    assert aurc(scores, correct).value == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert aurc([0.5] * 4, correct).value == pytest.approx(0.5)  # in random order every k has half of them wrong
    scores, correct = sample(500, 1)
    auc, accuracy = roc_auc_score(correct, scores), np.mean(correct)
    expected = (1 - auc) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    assert augrc(scores, correct).value == pytest.approx(expected)
    assert augrc(np.round(scores, 1).tolist(), correct).value == pytest.approx(
        (1 - roc_auc_score(correct, np.round(scores, 1))) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    )


def test_an_exact_probability_lies_in_the_null_band_and_a_shifted_one_above_it() -> None:
    """A 95 % band: exact samples leave it in one of twenty; more than 6 of 40 would be a one in a hundred event."""
    outside = sum(not calibration_error(*sample(400, seed)).is_within_null for seed in range(40))
    assert outside <= 6
    shifted = calibration_error(*sample(400, 3, shift=-0.15))
    assert not shifted.is_within_null
    assert (shifted.value or 0) > 0.1
    assert calibration_error(*sample(400, 3)).null_mean == pytest.approx(0.045, abs=0.02)


def test_intervals_follow_the_videos() -> None:
    scores, correct = sample(100, 4)
    alone = aurc(scores, correct)
    fourfold = aurc(scores * 4, correct * 4, clusters=list(range(100)) * 4)
    assert None not in (alone.low, alone.high, fourfold.low, fourfold.high)
    assert fourfold.value == pytest.approx(alone.value, abs=0.01)
    assert fourfold.high - fourfold.low == pytest.approx(alone.high - alone.low, rel=0.2)  # type: ignore[operator]


def test_the_curve_answers_the_most_confident_first_and_ties_together() -> None:
    points = risk_coverage([0.9, 0.9, 0.5, 0.1], [True, True, False, True], coverages=(0.25, 0.75, 1.0))
    assert [(point.coverage, point.threshold, point.risk.value) for point in points] == [
        (0.5, 0.9, 0.0),
        (0.75, 0.5, pytest.approx(1 / 3)),
        (1.0, 0.1, 0.25),
    ]


def test_nothing_measured_is_none() -> None:
    assert brier([], []) == aurc([], []) == augrc([], []) == Estimate(None, None, None, 0)
    assert calibration_error([], []).value is None
    assert risk_coverage([], []) == []


def test_a_certified_threshold_keeps_its_bound_as_often_as_it_says() -> None:
    """200 draws at 90 %: more than 32 violations would be a one in two hundred event if the promise held exactly."""
    rng, violations, found = np.random.default_rng(6), 0, 0
    population = rng.beta(4, 1.5, 200_000)
    for seed in range(200):
        scores, correct = sample(500, 100 + seed)
        result = certify_threshold(scores, correct, max_risk=0.15, confidence=0.9)
        if result.threshold is not None:
            found += 1
            violations += bool(np.mean(1 - population[population >= result.threshold]) > 0.15)
    assert violations <= 32
    assert found > 100


def test_data_that_support_no_threshold_are_said_to_do_so() -> None:
    rng = np.random.default_rng(7)
    result = certify_threshold(list(rng.random(100)), list(rng.random(100) < 0.5), max_risk=0.1)
    assert result.threshold is None
    assert str(result).startswith("100 labelled answers cannot support a threshold under which at most 10.0%")
    certain = certify_threshold([0.9] * 200, [True] * 200, max_risk=0.1)
    assert (certain.threshold, certain.num_answered, certain.num_wrong) == (0.9, 200, 0)
    assert "at a confidence of at least 0.900 (100% of the questions), at most 10.0%" in str(certain)
    with pytest.raises(ConfigError, match=r"must lie between 0 and 1, such as max_risk=0\.1"):
        certify_threshold([0.5], [True], max_risk=5)
