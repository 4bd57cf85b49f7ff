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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vreason_agent.confidence.record import Confidence
from vreason_agent.errors import ConfigError, quote, shorten

SCHEMA = "vreason.calibrator/1"
Method = Literal["logistic", "platt", "isotonic"]
_PROBABILITIES = ("answer_probability", "vote_share")
_FLOOR = 1e-6


def transform_signal(name: str, value: float) -> float:
    """Return a signal as calibrators use it: log-odds of a probability, logarithm of an entropy or of `num_frames`."""
    if name in _PROBABILITIES:
        inside = min(max(value, _FLOOR), 1 - _FLOOR)
        return math.log(inside / (1 - inside))
    if name.endswith("_entropy"):
        return math.log(max(value, 0.0) + _FLOOR)
    return math.log2(value) if name == "num_frames" else value


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
class Calibrator:
    """A fitted map from signals to the probability that an answer is correct.

    Attributes:
        method: `"logistic"` on several signals, `"platt"` (logistic) or `"isotonic"` on one.
        features: The signals that it reads.
        intercept: Log-odds added to the features' parts.
        knots: Of an isotonic map: log-odds and probability of each, both rising; between them it is linear. Empty for
            the other methods, whose probability is the logistic function of the log-odds.
        fingerprint: The setup it was fitted on: names and values of everything that the signals depend on.
        fitted_on: What was counted: `num_questions`, `num_videos`, `accuracy`, and what the caller adds.
        metrics: Cross-validated figures of the fit, for the reader.
    """

    method: Method
    features: tuple[Feature, ...]
    fingerprint: Mapping[str, Any]
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()
    fitted_on: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """Twelve hex digits that identify the calibrator's content."""
        content = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def probability(self, signals: Mapping[str, float | None]) -> float | None:
        """Return the probability in [0, 1] that an answer with these signals is correct; `None` if one is missing."""
        parts = [feature.log_odds(signals.get(feature.signal)) for feature in self.features]
        if None in parts:
            return None
        log_odds = self.intercept + sum(part for part in parts if part is not None)
        if self.knots:
            return _interpolate(log_odds, self.knots)
        return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0

    def differences(self, fingerprint: Mapping[str, Any]) -> list[str]:
        """Return how a setup differs from the one that the calibrator was fitted on; empty where it is the same."""
        fitted, current = (json.loads(json.dumps(dict(one))) for one in (self.fingerprint, fingerprint))
        pairs = ((name, fitted.get(name), current.get(name)) for name in sorted({*fitted, *current}))
        return [f"{name}: fitted with {quote(old)}, now {quote(new)}" for name, old, new in pairs if old != new]

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
            features = tuple(Feature(**feature) for feature in data["features"])
            knots = tuple((float(x), float(y)) for x, y in data["knots"])
            calibrator = cls(**{**values, "features": features, "knots": knots})
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
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{quote(str(path))} is no calibrator that can be read: {shorten(str(exc))}") from exc


def apply_calibrator(confidence: Confidence, calibrator: Calibrator, fingerprint: Mapping[str, Any]) -> Confidence:
    """Return a record with the calibrator's probability, or without one and with the reason under `calibration`.

    Args:
        confidence: Record of one answer.
        calibrator: The fitted map.
        fingerprint: The setup that the answer was made with; every name and value must be the calibrator's.
    """
    differences = calibrator.differences(fingerprint)
    signals = {**confidence.signals, "num_frames": confidence.evidence.get("num_frames") or None}
    is_refused = bool(differences) or confidence.answer.get("text") is None
    probability = None if is_refused else calibrator.probability(signals)
    return replace(
        confidence,
        probability=probability,
        calibrated=probability is not None,
        calibration={"id": calibrator.id, "fitted_on": dict(calibrator.fitted_on or {}), "differences": differences},
    )


def _interpolate(x: float, knots: tuple[tuple[float, float], ...]) -> float:
    position = bisect_right([knot[0] for knot in knots], x)
    if position in (0, len(knots)):
        return knots[min(position, len(knots) - 1)][1]
    (left, low), (right, high) = knots[position - 1], knots[position]
    return low + (high - low) * (x - left) / (right - left)
