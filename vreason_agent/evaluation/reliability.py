"""How good a confidence is: calibration error, Brier score, and error against coverage, with 95 % intervals.

Intervals of areas are bootstrap percentiles over whole videos. Numpy only; this module does not
know where the confidences come from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vreason_agent.evaluation.metrics import Estimate, Floats, accuracy, cluster_index, mean, require_equal_length

NUM_DRAWS = 1000
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error beside what a perfectly calibrated confidence of this sample would show.

    Attributes:
        value: The error, in [0, 1]; `None` without rows. It has no interval: resampled rows show more of it.
        null_mean: Its mean if every probability were exact: never 0 on a finite sample.
        null_high: The 95th percentile of the same. An error below it is no evidence of miscalibration.
    """

    value: float | None
    null_mean: float
    null_high: float

    @property
    def is_within_null(self) -> bool:
        """Whether the error could be that of a perfectly calibrated confidence."""
        return self.value is not None and self.value <= self.null_high


@dataclass(frozen=True)
class CoveragePoint:
    """Share of wrong answers among the most confident ones.

    Attributes:
        coverage: Share of all questions that are answered, in (0, 1].
        threshold: Lowest confidence among them.
        risk: Share of them that is wrong.
    """

    coverage: float
    threshold: float
    risk: Estimate


def brier(
    probabilities: Sequence[float], correct: Sequence[bool], *, clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """Mean squared difference of probability and outcome (G. W. Brier, 1950), in [0, 1], lower is better."""
    p, y = _arrays(probabilities, correct)
    return mean(list((p - y) ** 2), clusters=clusters)


def rejection_cost(
    probabilities: Sequence[float], correct: Sequence[bool], *, clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """Mean cost of acting on a probability, over all costs of rejecting from 0 to 1: lower is better, in [0, 1].

    A wrong answer that is taken costs 1, a right one nothing, and rejecting costs c; an answer is taken where that is
    expected to be cheaper, 1 - p <= c. Averaged over even c this is p (1 - y) + (1 - p)^2 / 2, which equals half the
    Brier score plus half the share of wrong answers: a proper score that counts the answers as well as their
    probabilities, of the family of Estienne et al. (ECUAS, arXiv 2605.20490) with evenly weighed costs.
    """
    p, y = _arrays(probabilities, correct)
    return mean(list(p * (1 - y) + (1 - p) ** 2 / 2), clusters=clusters)


def calibration_error(
    probabilities: Sequence[float], correct: Sequence[bool], *, num_bins: int = 10, seed: int = 0
) -> CalibrationError:
    """Expected calibration error: mean over bins of the distance of mean probability and share correct, by rows.

    Bins hold equal numbers of rows (M. P. Naeini et al., 2015; equal mass as R. Roelofs et al., 2022).

    Args:
        probabilities: Of being correct, each in [0, 1].
        correct: Whether each answer is.
        num_bins: Bins; fewer where there are fewer rows.
        seed: Of the null band.
    """
    p, y = _arrays(probabilities, correct)
    if len(p) == 0:
        return CalibrationError(None, 0.0, 0.0)
    null = _binned_errors(p, np.random.default_rng(seed).random((NUM_DRAWS, len(p))) < p, num_bins)
    return CalibrationError(float(_binned_errors(p, y, num_bins)), float(null.mean()), float(np.quantile(null, 0.95)))


def aurc(
    scores: Sequence[float],
    correct: Sequence[bool],
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
) -> Estimate:
    """Area under the risk-coverage curve (Y. Geifman and R. El-Yaniv, 2017): lower is better.

    The mean, over every k, of the share of wrong answers among the k most confident; equal scores count as answered in
    random order. It weighs the most confident answers most.
    """
    s, y = _arrays(scores, correct)

    def area(rows: Indices) -> float:
        return float(np.mean(_cumulated_errors(s[rows], y[rows]) / np.arange(1, len(rows) + 1)))

    return _bootstrapped(area, len(s), clusters, seed, num_draws)


def augrc(
    scores: Sequence[float],
    correct: Sequence[bool],
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
) -> Estimate:
    """Area under the generalized risk-coverage curve (J. Traub et al., 2024), in [0, 0.5], lower is better.

    The probability that an answer is both given and wrong, averaged over coverage; with accuracy a it equals
    (1 - AUROC) a (1 - a) + (1 - a)^2 / 2.
    """
    s, y = _arrays(scores, correct)

    def area(rows: Indices) -> float:
        errors = np.concatenate([[0.0], _cumulated_errors(s[rows], y[rows])]) / len(rows)
        return float(np.mean((errors[1:] + errors[:-1]) / 2))

    return _bootstrapped(area, len(s), clusters, seed, num_draws)


def risk_coverage(
    scores: Sequence[float],
    correct: Sequence[bool],
    *,
    clusters: Sequence[Hashable] | None = None,
    coverages: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
) -> list[CoveragePoint]:
    """Return the share of wrong answers at several shares of answered questions, the most confident first.

    Rows of equal score are answered together, so that a coverage can be larger than asked for.
    """
    s, y = _arrays(scores, correct)
    groups = np.asarray(clusters if clusters is not None else np.arange(len(s)), dtype=object)
    points: list[CoveragePoint] = []
    for coverage in coverages if len(s) else ():
        threshold = np.sort(s)[::-1][max(1, round(coverage * len(s))) - 1]
        rows = s >= threshold
        risk = accuracy(list(y[rows] == 0), clusters=list(groups[rows]))
        points.append(CoveragePoint(float(rows.mean()), float(threshold), risk))
    return points


def _arrays(scores: Sequence[float], correct: Sequence[bool]) -> tuple[Floats, Floats]:
    require_equal_length(scores, correct)
    return np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=np.float64)


def _cumulated_errors(scores: Floats, correct: Floats) -> Floats:
    """Expected errors among the k most confident, `(n,)`; rows of equal score share their errors evenly."""
    _, group = np.unique(-scores, return_inverse=True)
    shares = np.bincount(group, 1 - correct) / np.bincount(group)
    return np.cumsum(shares[np.sort(group)])


def _binned_errors(probabilities: Floats, outcomes: npt.NDArray[Any], num_bins: int) -> Floats:
    """Calibration errors of outcomes `(..., n)`, of shape `(...)`."""
    order = np.argsort(probabilities, kind="stable")
    starts = np.unique(np.linspace(0, len(order), num_bins, endpoint=False).astype(int))
    gaps = np.add.reduceat(outcomes[..., order] - probabilities[order], starts, axis=-1)
    return np.asarray(np.abs(gaps).sum(axis=-1) / len(order))


def _bootstrapped(
    statistic: Callable[[Indices], float],
    n: int,
    clusters: Sequence[Hashable] | None,
    seed: int,
    num_draws: int,
) -> Estimate:
    """A statistic of row numbers, with the percentile interval over resampled clusters."""
    if n == 0:
        return Estimate(None, None, None, 0)
    groups = cluster_index(n, clusters)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    value = statistic(np.arange(n))
    if len(members) < 2:
        return Estimate(value, None, None, n)
    rng = np.random.default_rng(seed)
    draws = [
        statistic(np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))]))
        for _ in range(num_draws)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return Estimate(value, float(low), float(high), n)
