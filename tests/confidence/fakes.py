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
    self_certainty: list[float | None] | None = None

    def __post_init__(self) -> None:
        self.logprobs = self.logprobs or [-value for value in self.entropy]
        self.forced = self.forced or [False] * len(self.entropy)

    @property
    def entropy_ema(self) -> list[float]:
        return self.entropy

    def peak(self, stop: int | None = None) -> tuple[int, float] | None:
        before = self.entropy[:stop]
        return (before.index(max(before)), max(before)) if before else None

    def final_steps(self, stop: int | None = None) -> list[int]:
        peak = self.peak(stop)
        steps = [] if peak is None else range(peak[0] + 1, len(self.entropy[:stop]))
        return [step for step in steps if not self.forced[step]]

    def final_entropy(self, stop: int | None = None) -> float | None:
        steps = self.final_steps(stop)
        return sum(self.entropy[step] for step in steps) / len(steps) if steps else None

    def entropy_drop(self, stop: int | None = None) -> float | None:
        final, peak = self.final_entropy(stop), self.peak(stop)
        return None if final is None or peak is None else (peak[1] - final) / peak[1]
