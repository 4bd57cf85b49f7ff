"""From raw signals to a probability of being correct: a fitted calibrator as JSON, bound to the setup it was fitted on.

A calibrator holds for one setup (model, prompt, frames, decoding), named by its fingerprint; under any other it gives
no probability and says what differs. Fitting is `vreason_agent.evaluation.fit_calibrator`. Only the standard library is
needed here; this module knows no model and no dataset.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vreason_agent.confidence.frame_statistics import FrameRange
from vreason_agent.confidence.record import Confidence
from vreason_agent.confidence.risk import Gate, RiskThreshold, certify_gates
from vreason_agent.errors import ConfigError, quote, shorten

SCHEMA = "vreason.calibrator/2"
Method = Literal["logistic", "platt", "isotonic"]
_PROBABILITIES = (
    "answer_probability",
    "joint_probability",
    "option_probability",
    "option_probability_before",
    "option_mass",
    "vote_share",
)
_UNUSUAL = "unusual_frames"
USUAL_RISKS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
_FLOOR = 1e-6


def transform_signal(name: str, value: float) -> float:
    """Return a signal as calibrators use it: log-odds of a probability, logarithm of an entropy or of a count."""
    if name in _PROBABILITIES:
        inside = min(max(value, _FLOOR), 1 - _FLOOR)
        return math.log(inside / (1 - inside))
    if name.endswith("_entropy"):
        return math.log(max(value, 0.0) + _FLOOR)
    if name == "perplexity":
        return math.log(max(value - 1, 0.0) + _FLOOR)
    return math.log2(value) if name in ("num_frames", "num_tokens") and value > 0 else value


@dataclass(frozen=True)
class Feature:
    """One signal's part in the log-odds of being correct: `weight * (transformed - mean) / scale`.

    Attributes:
        signal: Its name.
        mean: Of the transformed signal on the labelled questions that have it.
        scale: Its standard deviation there, above 0.
        weight: Log-odds per standard deviation.
        missing_weight: Log-odds added where the signal is `None`; `None` where every labelled question had it: then
            an answer without it gets no probability.
    """

    signal: str
    mean: float = 0.0
    scale: float = 1.0
    weight: float = 1.0
    missing_weight: float | None = None

    def log_odds(self, value: float | None) -> float | None:
        """Return the part of one answer's log-odds, `None` where it cannot be known."""
        if value is None or math.isnan(value):
            return self.missing_weight
        return self.weight * (transform_signal(self.signal, value) - self.mean) / self.scale


@dataclass(frozen=True)
class SignalMap:
    """A fitted map from signals to a probability.

    Attributes:
        features: The signals that it reads.
        intercept: Log-odds added to the features' parts.
        knots: Of an isotonic map: log-odds and probability of each, both rising; between them it is linear. Empty for
            the others, whose probability is the logistic function of the log-odds.
        num_frames: The rung that it holds for; `None` for all.
    """

    features: tuple[Feature, ...]
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()
    num_frames: int | None = None

    def probability(self, signals: Mapping[str, float | None]) -> float | None:
        """Return the probability in [0, 1] that an answer with these signals is correct; `None` if one is missing."""
        parts = [feature.log_odds(signals.get(feature.signal)) for feature in self.features]
        if None in parts:
            return None
        log_odds = self.intercept + sum(part for part in parts if part is not None)
        if self.knots:
            return _interpolate(log_odds, self.knots)
        return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SignalMap:
        """Read JSON data."""
        features = tuple(Feature(**feature) for feature in data["features"])
        knots = tuple((float(x), float(y)) for x, y in data["knots"])
        return cls(features, data["intercept"], knots, data["num_frames"])


