"""Where in its reasoning a sequence stands, and the sign of its updates: moving average, peak, macro phase, switch.

Implements the macro-exploration and macro-exploitation of Sridhar et al., "Video Reasoning without Training", arXiv
2510.17045; differs: the peak is found online (a running maximum and a margin), and the average starts as the mean of
the first tokens. The paper's alpha is +1 for `Switch.LOWER` and -1 for `Switch.RAISE` and exists inside the loss
only. This module knows floats only: no tensors, no controller, no model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from vreason_agent.decoding.config import VReasonConfig


class Phase(StrEnum):
    """The paper's macro phases."""

    EXPLORATION = "exploration"
    EXPLOITATION = "exploitation"


@dataclass(frozen=True)
class PhaseState:
    """What the entropies up to one step say.

    Attributes:
        phase: The macro phase.
        entropy_ema: Moving average of the entropy, nats; `None` until the warm-up is complete.
        entropy_peak: Largest average so far, nats; `None` until the warm-up is complete.
        peak_step: Step of that largest average.
    """

    phase: Phase = Phase.EXPLORATION
    entropy_ema: float | None = None
    entropy_peak: float | None = None
    peak_step: int | None = None


class PhaseTracker:
    """Feeds one sequence's entropies to the moving average and follows its phase.

    Attributes:
        state: The state after the entropies observed so far.
    """

    def __init__(self, config: VReasonConfig) -> None:
        self._config = config
        self._warmup: list[float] = []
        self.state = PhaseState()

    @property
    def is_warm(self) -> bool:
        """Whether the average exists: `warmup_steps` entropies were observed."""
        return self.state.entropy_ema is not None

    def preview(self, step: int, entropy: float) -> PhaseState:
        """Return the state that observing `entropy` (nats) at `step` would give, without observing it."""
        ema = self._next_ema(entropy)
        return self.state if ema is None else self._after(step, ema)

    def observe(self, step: int, entropy: float) -> PhaseState:
        """Take in the entropy (nats) of the token at `step` and return the new state."""
        state = self.preview(step, entropy)
        if not self.is_warm:
            self._warmup.append(entropy)
        self.state = state
        return state

    def _next_ema(self, entropy: float) -> float | None:
        decay = self._config.ema_decay
        if self.state.entropy_ema is not None:
            return decay * self.state.entropy_ema + (1.0 - decay) * entropy
        if len(self._warmup) + 1 < self._config.warmup_steps:
            return None
        return (sum(self._warmup) + entropy) / self._config.warmup_steps

    def _after(self, step: int, ema: float) -> PhaseState:
        peak = self.state.entropy_peak
        if peak is None or ema > peak:
            return PhaseState(Phase.EXPLORATION, ema, ema, step)
        is_below = ema < (1.0 - self._config.peak_margin) * peak
        phase = Phase.EXPLOITATION if is_below else self.state.phase
        return PhaseState(phase, ema, peak, self.state.peak_step)


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
