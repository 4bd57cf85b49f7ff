"""Every interval against a second implementation (scipy, scikit-learn) or against simulation with a fixed seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from vreason_agent.errors import EvaluationError
from vreason_agent.evaluation import Estimate, accuracy, auroc, bootstrap_difference, mean

NOTHING = Estimate(None, None, None, 0)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (1, 1), (37, 50), (700, 1000)])
def test_accuracy_interval_is_wilsons(right, n):
    estimate = accuracy([True] * right + [False] * (n - right))
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert estimate.value == right / n
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


def test_accuracy_of_identical_answers_within_videos_has_the_interval_of_the_videos():
    videos = [True] * 37 + [False] * 13
    repeated = accuracy(
        [value for value in videos for _ in range(4)], clusters=[i for i in range(50) for _ in range(4)]
    )
    alone = accuracy(videos)
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high), abs=2e-3)


def test_clusters_never_narrow_the_interval_of_accuracy():
    alternating = [True, False] * 30  # every video half right: robust variance 0
    assert accuracy(alternating, clusters=[i // 2 for i in range(60)]) == accuracy(alternating)


def test_mean_interval_is_the_normal_one():
    values = np.random.default_rng(0).normal(size=200)
    estimate = mean(list(values))
    expected = stats.norm.interval(0.95, loc=values.mean(), scale=stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected)


def test_cluster_interval_covers_as_promised():
    """400 data sets of 60 videos: coverage below 90.5 % or above 98 % would be a one in ten thousand event."""
    rng, covered = np.random.default_rng(1), 0
    clusters = [video for video in range(60) for _ in range(5)]
    for _ in range(400):
        values = np.repeat(rng.normal(size=60), 5) + rng.normal(size=300)
        estimate = mean(list(values), clusters=clusters)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 0.0 <= estimate.high
    assert 0.905 <= covered / 400 <= 0.98


def test_auroc_equals_sklearns_with_ties():
    rng = np.random.default_rng(2)
    labels = rng.random(300) < 0.6
    scores = np.round(rng.normal(size=300) + labels, 1)
    assert auroc(list(scores), list(labels)).value == pytest.approx(roc_auc_score(labels, scores))


def test_auroc_interval_is_that_of_delong():
    """DeLong's variance written out over all pairs, without ranks."""
    rng = np.random.default_rng(3)
    labels = rng.random(120) < 0.5
    scores = np.round(rng.normal(size=120) + 0.8 * labels, 1)
    right, wrong = scores[labels], scores[~labels]
    wins = (right[:, None] > wrong).astype(float) + 0.5 * (right[:, None] == wrong)
    variance = wins.mean(1).var(ddof=1) / len(right) + wins.mean(0).var(ddof=1) / len(wrong)
    estimate = auroc(list(scores), list(labels))
    half = 1.959964 * np.sqrt(variance)
    assert (estimate.low, estimate.high) == pytest.approx((wins.mean() - half, wins.mean() + half), abs=1e-6)


def test_auroc_interval_of_clusters_agrees_with_a_bootstrap_over_videos():
    """A bootstrap of 400 draws knows a standard error to about 3.5 %; a seeded difference of 15 % would be a fault."""
    rng = np.random.default_rng(4)
    video = np.repeat(np.arange(80), 5)
    shared = np.repeat(rng.normal(size=80), 5)
    labels = rng.normal(size=400) + shared > 0
    scores = rng.normal(size=400) + shared
    estimate = auroc(list(scores), list(labels), clusters=list(video))
    assert estimate.low is not None
    assert estimate.high is not None
    draws = []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(video == one) for one in rng.integers(0, 80, 80)])
        draws.append(roc_auc_score(labels[rows], scores[rows]))
    assert (estimate.high - estimate.low) / 2 / 1.96 == pytest.approx(np.std(draws), rel=0.15)


def test_auroc_takes_missing_scores_as_least_confident():
    assert auroc([None, 0.1, 0.2], [False, True, True]).value == 1.0
    assert auroc([None, 0.1, 0.2], [True, False, False]).value == 0.0
    assert auroc([None, None], [True, False]).value == 0.5


@pytest.mark.parametrize("labels", [[True, True], [False, False], []])
def test_auroc_of_one_class_is_none(labels):
    assert auroc([0.5] * len(labels), labels) == Estimate(None, None, None, len(labels))


def test_auroc_with_one_row_of_a_class_has_no_interval():
    assert auroc([0.1, 0.2, 0.3], [False, True, True]) == Estimate(1.0, None, None, 3)


def test_paired_differences_see_what_two_intervals_hide():
    first = [True] * 600 + [False] * 400
    second = [True] * 620 + [False] * 380
    difference = bootstrap_difference(first, second)
    assert difference.value == pytest.approx(0.02)
    assert difference.low is not None
    assert difference.low > 0
    assert (accuracy(first).high or 0) > (accuracy(second).low or 1)


def test_no_estimate_from_a_sample_has_an_interval_without_width():
    assert bootstrap_difference([3.0, 4.0], [5.0, 6.0]) == Estimate(2.0, None, None, 2)
    perfect = auroc([0.9] * 20 + [0.1] * 30, [True] * 20 + [False] * 30)
    expected = stats.binomtest(20, 20).proportion_ci(method="wilson")
    assert (perfect.value, perfect.low, perfect.high) == (1.0, pytest.approx(expected.low), 1.0)


def test_the_interval_of_a_paired_difference_covers_as_promised():
    """200 pairs of runs over 60 questions: coverage under 88 % would be a one in ten thousand event at 95 %."""
    rng, covered = np.random.default_rng(5), 0
    for _ in range(200):
        outcome = rng.choice(4, 60, p=(0.7, 0.12, 0.06, 0.12))
        right = list((outcome < 2) * 1.0), list((outcome % 2 == 0) * 1.0)
        difference = bootstrap_difference(*right, num_resamples=500)
        assert difference.low is not None
        assert difference.high is not None
        covered += difference.low <= 0.76 - 0.82 <= difference.high
    assert covered >= 176


def test_nothing_to_estimate_is_none():
    assert accuracy([]) == NOTHING
    assert mean([]) == NOTHING
    assert mean([2.0]) == Estimate(2.0, None, None, 1)


def test_series_of_different_length_are_refused():
    for call in (bootstrap_difference, auroc):
        with pytest.raises(EvaluationError, match="2 and 1 rows; pair them over the same questions first"):
            call([True, False], [True])
    with pytest.raises(EvaluationError, match="1 cluster labels for 2 rows; give one label per row"):
        mean([1.0, 2.0], clusters=["a"])
