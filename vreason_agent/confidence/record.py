"""The confidence record: what is known about how far one answer can be trusted, as plain data.

`probability` stays `None` until a calibrator that matches the setup exists; a raw signal never stands in for it. The
record is what `response_metadata["confidence"]` holds. This module knows neither LangChain nor a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from vreason_agent.answers import find_answer
from vreason_agent.confidence.logprobs import has_logprobs, read_logprob_signals, read_tokens, texts_of, units_of
from vreason_agent.errors import ConfigError, quote

SCHEMA = "vreason.confidence/1"
Action = Literal["accept", "more_frames", "retry", "abstain"]
NOT_JUDGED = "one attempt; no policy has judged it"
UNITS = {"entropy": "nats", "source": "raw_logits", "vocab": "full", "slope": "nats per token"}


@dataclass(frozen=True)
class Confidence:
    """How settled a model was on one answer, and what it had seen.

    Attributes:
        probability: Calibrated probability that the answer is correct, in [0, 1]; `None` without a calibrator.
        calibrated: Whether `probability` comes from a calibrator that matches this setup.
        answer: `text` and `choice` as read from the output, and `kind`: `"choice"`, `"open"` or `"unparsed"`.
        signals: Raw signals by name (see `read_signals`); `None` is "not measured".
        options: Of a question with options, each one's probability among them `before` the reasoning and `after` it,
            and their `mass` (see `OptionProbabilities`); `None` where it was not measured.
        units: What the numbers are of: unit and source of entropies, size of the vocabulary they were taken over.
        steering: Whether V-Reason steered the generation, with which schedule, and which entropy the signals saw.
        evidence: `num_frames` and `timestamps_seconds`: the distinct frames that were seen, each once, however many of
            the times asked for led to it; and `rungs`: one entry per pass over the video.
        decision: `action` (accept, more_frames, retry, abstain, or `None` when nothing judged), `reason`, and, once
            judged, `settled`: a best guess may be accepted without being settled.
        calibration: Of the calibrator that was applied: `id`, `fitted_on`, `thresholds` that bound a ladder's risk (see
            `Calibrator.thresholds`), and `differences` from its setup, with any
            of which it gives no probability; `None` without a calibrator.
        warnings: What a reader must know: codes, and sentences from the model (such as positions that cannot tell
            frames apart).
    """

    probability: float | None = None
    calibrated: bool = False
    answer: Mapping[str, Any] = field(default_factory=lambda: {"text": None, "choice": None, "kind": "unparsed"})
    signals: Mapping[str, float | None] = field(default_factory=dict)
    options: Mapping[str, Any] | None = None
    units: Mapping[str, str] = field(default_factory=lambda: dict(UNITS))
    steering: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(
        default_factory=lambda: {"num_frames": 0, "timestamps_seconds": [], "rungs": []}
    )
    decision: Mapping[str, Any] = field(default_factory=lambda: {"action": None, "reason": NOT_JUDGED})
    calibration: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    def signal(self, name: str) -> float | None:
        """Return one raw signal, `None` when it was not measured."""
        return self.signals.get(name)

    def decided(
        self, action: Action, reason: str, rungs: list[dict[str, Any]], *, settled: bool | None = None
    ) -> Confidence:
        """Return this record with a policy's decision and the passes it was based on.

        Args:
            action: What was decided.
            reason: Why.
            rungs: One entry per pass.
            settled: Whether the policy's conditions were met; by default as an acceptance implies.
        """
        is_settled = action == "accept" if settled is None else settled
        return replace(
            self,
            decision={"action": action, "reason": reason, "settled": is_settled},
            evidence={**self.evidence, "rungs": rungs},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-plain data, `schema` first."""
        return {"schema": SCHEMA, **asdict(self), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Confidence:
        """Read what `to_dict` wrote; keys that a later version added are ignored."""
        names = {item.name for item in fields(cls)}
        values = {key: value for key, value in record.items() if key in names}
        return cls(**{**values, "warnings": tuple(values.get("warnings", ()))})


def confidence_of(message: Any) -> Confidence:
    """Return the confidence record of a chat model's message, or what its server's token log-probabilities tell.

    Args:
        message: An `AIMessage`. Without a record, the log-probabilities in its `response_metadata` are read, in any of
            the forms that LangChain's chat models leave (see `read_tokens`).

    Returns:
        The record; without one the signals of the log-probabilities, whose entropies are lower bounds (`units` says
        over how many alternatives), with the warning `"from_logprobs"`; without either no signal, no unit and the
        warning `"no_confidence"`, or `"unread_logprobs"` where they have an unknown form.

    Raises:
        ConfigError: If it is no message.
    """
    if not hasattr(message, "response_metadata"):
        given = f"{type(message).__name__} {quote(message)}"
        msg = f"confidence_of takes a chat model's message, not {given}; pass what chat_model.invoke(...) returned"
        raise ConfigError(msg)
    metadata = message.response_metadata or {}
    record = metadata.get("confidence")
    if isinstance(record, Mapping):
        return Confidence.from_dict(record)
    if tokens := read_tokens(metadata):
        text = "".join(texts_of(tokens))
        answer, signals, units = _open_answer(text), read_logprob_signals(tokens), units_of(tokens)
        return Confidence(answer=answer, signals=signals, units=units, warnings=("from_logprobs",))
    warning = "unread_logprobs" if has_logprobs(metadata) else "no_confidence"
    return Confidence(answer=_open_answer(getattr(message, "text", "")), units={}, warnings=(warning,))


def _open_answer(text: str) -> dict[str, Any]:
    answer = text[slice(*find_answer(text))] or None
    return {"text": answer, "choice": None, "kind": "unparsed" if answer is None else "open"}
