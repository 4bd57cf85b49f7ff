"""Fit a calibrator on a labelled run and report, cross-validated by video, how good its confidence is.

Needs scikit-learn, the extra `calibration`; applying a calibrator does not (`vreason_agent.confidence.calibration`).
This module does not know which model answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vreason_agent.confidence.calibration import (
    Calibrator,
    Feature,
    LadderTable,
    Method,
    SignalMap,
    transform_signal,
)
from vreason_agent.confidence.frame_statistics import FrameRange
from vreason_agent.errors import DependencyError, EvaluationError, quote
from vreason_agent.evaluation.metrics import Estimate, Floats, accuracy, auroc
from vreason_agent.evaluation.reliability import (
    NUM_DRAWS,
    CalibrationError,
    CoveragePoint,
    augrc,
    aurc,
    brier,
    calibration_error,
    rejection_cost,
    risk_coverage,
)
from vreason_agent.evaluation.risk_control import ladder_gates
from vreason_agent.evaluation.runner import Result

DEFAULT_SIGNALS = (
    "joint_probability",
    "option_probability",
    "perplexity",
    "entropy_drop",
    "mean_entropy",
    "num_frames",
)
MIN_ROWS = 50
NUM_SIGNAL_DRAWS = 200
Signals = Mapping[str, float | None]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Figures:
    """How good one probability is, cross-validated: each comes from a fit that had not seen its video.

    Attributes:
        auroc: Chance that a right answer has the higher one.
        aurc: Area under the risk-coverage curve.
        augrc: Area under the generalized risk-coverage curve.
        brier: Mean squared error.
        rejection_cost: Mean cost of acting on it, over all costs of rejecting.
        calibration_error: Expected calibration error with its null band.
    """

    auroc: Estimate
    aurc: Estimate
    augrc: Estimate
    brier: Estimate
    rejection_cost: Estimate
    calibration_error: CalibrationError

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON data: value, low and high of each."""
        names = ("auroc", "aurc", "augrc", "brier", "rejection_cost")
        error = self.calibration_error
        ece = {"value": error.value, "null_mean": error.null_mean, "null_high": error.null_high}
        return {**{name: _bounds(getattr(self, name)) for name in names}, "ece": ece}


