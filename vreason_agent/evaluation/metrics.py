"""Estimates with 95 % intervals: accuracy, mean, paired difference, AUROC. Numpy only.

Questions that share a video are not independent: every function takes `clusters`, one label per question, and widens
its interval accordingly. This module does not know what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from vreason_agent.errors import EvaluationError

_Z = NormalDist().inv_cdf(0.975)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval.

    Attributes:
        value: The estimate; `None` where there is nothing to estimate (no rows, or one class only).
        low: Lower end of the interval, `None` with `value`, or with fewer than two clusters.
        high: Upper end.
        n: Number of rows.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def accuracy(correct: Sequence[bool], *, clusters: Sequence[Hashable] | None = None) -> Estimate:
    """Share of true values with Wilson's interval (E. B. Wilson, 1927).

    Args:
        correct: One value per question.
        clusters: Label of each question's video. The sample size in the interval is divided by the design effect,
            cluster-robust variance over binomial variance, where that is above 1.
    """
    values = np.asarray(correct, dtype=np.float64)
    if len(values) == 0:
        return Estimate(None, None, None, 0)
    share = float(values.mean())
    return Estimate(share, *_wilson(share, len(values) / max(1.0, _design_effect(values, clusters))), len(values))


def _wilson(share: float, n: float) -> tuple[float, float]:
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + (_Z / (2 * n)) ** 2)
    return max(0.0, center - half), min(1.0, center + half)


def mean(values: Sequence[float], *, clusters: Sequence[Hashable] | None = None) -> Estimate:
    """Arithmetic mean with a normal interval from the cluster-robust variance."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        return Estimate(None, None, None, 0)
    value = float(array.mean())
    variance = _mean_variance(array, clusters)
    if variance is None:
        return Estimate(value, None, None, len(array))
    half = _Z * math.sqrt(variance)
    return Estimate(value, value - half, value + half, len(array))


def bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Mean of `second - first` over the same questions with a percentile interval from resampled clusters.

    Whole clusters (videos) are drawn with replacement, with all their questions (B. Efron and R. Tibshirani, 1993). A
    value may be a mean over several seeds of one question. The interval is `None` where all differences are the same.

    Raises:
        EvaluationError: The two series have different lengths.
    """
    require_equal_length(first, second)
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    if len(differences) == 0:
        return Estimate(None, None, None, 0)
    value, groups = float(differences.mean()), cluster_index(len(differences), clusters)
    sums, counts = np.bincount(groups, differences), np.bincount(groups)
    if np.ptp(differences) == 0 or len(sums) < 2:
        return Estimate(value, None, None, len(differences))
    rng, means = np.random.default_rng(seed), []
    for start in range(0, num_resamples, 500):  # 500 resamples at a time: little memory for thousands of videos
        drawn = rng.integers(0, len(sums), (min(500, num_resamples - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Estimate(value, float(low), float(high), len(differences))


def auroc(
    scores: Sequence[float | None], correct: Sequence[bool], *, clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """Probability that a right answer has the higher score, ties counting one half, with DeLong's interval.

    Implements DeLong, DeLong and Clarke-Pearson (1988) with Obuchowski's (1997) variance for clustered data, which
    equals DeLong's where every cluster has one member. Where that is zero, as with perfect separation, the interval is
    Wilson's over the rows (or clusters) of the smaller class.

    Args:
        scores: Larger means more confident. `None` (not computed, unparsed) ranks below every number.
        correct: Whether each answer is right.
        clusters: Label of each question's video.

    Raises:
        EvaluationError: `scores` and `correct` have different lengths.
    """
    require_equal_length(scores, correct)
    labels = np.asarray(correct, dtype=bool)
    ranks = np.array([-math.inf if score is None else float(score) for score in scores], dtype=np.float64)
    if labels.all() or not labels.any():
        return Estimate(None, None, None, len(labels))
    components = _placements(ranks, labels)
    value = float(components[labels].mean())
    groups = cluster_index(len(labels), clusters)
    variance = _auroc_variance(components, labels, groups, value)
    if variance is None:
        return Estimate(value, None, None, len(labels))
    if variance <= 0:
        smaller = min(len(np.unique(groups[rows])) for rows in (labels, ~labels))
        return Estimate(value, *_wilson(value, smaller), len(labels))
    half = _Z * math.sqrt(variance)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), len(labels))


def _placements(scores: Floats, labels: npt.NDArray[np.bool_]) -> Floats:
    """Return for each row the share of the other class that it is ranked rightly against, `(n,)`."""
    right, wrong = np.sort(scores[labels]), np.sort(scores[~labels])
    below = (np.searchsorted(wrong, scores, "left") + np.searchsorted(wrong, scores, "right")) / (2 * len(wrong))
    above = 1 - (np.searchsorted(right, scores, "left") + np.searchsorted(right, scores, "right")) / (2 * len(right))
    return np.where(labels, below, above)


def _auroc_variance(
    components: Floats, labels: npt.NDArray[np.bool_], groups: npt.NDArray[np.intp], value: float
) -> float | None:
    num_groups = int(groups.max()) + 1
    sums = [np.bincount(groups[rows], (components - value)[rows], num_groups) for rows in (labels, ~labels)]
    counts = [len(np.unique(groups[rows])) for rows in (labels, ~labels)]
    if min(counts) < 2:
        return None
    num_right, num_wrong = int(labels.sum()), int((~labels).sum())
    right = counts[0] / (counts[0] - 1) * float(sums[0] @ sums[0]) / num_right**2
    wrong = counts[1] / (counts[1] - 1) * float(sums[1] @ sums[1]) / num_wrong**2
    cross = num_groups / (num_groups - 1) * float(sums[0] @ sums[1]) / (num_right * num_wrong)
    return right + wrong + 2 * cross


def _mean_variance(values: Floats, clusters: Sequence[Hashable] | None) -> float | None:
    groups = cluster_index(len(values), clusters)
    num_groups = int(groups.max()) + 1
    if num_groups < 2:
        return None
    sums = np.bincount(groups, values - values.mean(), num_groups)
    return num_groups / (num_groups - 1) * float(sums @ sums) / len(values) ** 2


def _design_effect(values: Floats, clusters: Sequence[Hashable] | None) -> float:
    """Return cluster-robust over independent variance of the mean; 1 where either cannot be estimated."""
    robust, independent = _mean_variance(values, clusters), _mean_variance(values, None)
    return robust / independent if clusters is not None and robust and independent else 1.0


def cluster_index(n: int, clusters: Sequence[Hashable] | None) -> npt.NDArray[np.intp]:
    """Return the number of each row's cluster, `(n,)`: of the row itself where there are none."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        msg = f"{len(clusters)} cluster labels for {n} rows; give one label per row"
        raise EvaluationError(msg)
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in clusters], dtype=np.intp)


def require_equal_length(first: Sequence[object], second: Sequence[object]) -> None:
    """Raise `EvaluationError` where two series cannot be paired."""
    if len(first) != len(second):
        msg = f"two series of {len(first)} and {len(second)} rows; pair them over the same questions first"
        raise EvaluationError(msg)
