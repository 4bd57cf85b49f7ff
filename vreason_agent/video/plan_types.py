"""A sampling plan as plain data: which times of which part, chosen by which rule, in evenly spaced segments.

Knows no rule and no file.
"""

from __future__ import annotations

import bisect
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

    A pair belongs to a run while it lies within `tolerance_seconds`, and within a quarter of the run's spacing, of
    where even spacing puts it. Real presentation times are multiples of the video's frame time, so exact equality never
    holds.

    Returns:
        For each run the number of pairs and the mean time from pair to pair, s (1.0 for a run of one pair).
    """
    runs: list[_Run] = []
    for time in starts:
        if not runs or not runs[-1].takes(time, tolerance_seconds):
            runs.append(_Run(time))
    return [(run.length, run.spacing) for run in runs]


class _Run:
    """A run that grows: of all its times only those that stick out are kept, so that long runs are not compared anew.

    Attributes:
        length: How many times are in it.
    """

    def __init__(self, first: float) -> None:
        self._first, self._last, self.length = first, first, 1
        self._late: list[_Point] = [(0, 0.0)]  # corners of the hull of (number, time) above all points
        self._early: list[_Point] = [(0, 0.0)]  # and below them, mirrored

    @property
    def spacing(self) -> float:
        """Mean time from one to the next; 1.0 of a single one."""
        return (self._last - self._first) / (self.length - 1) if self.length > 1 else 1.0

    def takes(self, time: float, tolerance_seconds: float) -> bool:
        """Take a time in unless that makes the run uneven, which ends it."""
        passed, spacing = time - self._first, (time - self._first) / self.length
        _stick_out(self._late, (self.length, passed))
        _stick_out(self._early, (self.length, -passed))
        farthest = max(_farthest(self._late, spacing), _farthest(self._early, -spacing))
        if farthest > min(tolerance_seconds, spacing / 4):
            return False
        self._last, self.length = time, self.length + 1
        return True


_Point = tuple[int, float]


def _stick_out(corners: list[_Point], point: _Point) -> None:
    """Add a point on the right of a hull, and drop the corners that it covers."""
    while len(corners) > 1 and _slope(corners[-2], corners[-1]) <= _slope(corners[-1], point):
        corners.pop()
    corners.append(point)


def _farthest(corners: Sequence[_Point], slope: float) -> float:
    """Return how far the hull reaches above a line of that slope through its first corner."""
    at = bisect.bisect_left(
        range(1, len(corners)), True, key=lambda number: _slope(corners[number - 1], corners[number]) <= slope
    )
    number, passed = corners[at]
    return passed - number * slope


def _slope(left: _Point, right: _Point) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])