@dataclass(frozen=True)
class CalibrationReport:
    """Cross-validated figures of a fit: every probability comes from a calibrator that had not seen its video.

    Attributes:
        accuracy: Share of right answers among those that could be read.
        num_unread: Answers that could not be read: left out of the fit, they never get a probability.
        combined: Of the fitted probability.
        curve: Risk at shares of answered questions.
        signals: Of each measured signal alone, used or not, mapped by its own logistic function (Platt); without the
            rows that lack it.
        rungs: Of the fitted probability at each number of frames.
        probabilities: The cross-validated probabilities, in the order of the answers that could be read.
        correct: Whether each of these is right.
    """

    accuracy: Estimate
    num_unread: int
    combined: Figures
    curve: tuple[CoveragePoint, ...]
    signals: Mapping[str, Figures]
    rungs: Mapping[int, tuple[Estimate, Figures]]
    probabilities: tuple[float, ...] = field(repr=False)
    correct: tuple[bool, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON data: value, low and high of each."""
        rungs = {
            str(count): {"accuracy": _bounds(share), **one.to_dict()} for count, (share, one) in self.rungs.items()
        }
        return {
            "accuracy": _bounds(self.accuracy),
            "num_unread": self.num_unread,
            **self.combined.to_dict(),
            "curve": [{"coverage": point.coverage, **_bounds(point.risk)} for point in self.curve],
            "signals": {name: one.to_dict() for name, one in self.signals.items()},
            "rungs": rungs,
        }


def fit_calibrator(
    results: Sequence[Result],
    *,
    fingerprint: Mapping[str, Any],
    signals: Sequence[str] = DEFAULT_SIGNALS,
    method: Method = "logistic",
    strength: float = 1.0,
    num_folds: int = 5,
    per_rung: bool = False,
    held_out: float = 0.0,
) -> tuple[Calibrator, CalibrationReport]:
    """Fit the probability of being correct from the signals of a labelled run.

    Args:
        results: Answers with their verdicts, of all rungs together; those of one video are never split between fitting
            and checking.
        fingerprint: The setup that they were made with: the calibrator is refused under any other.
        signals: Names of the signals to use; `num_frames` is the number of frames that were looked at.
        method: `"logistic"` (L2, on all signals), `"platt"` or `"isotonic"` (on one; isotonic from 1,000 answers on).
        strength: Inverse of the L2 penalty of `"logistic"`: larger fits closer.
        num_folds: Parts of the cross-validation, from 2.
        per_rung: One map for each number of frames, in place of one map that takes it as a signal.
        held_out: Share of the videos that is left out of fit and report and counted for bounds on the ladder's risk
            (`Calibrator.threshold`), in [0, 1).

    Returns:
        The calibrator and the cross-validated report, which it also holds as `metrics`.

    Raises:
        DependencyError: scikit-learn is missing.
        EvaluationError: Too few answers, videos, right or wrong ones, or signals that the run or the method lacks.
    """
    kept = [row for row in results if not _is_held_out(row, held_out)]
    data = _Data.of([row for row in kept if row.score.is_parsed])
    _check(data.table, data.correct, data.videos, signals, method, num_folds)
    fit = _Fit(tuple(signals), method, strength, per_rung)
    probabilities = _cross_validated(data, fit, num_folds)
    report = _report(probabilities, data, num_folds, num_unread=len(kept) - len(data.table))
    counted = {
        "num_questions": len(data.table),
        "num_videos": len(set(data.videos)),
        "accuracy": float(data.correct.mean()),
    }
    calibrator = Calibrator(
        method,
        fit.maps(data),
        dict(fingerprint),
        fitted_on=counted,
        metrics=report.to_dict(),
        frames=FrameRange.of(_statistics(kept)),
    )
    if held_out:
        calibrator = replace(
            calibrator, ladder=_ladder(calibrator, [row for row in results if _is_held_out(row, held_out)])
        )
    return calibrator, report


def common_setup(results: Sequence[Result]) -> dict[str, Any]:
    """Return the setup that all answers of a run were made with, every number of frames under `num_frames`.

    Raises:
        EvaluationError: An answer does not say its setup, or they differ in more than the number of frames.
    """
    setups = [row.answer.details.get("setup") for row in results if row.answer.error is None]
    known = [dict(setup) for setup in setups if setup]
    if not known or len(known) < len(setups):
        msg = f"{len(setups) - len(known)} of {len(setups)} answers do not say the setup that they were made with"
        raise EvaluationError(f"{msg}; make them anew: vreason-agent eval DATASET --out RUN")
    counts = sorted({int(setup.pop("num_frames")) for setup in known})
    if other := next((setup for setup in known if setup != known[0]), None):
        names = [name for name in other if other[name] != known[0].get(name)]
        msg = f"the answers were made with different setups ({', '.join(names)}); give runs of one setup"
        raise EvaluationError(msg)
    return {**known[0], "num_frames": counts}


@dataclass(frozen=True)
class _Data:
    """Answers that could be read, column by column."""

    table: list[dict[str, float | None]]
    correct: Any
    videos: list[str]

    @classmethod
    def of(cls, rows: Sequence[Result]) -> _Data:
        correct = np.array([row.score.is_correct for row in rows], dtype=bool)
        return cls([_signals_of(row) for row in rows], correct, [row.question.cluster for row in rows])

    def at(self, index: Indices) -> _Data:
        rows = [int(row) for row in index]
        return _Data([self.table[row] for row in rows], self.correct[rows], [self.videos[row] for row in rows])


@dataclass(frozen=True)
class _Fit:
    """How maps are fitted."""

    signals: tuple[str, ...]
    method: Method
    strength: float
    per_rung: bool = False

    def maps(self, data: _Data) -> tuple[SignalMap, ...]:
        lacking = {name for name in self.signals if any(row.get(name) is None for row in data.table)}
        if not self.per_rung:
            return (_fit(data.table, data.correct, self.signals, lacking, self.method, self.strength),)
        counts = np.array([row["num_frames"] or 0 for row in data.table])
        names = tuple(name for name in self.signals if name != "num_frames")
        maps = []
        for count in sorted(set(counts.tolist())):
            part = data.at(np.flatnonzero(counts == count))
            one = _fit(part.table, part.correct, names, lacking, self.method, self.strength)
            maps.append(replace(one, num_frames=int(count)))
        return tuple(maps)


def _cross_validated(data: _Data, fit: _Fit, num_folds: int) -> Floats:
    probabilities = np.full(len(data.table), float(data.correct.mean()))
    for train, test in _splits(data.correct, data.videos, num_folds):
        calibrator = Calibrator(fit.method, fit.maps(data.at(train)), {})
        for row in test:
            value = calibrator.probability(data.table[row])
            probabilities[row] = probabilities[row] if value is None else value
    return probabilities


def _is_held_out(row: Result, share: float) -> bool:
    """Tell by the video's name, so that adding questions moves none."""
    number = int(hashlib.sha256(row.question.cluster.encode()).hexdigest()[:8], 16)
    return number < share * 16**8


def _statistics(rows: Sequence[Result]) -> list[Mapping[str, float]]:
    """Return the frames' statistics of each video and rung once."""
    found = {
        (row.question.cluster, row.answer.num_frames): statistics
        for row in rows
        if (statistics := row.answer.details.get("frame_statistics"))
    }
    return list(found.values())


def _ladder(calibrator: Calibrator, rows: Sequence[Result]) -> LadderTable:
    """Count what thresholds do on held-out answers, one question per video: questions must be independent."""
    counts = sorted({row.answer.num_frames for row in rows})
    by_question: dict[str, dict[int, Result]] = {}
    for row in rows:
        by_question.setdefault(row.question.digest, {})[row.answer.num_frames] = row
    first = {next(iter(climb.values())).question.cluster: climb for climb in by_question.values()}
    climbs = [climb for climb in first.values() if len(climb) == len(counts)]
    rungs = [
        (
            [calibrator.probability(_signals_of(row)) if row.score.is_parsed else None for row in column],
            [row.score.is_correct for row in column],
        )
        for column in ([climb[count] for climb in climbs] for count in counts)
    ]
    return LadderTable(tuple(counts), len(climbs), tuple(ladder_gates(rungs)) if climbs else ())


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
) -> SignalMap:
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
    return SignalMap(features, float(model.intercept_[0]))


