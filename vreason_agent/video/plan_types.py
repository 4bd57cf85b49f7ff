"""A sampling plan as plain data: which times of which part, chosen by which rule, in evenly spaced segments.

Knows no rule and no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class PlanSegment:
    """Frames whose temporal pairs are evenly spaced, and the part of the video that they stand for.

    Attributes:
        start_seconds: Start of that part.
        stop_seconds: Its end, exclusive.
        timestamps_seconds: Where to look, ascending, in `[start_seconds, stop_seconds)`.
    """

    start_seconds: float
    stop_seconds: float
    timestamps_seconds: tuple[float, ...]


@dataclass(frozen=True)
class FramePlan:
    """Times in a video, in order.

    Attributes:
        name: The rule that made it, one of `PLANS`.
        start_seconds: Start of the part that is looked at.
        stop_seconds: Its end, exclusive.
        segments: The frames in evenly spaced segments, in order: one, where the whole plan is even. A model whose
            temporal positions count even steps is right about time within each of them.
        options: What the rule was given; `make_plan(name, start_seconds, stop_seconds, **options)` makes the same plan.
    """

    name: str
    start_seconds: float
    stop_seconds: float
    segments: tuple[PlanSegment, ...]
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def timestamps_seconds(self) -> tuple[float, ...]:
        """Where to look, ascending, in `[start_seconds, stop_seconds)`."""
        return tuple(time for segment in self.segments for time in segment.timestamps_seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-plain data, with its times in one list too."""
        segments = [
            {**asdict(segment), "timestamps_seconds": list(segment.timestamps_seconds)} for segment in self.segments
        ]
        return {
            "name": self.name,
            "start_seconds": self.start_seconds,
            "stop_seconds": self.stop_seconds,
            "options": dict(self.options),
            "segments": segments,
            "timestamps_seconds": list(self.timestamps_seconds),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FramePlan:
        """Return the plan that `to_dict` wrote."""
        segments = tuple(
            PlanSegment(**{**segment, "timestamps_seconds": tuple(segment["timestamps_seconds"])})
            for segment in data["segments"]
        )
        return cls(data["name"], data["start_seconds"], data["stop_seconds"], segments, data["options"])


def even_runs(starts: Sequence[float], *, tolerance_seconds: float) -> list[tuple[int, float]]:
    """Split pair times into runs that are evenly spaced.

    A pair belongs to a run while it and all before it lie within `tolerance_seconds`, and within a quarter of the run's
    spacing, of where even spacing puts them. Real presentation times are multiples of the video's frame time, so exact
    equality never holds.

    Returns:
        For each run the number of pairs and the mean time from pair to pair, s (1.0 for a run of one pair).
    """
    runs: list[tuple[int, float]] = []
    first = least = most = 0.0  # the spacings that put all pairs of the last run in their places
    for time in starts:
        count, passed = runs[-1][0] if runs else 0, time - first
        spacing = passed / count if count else 0.0
        if count:
            least = max(least, (passed - tolerance_seconds) / count, passed / (count + 0.25))
            most = min(most, (passed + tolerance_seconds) / count, passed / (count - 0.25))
        if count and least <= spacing <= most:
            runs[-1] = (count + 1, spacing)
        else:
            runs.append((1, 1.0))
            first, least, most = time, 0.0, math.inf
    return runs
