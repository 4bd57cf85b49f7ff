"""What one generation did, token by token: plain data that goes to JSON and back unchanged.

This module knows no tensors and no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.phase import Phase, Switch
from vreason_agent.decoding.plain_data import PLAIN, json_object, read_dataclass
from vreason_agent.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TopLogprobs = tuple[tuple[int, float], ...]
_SERIES = {
    "token_ids": "token_id",
    "logprobs": "logprob",
    "entropy": "entropy",
    "entropy_ema": "entropy_ema",
    "phase": "phase",
    "switch": "switch",
    "loss": "loss",
    "controller_norm": "controller_norm",
    "forced": "forced",
    "loss_after": "loss_after",
    "unsteered_entropy": "unsteered_entropy",
    "self_certainty": "self_certainty",
}
"""Which field of the steps each series of a trace holds."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One generated token of one row: what `on_token` is called with, and what traces and stream events are made of.

    Attributes:
        row: Row of the batch.
        step: Number of the token in its row, from 0.
        token_id: The token.
        logprob: Natural logarithm of its raw probability (before temperature, top-k, penalties, grammar).
        entropy: Entropy of the raw distribution it was drawn from, nats.
        entropy_ema: Moving average of the entropy, nats; `None` during the warm-up.
        phase: Macro phase after this token's entropy was taken in.
        forced: Whether a grammar left no choice about the token.
        switch: What the update of this step did; `None` without one.
        loss: Sign times entropy before that update; `None` without one.
        loss_after: The same after it, if asked for.
        controller_norm: L2 norm of the controller after the step, in units of the values; `None` if nothing is steered.
        unsteered_entropy: Entropy without the controller at the same prefix, nats, if asked for.
        self_certainty: Divergence of the raw distribution from the even one, nats, from 0 (`entropy.self_certainty`).
        top_logprobs: The most likely tokens with their raw log-probabilities, best first; empty unless asked for.
    """

    row: int
    step: int
    token_id: int
    logprob: float
    entropy: float
    entropy_ema: float | None = None
    phase: Phase = Phase.EXPLORATION
    forced: bool = False
    switch: Switch | None = None
    loss: float | None = None
    loss_after: float | None = None
    controller_norm: float | None = None
    unsteered_entropy: float | None = None
    self_certainty: float | None = None
    top_logprobs: TopLogprobs = ()


OnToken = Callable[[StepRecord], bool | None]
"""Called with every token while the loop runs; returning True ends its row with that token."""


@dataclass(frozen=True)
class DecodingSeconds:
    """Wall times of one generation, in seconds, of the whole batch it ran in.

    Attributes:
        vision: Encoding frames; `None` where it was part of `prefill` or did not happen.
        prefill: Reading the prompt.
        decode: Every token after the prompt was read, updates included.
        updates: The share of `decode` spent on gradients, optimizer steps and evaluations they need.
    """

    __pydantic_config__ = PLAIN

    vision: float | None = None
    prefill: float = 0.0
    decode: float = 0.0
    updates: float = 0.0


class Peak(NamedTuple):
    """The largest moving average of the entropy: its step and its value in nats."""

    step: int
    entropy_ema: float


@dataclass(frozen=True)
class DecodingTrace:
    """The recorded series of one generation: one entry per generated token, in order; `None` where not computed.

    `entropy`, `logprobs` and `entropy_ema` describe the distribution that the token was drawn from: after the update of
    the same step under `apply_to="current"`, before it under `"next"`.

    Attributes:
        config: The configuration that produced it.
        token_ids: Generated token ids, end token included; this and every further series is explained at the field of
            the same name in `StepRecord`.
        logprobs: Of the generated tokens, natural logarithm.
        entropy: Nats, in [0, log vocab_size].
        entropy_ema: Nats; `None` during the warm-up.
        phase: Macro phases.
        switch: Signs of the updates; `None` without one.
        loss: Before the updates, nats.
        controller_norm: In units of the values.
        forced: Such tokens are in no average and no signal and see no update.
        loss_after: `None` unless `record_loss_after` asked for it.
        unsteered_entropy: `None` unless `record_unsteered_entropy` asked for it; not what an unsteered run would show.
        self_certainty: Nats; `None` in traces of earlier versions.
        steered: Whether a controller was attached.
        not_steered_because: Why not; `None` if steered.
        num_video_tokens: Video tokens in the prompt.
        num_video_tokens_kept: Those left in the cache (fewer under Lite).
        seconds: Wall times.
    """

    __pydantic_config__ = PLAIN

    config: VReasonConfig
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    entropy: tuple[float, ...] = ()
    entropy_ema: tuple[float | None, ...] = ()
    phase: tuple[Phase, ...] = ()
    switch: tuple[Switch | None, ...] = ()
    loss: tuple[float | None, ...] = ()
    controller_norm: tuple[float | None, ...] = ()
    forced: tuple[bool, ...] = ()
    loss_after: tuple[float | None, ...] | None = None
    unsteered_entropy: tuple[float | None, ...] | None = None
    self_certainty: tuple[float | None, ...] | None = None
    steered: bool = False
    not_steered_because: str | None = None
    num_video_tokens: int = 0
    num_video_tokens_kept: int = 0
    seconds: DecodingSeconds = field(default_factory=DecodingSeconds)

    @classmethod
    def from_steps(cls, config: VReasonConfig, steps: Sequence[StepRecord], **rest: Any) -> DecodingTrace:
        """Build a trace from its tokens' records; `rest` are the fields that are no series."""
        series: dict[str, Any] = {
            name: tuple(getattr(step, field) for step in steps) for name, field in _SERIES.items()
        }
        if not config.record_loss_after:
            series["loss_after"] = None
        if not config.record_unsteered_entropy:
            series["unsteered_entropy"] = None
        return cls(config=config, **series, **rest)

    def peak(self, stop: int | None = None) -> Peak | None:
        """Return the peak of the moving average over the steps before `stop`; `None` if none of them is free.

        In an answer shorter than the warm-up, the mean of its entropies at its last step stands for the average.
        """
        known = [(value, -step) for step, value in enumerate(self.entropy_ema[:stop]) if value is not None]
        if known:
            value, step = max(known)
            return Peak(-step, value)
        free = [step for step, forced in enumerate(self.forced[:stop]) if not forced]
        return Peak(free[-1], fmean(self.entropy[step] for step in free)) if free else None

    @property
    def peak_entropy(self) -> float | None:
        """Largest moving average of the entropy, nats."""
        peak = self.peak()
        return None if peak is None else peak.entropy_ema

    @property
    def peak_step(self) -> int | None:
        """Step of the largest moving average."""
        peak = self.peak()
        return None if peak is None else peak.step

    def final_steps(self, stop: int | None = None) -> tuple[int, ...]:
        """Return the steps of the final phase: the free ones after the peak and before `stop`, the answer's end.

        Where the peak is the last of them, it is the peak's step; without a free step there are none.
        """
        peak = self.peak(stop)
        if peak is None:
            return ()
        last = len(self.entropy[:stop])
        return tuple(step for step in range(peak.step + 1, last) if not self.forced[step]) or (peak.step,)

    def final_entropy(self, stop: int | None = None) -> float | None:
        """Return the mean entropy of the final phase, nats; `None` without a free step."""
        steps = self.final_steps(stop)
        return fmean(self.entropy[step] for step in steps) if steps else None

    def entropy_drop(self, stop: int | None = None) -> float | None:
        """Return (peak - final entropy) / peak: 1 is a fall to certainty, 0 or less none; `None` without a free step.

        With fewer than the config's `min_final_steps` steps after the peak, the entropy was still there when the answer
        ended: the drop is 0.
        """
        peak, final = self.peak(stop), self.final_entropy(stop)
        if peak is None or final is None:
            return None
        num_after = sum(step > peak.step for step in self.final_steps(stop))
        if num_after < self.config.min_final_steps or peak.entropy_ema <= 0.0:
            return 0.0
        return (peak.entropy_ema - final) / peak.entropy_ema

    @property
    def phase_shares(self) -> dict[str, float]:
        """Share of steps in each phase, in [0, 1]; empty without steps."""
        return {phase.value: self.phase.count(phase) / len(self.phase) for phase in Phase} if self.phase else {}

    @property
    def num_updates(self) -> int:
        """Number of steps with an update."""
        return sum(switch is not None for switch in self.switch)

    @property
    def share_differs_from_minimize(self) -> float | None:
        """Share of updates that raised the entropy, in [0, 1]; `None` without updates. 0: it only ever lowered."""
        return self.switch.count(Switch.RAISE) / self.num_updates if self.num_updates else None

    def summary(self, stop: int | None = None) -> dict[str, Any]:
        """Return the trace in a few JSON numbers, without its series; `stop` bounds peak, final entropy and drop."""
        peak = self.peak(stop)
        return {
            "schedule": self.config.schedule,
            "steered": self.steered,
            "not_steered_because": self.not_steered_because,
            "num_tokens": len(self.token_ids),
            "num_updates": self.num_updates,
            "peak_entropy": None if peak is None else peak.entropy_ema,
            "peak_step": None if peak is None else peak.step,
            "final_entropy": self.final_entropy(stop),
            "entropy_drop": self.entropy_drop(stop),
            "phase_shares": self.phase_shares,
            "share_differs_from_minimize": self.share_differs_from_minimize,
            "num_video_tokens": self.num_video_tokens,
            "num_video_tokens_kept": self.num_video_tokens_kept,
            "seconds": dict(vars(self.seconds)),
        }

    def plot(self, *, token_texts: Sequence[str] = (), title: str = "") -> Figure:
        """Return a matplotlib figure of the entropy, its moving average and peak, the phases and the updates.

        See `vreason_agent.plots.plot_trace`; `token_texts`, one per token, are written under it.

        Raises:
            DependencyError: matplotlib, the extra `plots`, is missing.
        """
        from vreason_agent.plots import plot_trace

        return plot_trace(self, token_texts=token_texts, title=title)

    def to_dict(self) -> dict[str, Any]:
        """Return every field as plain JSON data."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}
        plain["phase"] = [phase.value for phase in self.phase]
        plain["switch"] = [None if switch is None else switch.value for switch in self.switch]
        return {**plain, "config": self.config.to_dict(), "seconds": dict(vars(self.seconds))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DecodingTrace:
        """Build the trace that `to_dict` described.

        Raises:
            ConfigError: the data is no trace: a field is unknown, missing or of another type, or series differ in
                length.
        """
        trace = read_dataclass(cls, data, what="decoding trace")
        lengths = {name: len(series) for name in _SERIES if (series := getattr(trace, name)) is not None}
        if len(set(lengths.values())) > 1:
            raise ConfigError(
                f"a decoding trace has one entry per token in each series; got {lengths}; pass what to_dict() or "
                "to_json() gave"
            )
        return trace

    def to_json(self) -> str:
        """Return the trace as JSON text (finite numbers only)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> DecodingTrace:
        """Build the trace from `to_json`'s text.

        Raises:
            ConfigError: the text is no JSON object, or no trace.
        """
        return cls.from_dict(json_object(text, what="decoding trace"))
