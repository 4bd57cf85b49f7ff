"""Fit a calibrator on a labelled run and report, cross-validated by video, how good its confidence is.

Needs scikit-learn, the extra `calibration`; applying a calibrator does not (`vreason_agent.confidence.calibration`).
This module does not know which model answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vreason_agent.confidence.calibration import Calibrator, Feature, Method, transform_signal
from vreason_agent.errors import DependencyError, EvaluationError, quote
from vreason_agent.evaluation.metrics import Estimate, Floats, accuracy, auroc
from vreason_agent.evaluation.reliability import (
    CalibrationError,
    CoveragePoint,
    augrc,
    aurc,
    brier,
    calibration_error,
    risk_coverage,
)
from vreason_agent.evaluation.runner import Result

DEFAULT_SIGNALS = (
    "answer_probability",
    "answer_entropy",
    "entropy_drop",
    "final_entropy",
    "peak_entropy",
    "mean_entropy",
    "num_frames",
)
MIN_ROWS = 50
Signals = Mapping[str, float | None]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class CalibrationReport:
    """Cross-validated figures of a fit: every probability comes from a calibrator that had not seen its video.

    Attributes:
        accuracy: Share of right answers among those that could be read.
        num_unread: Answers that could not be read: left out of the fit, they never get a probability.
        auroc: Of the fitted probability.
        aurc: Area under the risk-coverage curve.
        augrc: Area under the generalized risk-coverage curve.
        brier: Mean squared error of the probability.
        calibration_error: Expected calibration error with its null band.
        curve: Risk at shares of answered questions.
        signal_auroc: Of each signal alone, on the transformed scale, pointing as given (below 0.5: lower is confident).
    """

    accuracy: Estimate
    num_unread: int
    auroc: Estimate
    aurc: Estimate
    augrc: Estimate
    brier: Estimate
    calibration_error: CalibrationError
    curve: tuple[CoveragePoint, ...]
    signal_auroc: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON data: value, low and high of each."""
        names = ("accuracy", "auroc", "aurc", "augrc", "brier")
        error = self.calibration_error
        return {
            **{name: _bounds(getattr(self, name)) for name in names},
            "num_unread": self.num_unread,
            "ece": {"value": error.value, "null_mean": error.null_mean, "null_high": error.null_high},
            "curve": [{"coverage": point.coverage, **_bounds(point.risk)} for point in self.curve],
            "signal_auroc": {name: _bounds(estimate) for name, estimate in self.signal_auroc.items()},
        }


def fit_calibrator(
    results: Sequence[Result],
    *,
    fingerprint: Mapping[str, Any],
    signals: Sequence[str] = DEFAULT_SIGNALS,
    method: Method = "logistic",
    strength: float = 1.0,
    num_folds: int = 5,
) -> tuple[Calibrator, CalibrationReport]:
    """Fit the probability of being correct from the signals of a labelled run.

    Args:
        results: Answers with their verdicts; those of one video are never split between fitting and checking.
        fingerprint: The setup that they were made with: the calibrator is refused under any other.
        signals: Names of the signals to use; `num_frames` is the number of frames that were looked at.
        method: `"logistic"` (L2, on all signals), `"platt"` or `"isotonic"` (on one; isotonic from 1,000 answers on).
        strength: Inverse of the L2 penalty of `"logistic"`: larger fits closer.
        num_folds: Parts of the cross-validation, from 2.

    Returns:
        The calibrator, fitted on all answers, and the cross-validated report, which it also holds as `metrics`.

    Raises:
        DependencyError: scikit-learn is missing.
        EvaluationError: Too few answers, videos, right or wrong ones, or signals that the run or the method lacks.
    """
    rows = [row for row in results if row.score.is_parsed]
    table = [_signals_of(row) for row in rows]
    correct = np.array([row.score.is_correct for row in rows], dtype=bool)
    videos = [row.question.cluster for row in rows]
    _check(table, correct, videos, signals, method, num_folds)
    lacking = {name for name in signals if any(row.get(name) is None for row in table)}

    def fitted(index: Indices) -> Calibrator:
        some = [table[row] for row in index]
        return _fit(some, correct[index], signals, lacking, method, strength)

    probabilities = np.zeros(len(rows))
    for train, test in _splits(correct, videos, num_folds):
        calibrator = fitted(train)
        probabilities[test] = [calibrator.probability(table[row]) for row in test]
    report = _report(probabilities, table, correct, videos, signals, len(results) - len(rows))
    counted = {"num_questions": len(rows), "num_videos": len(set(videos)), "accuracy": float(correct.mean())}
    whole = replace(fitted(np.arange(len(rows))), fingerprint=dict(fingerprint), fitted_on=counted)
    return replace(whole, metrics=report.to_dict()), report


def _signals_of(row: Result) -> dict[str, float | None]:
    return {**row.answer.signals, "num_frames": row.answer.num_frames or None}