def _fit_isotonic(name: str, mean: float, scale: float, scaled: Floats, correct: Any) -> SignalMap:
    from sklearn.isotonic import IsotonicRegression

    rises = (auroc(list(scaled), list(correct)).value or 0.0) >= 0.5
    direction = 1.0 if rises else -1.0
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(direction * scaled, correct)
    knots = tuple((float(x), float(y)) for x, y in zip(model.X_thresholds_, model.y_thresholds_, strict=True))
    return SignalMap((Feature(name, mean, scale, direction),), knots=knots)


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


def _report(probabilities: Floats, data: _Data, num_folds: int, *, num_unread: int) -> CalibrationReport:
    counts = np.array([row["num_frames"] or 0 for row in data.table], dtype=int)
    measured = dict.fromkeys(name for row in data.table for name in row)
    rungs = {}
    for count in sorted(set(counts.tolist())):
        rows = np.flatnonzero(counts == count)
        part = data.at(rows)
        share = accuracy(list(part.correct), clusters=part.videos)
        rungs[count] = (share, _figures(probabilities[rows], part, NUM_SIGNAL_DRAWS))
    return CalibrationReport(
        accuracy=accuracy(list(data.correct), clusters=data.videos),
        num_unread=num_unread,
        combined=_figures(probabilities, data, NUM_DRAWS),
        curve=tuple(risk_coverage(list(probabilities), list(data.correct), clusters=data.videos)),
        signals={name: one for name in measured if (one := _signal_figures(name, data, num_folds)) is not None},
        rungs=rungs,
        probabilities=tuple(probabilities.tolist()),
        correct=tuple(data.correct.tolist()),
    )


def _figures(probabilities: Floats, data: _Data, num_draws: int) -> Figures:
    scores, labels = list(probabilities), list(data.correct)
    return Figures(
        auroc=auroc(scores, labels, clusters=data.videos),
        aurc=aurc(scores, labels, clusters=data.videos, num_draws=num_draws),
        augrc=augrc(scores, labels, clusters=data.videos, num_draws=num_draws),
        brier=brier(scores, labels, clusters=data.videos),
        rejection_cost=rejection_cost(scores, labels, clusters=data.videos),
        calibration_error=calibration_error(scores, labels),
    )


def _signal_figures(name: str, data: _Data, num_folds: int) -> Figures | None:
    """Return the figures of one signal; `None` where the rows that have it are too few or all right or all wrong."""
    some = data.at(np.flatnonzero([row.get(name) is not None for row in data.table]))
    if min(int(some.correct.sum()), int((~some.correct).sum())) < num_folds:
        return None
    return _figures(_cross_validated(some, _Fit((name,), "platt", 1.0), num_folds), some, NUM_SIGNAL_DRAWS)


def _bounds(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
