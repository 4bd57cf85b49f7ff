"""A trace small enough to work its signals out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class HandTrace:
    """Entropies given, averages equal to them, the peak at their maximum."""

    entropy: list[float]
    logprobs: list[float] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)
    unsteered_entropy: list[float | None] | None = None

    def __post_init__(self) -> None:
        self.logprobs = self.logprobs or [-value for value in self.entropy]
        self.forced = self.forced or [False] * len(self.entropy)

    @property
    def entropy_ema(self) -> list[float]:
        return self.entropy

    @property
    def peak_entropy(self) -> float | None:
        return max(self.entropy, default=None)

    @property
    def peak_step(self) -> int | None:
        return self.entropy.index(max(self.entropy)) if self.entropy else None

    def final_entropy(self, stop: int | None = None) -> float | None:
        after = [] if self.peak_step is None else self.entropy[self.peak_step + 1 : stop]
        return sum(after) / len(after) if after else None

    def entropy_drop(self, stop: int | None = None) -> float | None:
        final, peak = self.final_entropy(stop), self.peak_entropy
        return None if final is None or not peak else (peak - final) / peak
