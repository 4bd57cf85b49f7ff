"""The state of one row of a batch while it is decoded; rows share nothing.

This module knows nothing of tensors, models or the loop's order of events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.phase import PhaseState, PhaseTracker
from vreason_agent.decoding.stopping import FinishReason
from vreason_agent.decoding.switch import Switch, SwitchSchedule
from vreason_agent.decoding.trace import StepRecord
from vreason_agent.errors import GenerationError

TopLogprobs = tuple[tuple[int, float], ...]


@dataclass
class Update:
    """What one update did to one row: its sign, and the loss (sign times entropy, nats) before and after it."""

    switch: Switch
    loss: float
    loss_after: float | None = None


@dataclass(frozen=True)
class Drawn:
    """The token drawn for one row at one step, with the distribution it came from."""

    token_id: int
    logprob: float
    entropy: float
    forced: bool
    controller_norm: float | None = None
    unsteered_entropy: float | None = None
    self_certainty: float | None = None
    top_logprobs: TopLogprobs = ()


@dataclass
class Row:
    """One sequence being generated.

    Attributes:
        config: The configuration of the generation.
        records: One per token.
        top_logprobs: One per token.
        finish_reason: `None` while it runs.
    """

    config: VReasonConfig
    records: list[StepRecord] = field(default_factory=list)
    top_logprobs: list[TopLogprobs] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self._tracker = PhaseTracker(self.config)
        self._schedule = SwitchSchedule(self.config)

    @property
    def is_running(self) -> bool:
        """Whether it takes further tokens."""
        return self.finish_reason is None

    @property
    def is_warm(self) -> bool:
        """Whether the warm-up is over, so that updates may begin."""
        return self._tracker.is_warm

    def choose_switch(self, step: int, entropy: float) -> Switch:
        """Return the sign of an update at `step`, given the entropy (nats) before it."""
        return self._schedule.choose(entropy, self._tracker.preview(step, entropy))

    def add(self, step: int, drawn: Drawn, update: Update | None) -> StepRecord:
        """Take in the token of `step` and return its record; `update` is what that step's update did, if it had one."""
        state = self._state_after(step, drawn)
        record = StepRecord(
            token_ids=drawn.token_id,
            logprobs=drawn.logprob,
            entropy=drawn.entropy,
            entropy_ema=state.entropy_ema,
            phase=state.phase,
            switch=update.switch if update else None,
            loss=update.loss if update else None,
            controller_norm=drawn.controller_norm,
            forced=drawn.forced,
            loss_after=update.loss_after if update else None,
            unsteered_entropy=drawn.unsteered_entropy,
            self_certainty=drawn.self_certainty,
        )
        self.records.append(record)
        self.top_logprobs.append(drawn.top_logprobs)
        return record

    def _state_after(self, step: int, drawn: Drawn) -> PhaseState:
        return self._tracker.state if drawn.forced else self._tracker.observe(step, drawn.entropy)


def check_finite(entropies: list[float], step: int) -> None:
    """Refuse logits that are not finite.

    Raises:
        GenerationError: an entropy is NaN or infinite.
    """
    if not all(math.isfinite(entropy) for entropy in entropies):
        raise GenerationError(
            f"the entropies at step {step} are {entropies}: the model's logits are not finite; load it in another "
            "dtype (dtype='float32' or 'bfloat16') or lower VReasonConfig.learning_rate"
        )