def _check(
    table: Sequence[Signals], correct: Any, videos: Sequence[str], signals: Sequence[str], method: str, num_folds: int
) -> None:
    unknown = [name for name in signals if all(row.get(name) is None for row in table)]
    counts = (int(correct.sum()), int((~correct).sum()))
    if len(table) < MIN_ROWS or min(counts) < num_folds or len(set(videos)) < num_folds or num_folds < 2:
        given = f"{len(table)} answers of {len(set(videos))} videos, {counts[0]} right and {counts[1]} wrong"
        needed = f"{MIN_ROWS} answers and {max(num_folds, 2)} videos, right and wrong ones"
        msg = f"{given}: {num_folds}-fold cross-validation needs at least {needed}; label more questions"
        raise EvaluationError(msg)
    if not signals or unknown:
        measured = sorted({name for row in table for name in row})
        msg = f"no answer has the signals {quote(unknown)}; choose among {quote(measured)}"
        raise EvaluationError(msg)
    if method != "logistic" and len(signals) != 1:
        msg = f"method={quote(method)} maps one signal, not {quote(list(signals))}; name one, or use method='logistic'"
        raise EvaluationError(msg)
    if method == "isotonic" and any(row.get(signals[0]) is None for row in table):
        msg = f"some answers lack {quote(signals[0])}, which an isotonic map cannot place; use method='logistic'"
        raise EvaluationError(msg)


def _fit(
    table: Sequence[Signals], correct: Any, signals: Sequence[str], lacking: set[str], method: Method, strength: float
) -> Calibrator:
    columns = {name: np.array([_transformed(row, name) for row in table]) for name in signals}
    known = {name: column[~np.isnan(column)] for name, column in columns.items()}
    means = {name: float(values.mean()) if len(values) else 0.0 for name, values in known.items()}
    scales = {name: (float(values.std()) if len(values) else 0.0) or 1.0 for name, values in known.items()}
    scaled = {name: (column - means[name]) / scales[name] for name, column in columns.items()}
    if method == "isotonic":
        return _fit_isotonic(signals[0], means[signals[0]], scales[signals[0]], scaled[signals[0]], correct)
    from sklearn.linear_model import LogisticRegression

    gaps = sorted(lacking)
    matrix = np.column_stack(
        [*(np.nan_to_num(scaled[name]) for name in signals), *(np.isnan(columns[name]) for name in gaps)]
    )
    model = LogisticRegression(C=strength if method == "logistic" else 100.0, max_iter=1000).fit(matrix, correct)
    weights = [float(weight) for weight in model.coef_[0]]
    missing = dict(zip(gaps, weights[len(signals) :], strict=True))
    features = tuple(
        Feature(name, means[name], scales[name], weight, missing.get(name))
        for name, weight in zip(signals, weights[: len(signals)], strict=True)
    )
    return Calibrator(method, features, {}, intercept=float(model.intercept_[0]))


def _fit_isotonic(name: str, mean: float, scale: float, scaled: Floats, correct: Any) -> Calibrator:
    from sklearn.isotonic import IsotonicRegression

    rises = (auroc(list(scaled), list(correct)).value or 0.0) >= 0.5
    direction = 1.0 if rises else -1.0
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(direction * scaled, correct)
    knots = tuple((float(x), float(y)) for x, y in zip(model.X_thresholds_, model.y_thresholds_, strict=True))
    return Calibrator("isotonic", (Feature(name, mean, scale, direction),), {}, knots=knots)


def _transformed(row: Signals, name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None else transform_signal(name, float(value))


def _splits(correct: Any, videos: Sequence[str], num_folds: int) -> Any:
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError as exc:
        msg = "fitting a calibrator needs scikit-learn; run: pip install 'vreason-agent[calibration]'"
        raise DependencyError(msg) from exc
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=0)
    return folds.split(np.zeros(len(correct)), correct, groups=np.asarray(videos))


def _report(
    probabilities: Floats,
    table: Sequence[Signals],
    correct: Any,
    videos: Sequence[str],
    signals: Sequence[str],
    num_unread: int,
) -> CalibrationReport:
    scores, labels = list(probabilities), list(correct)
    return CalibrationReport(
        accuracy=accuracy(labels, clusters=videos),
        num_unread=num_unread,
        auroc=auroc(scores, labels, clusters=videos),
        aurc=aurc(scores, labels, clusters=videos),
        augrc=augrc(scores, labels, clusters=videos),
        brier=brier(scores, labels, clusters=videos),
        calibration_error=calibration_error(scores, labels),
        curve=tuple(risk_coverage(scores, labels, clusters=videos)),
        signal_auroc={
            name: auroc([None if row.get(name) is None else row[name] for row in table], labels, clusters=videos)
            for name in signals
        },
    )


def _bounds(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
