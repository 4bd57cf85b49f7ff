"""The sign of an update: raise or lower the entropy of the current next-token distribution.

Implements the schedules that `VReasonConfig.schedule` names. The paper's alpha is +1 for `LOWER` and -1 for `RAISE`
and exists inside the loss only. This module knows nothing of tensors.
"""

from __future__ import annotations

import random
from enum import StrEnum

from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.phase import Phase, PhaseState


class Switch(StrEnum):
    """What an update does to the entropy."""

    LOWER = "lower"
    RAISE = "raise"

    @property
    def loss_sign(self) -> float:
        """Factor of the entropy in the loss that is minimized: +1 lowers it, -1 raises it."""
        return 1.0 if self is Switch.LOWER else -1.0


class SwitchSchedule:
    """Chooses the sign of each update of one sequence."""

    def __init__(self, config: VReasonConfig) -> None:
        self._schedule = config.schedule
        self._random = random.Random(config.seed)
        self._last = Switch.LOWER

    def choose(self, entropy: float, state: PhaseState) -> Switch:
        """Return the sign for an update at `entropy` (nats, before the update) in `state`.

        `state` already counts this entropy. That changes no comparison: an entropy is above its average exactly if
        it was above the average before it. (Only `ema_decay=0` differs: the average then is the entropy itself, which
        is never above it, so that `switching` raises until exploitation.)
        """
        self._last = self._next(entropy, state)
        return self._last

    def _next(self, entropy: float, state: PhaseState) -> Switch:
        if self._schedule in ("minimize", "maximize"):
            return Switch.LOWER if self._schedule == "minimize" else Switch.RAISE
        if self._schedule == "random":
            return self._random.choice((Switch.LOWER, Switch.RAISE))
        if state.phase is Phase.EXPLOITATION:
            return Switch.LOWER
        is_high = state.entropy_ema is not None and entropy > state.entropy_ema
        should_lower = self._last is Switch.RAISE if self._schedule == "alternating" else is_high
        return Switch.LOWER if should_lower else Switch.RAISE
