"""The state of one row of a batch while it is decoded; rows share nothing.

This module knows nothing of tensors, models or the loop's order of events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.phase import PhaseState, PhaseTracker, Switch, SwitchSchedule
from vreason_agent.decoding.rules import FinishReason
from vreason_agent.decoding.trace import StepRecord
from vreason_agent.errors import GenerationError


@dataclass
class Update:
    """What one update did to one row: its sign, and the loss (sign times entropy, nats) before and after it."""

    switch: Switch
    loss: float
    loss_after: float | None = None


@dataclass
class Row:
    """One sequence being generated.

    Attributes:
        config: The configuration of the generation.
        records: One per token.
        finish_reason: `None` while it runs.
    """

    config: VReasonConfig
    records: list[StepRecord] = field(default_factory=list)
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

    def observe(self, step: int, entropy: float, *, forced: bool) -> PhaseState:
        """Take in the entropy (nats) of the token of `step` and return the state; a forced token changes nothing."""
        return self._tracker.state if forced else self._tracker.observe(step, entropy)


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