@dataclass(frozen=True)
class LadderTable:
    """What thresholds do to the whole ladder on labelled questions that the calibrator was not fitted on.

    An answer is given at the first rung whose probability reaches the threshold; after the last rung none is.

    Attributes:
        rungs: Numbers of frames, from few to many.
        num_questions: Labelled questions, each of another video.
        gates: What each threshold does, from strict to lenient.
    """

    rungs: tuple[int, ...]
    num_questions: int
    gates: tuple[Gate, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LadderTable:
        """Read JSON data."""
        return cls(tuple(data["rungs"]), data["num_questions"], tuple(Gate(**gate) for gate in data["gates"]))


@dataclass(frozen=True)
class Calibrator:
    """A fitted map from signals to the probability that an answer is correct, for one setup.

    Attributes:
        method: `"logistic"` on several signals, `"platt"` (logistic) or `"isotonic"` on one.
        maps: One for all rungs, or one per rung.
        fingerprint: The setup it was fitted on: names and values of everything that the signals depend on. A list of
            `num_frames` names every number of frames that it holds for.
        fitted_on: What was counted: `num_questions`, `num_videos`, `accuracy`, and what the caller adds.
        metrics: Cross-validated figures of the fit, for the reader.
        ladder: For bounds on the risk of the whole ladder; `None` where no answers were held out for them.
        frames: The usual range of the frames' statistics; `None` where they were not kept.
    """

    method: Method
    maps: tuple[SignalMap, ...]
    fingerprint: Mapping[str, Any]
    fitted_on: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None
    ladder: LadderTable | None = None
    frames: FrameRange | None = None

    @cached_property
    def id(self) -> str:
        """Twelve hex digits that identify the calibrator's content."""
        content = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def probability(self, signals: Mapping[str, float | None]) -> float | None:
        """Return the probability in [0, 1] that an answer is correct; `None` if it cannot be known.

        Args:
            signals: By name, `num_frames` among them where there is a map per rung.
        """
        one = next((one for one in self.maps if one.num_frames in (None, signals.get("num_frames"))), None)
        return None if one is None else one.probability(signals)

    def threshold(self, *, max_risk: float, confidence: float = 0.9) -> RiskThreshold:
        """Return the probability to answer at such that the ladder's risk is bounded, or that none is supported.

        Args:
            max_risk: Bound on the share of wrong answers among those that the ladder gives, in (0, 1).
            confidence: Probability that the bound holds, in (0, 1), over the draw of the labelled questions. It is that
                of this one bound: of several bounds asked for, each holds with it.

        Raises:
            ConfigError: A bound outside (0, 1), or no answers were held out.
        """
        if self.ladder is None:
            msg = f"calibrator {self.id} held out no answers; fit one with: vreason-agent calibrate RUN --max-risk 0.1"
            raise ConfigError(msg)
        table = self.ladder
        return certify_gates(table.gates, table.num_questions, max_risk=max_risk, confidence=confidence)

    @cached_property
    def usual_thresholds(self) -> list[dict[str, float]]:
        """What the data support of `USUAL_RISKS` at a confidence of 0.9: `max_risk` and `min_probability` of each."""
        bounds = [self.threshold(max_risk=risk) for risk in USUAL_RISKS] if self.ladder else []
        return [
            {"max_risk": bound.max_risk, "confidence": 0.9, "min_probability": bound.threshold}
            for bound in bounds
            if bound.threshold is not None
        ]

    def differences(self, fingerprint: Mapping[str, Any]) -> list[str]:
        """Return how a setup differs from the one that the calibrator was fitted on; empty where it is the same."""
        fitted, current = (json.loads(json.dumps(dict(one))) for one in (self.fingerprint, fingerprint))
        pairs = ((name, fitted.get(name), current.get(name)) for name in sorted({*fitted, *current}))
        differing = ((name, old, new) for name, old, new in pairs if not _is_same(old, new))
        return [f"{name}: {_difference(old, new)}" for name, old, new in differing]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, `schema` and `id` first."""
        return {"schema": SCHEMA, "id": self.id, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibrator:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: If it is none, of another schema, or was changed by hand.
        """
        try:
            values = {name: value for name, value in data.items() if name not in ("schema", "id")}
            values["maps"] = tuple(SignalMap.from_dict(one) for one in data["maps"])
            values["ladder"] = None if data["ladder"] is None else LadderTable.from_dict(data["ladder"])
            values["frames"] = None if data["frames"] is None else FrameRange.from_dict(data["frames"])
            calibrator = cls(**values)
            is_intact = (data["schema"], data["id"]) == (SCHEMA, calibrator.id)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            msg = (
                f"not a calibrator ({type(exc).__name__}: {shorten(str(exc))}); fit one with evaluation.fit_calibrator"
            )
            raise ConfigError(msg) from exc
        if not is_intact:
            msg = (
                f"calibrator {quote(data['id'])} of schema {quote(data['schema'])} was changed or is of another version"
            )
            raise ConfigError(f"{msg} (this one reads {SCHEMA}); fit it anew with evaluation.fit_calibrator")
        return calibrator

    @classmethod
    def from_json(cls, text: str) -> Calibrator:
        """Read the text of a file that `save` wrote; raises as `from_dict` does."""
        return cls.from_dict(json.loads(text))

    def save(self, path: str | Path) -> None:
        """Write the calibrator as a JSON file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Calibrator:
        """Read a JSON file that `save` wrote.

        Raises:
            ConfigError: If it cannot be read or is no calibrator.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{quote(str(path))} is no calibrator that can be read: {shorten(str(exc))}") from exc


def apply_calibrator(
    confidence: Confidence,
    calibrator: Calibrator,
    fingerprint: Mapping[str, Any],
    frame_statistics: Mapping[str, float] | None = None,
) -> Confidence:
    """Return a record with the calibrator's probability, or without one and with the reason under `calibration`.

    Args:
        confidence: Record of one answer.
        calibrator: The fitted map.
        fingerprint: The setup that the answer was made with; every name and value must be the calibrator's.
        frame_statistics: Of its frames; where they are unlike the calibrator's, the record warns of it.
    """
    differences = calibrator.differences(fingerprint)
    signals = {**confidence.signals, "num_frames": confidence.evidence.get("num_frames") or None}
    if isinstance(asked := fingerprint.get("num_frames"), int):
        signals["num_frames"] = asked
    is_refused = bool(differences) or confidence.answer.get("text") is None
    probability = None if is_refused else calibrator.probability(signals)
    is_unusual = bool(calibrator.frames and frame_statistics and calibrator.frames.is_unusual(frame_statistics))
    warnings = [_UNUSUAL] if is_unusual and not differences else []
    told = {"id": calibrator.id, "fitted_on": dict(calibrator.fitted_on or {}), "differences": differences}
    thresholds = [] if differences else calibrator.usual_thresholds
    return replace(
        confidence,
        probability=probability,
        calibrated=probability is not None,
        calibration={**told, "thresholds": thresholds},
        warnings=tuple(dict.fromkeys([*confidence.warnings, *warnings])),
    )


def closest_calibrator(calibrators: Sequence[Calibrator], fingerprint: Mapping[str, Any]) -> Calibrator:
    """Return the one of at least one calibrator that differs least from a setup."""

    def distance(one: Calibrator) -> tuple[int, int]:
        differences = one.differences(fingerprint)
        return len(differences), sum(map(len, differences))  # of one name the fewest entries

    return min(calibrators, key=distance)


def _is_same(fitted: Any, current: Any) -> bool:
    return bool(fitted == current or (isinstance(fitted, list) and isinstance(current, int) and current in fitted))


def _difference(fitted: Any, current: Any) -> str:
    """Return what differs between two values, of mappings the differing entries only."""
    if isinstance(fitted, dict) and isinstance(current, dict):
        names = [name for name in sorted({*fitted, *current}) if fitted.get(name) != current.get(name)]
        fitted, current = ({name: one.get(name) for name in names} for one in (fitted, current))
    return f"fitted with {quote(fitted)}, now {quote(current)}"


def _interpolate(x: float, knots: tuple[tuple[float, float], ...]) -> float:
    position = bisect_right([knot[0] for knot in knots], x)
    if position in (0, len(knots)):
        return knots[min(position, len(knots) - 1)][1]
    (left, low), (right, high) = knots[position - 1], knots[position]
    return low + (high - low) * (x - left) / (right - left)
