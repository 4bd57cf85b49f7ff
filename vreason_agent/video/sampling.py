"""Which times to look at: sampling plans as plain data.

A plan of temporal pairs is nested: twice the frames keep every old pair, so that a ladder of rungs can reuse what it
has seen. Knows no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vreason_agent.errors import ConfigError


@dataclass(frozen=True)
class FramePlan:
    """Times in a video, in order.

    Attributes:
        name: The rule that made it: `pairs` or `uniform`.
        timestamps_seconds: Where to look, ascending, in `[start_seconds, stop_seconds)`.
        start_seconds: Start of the part that is looked at.
        stop_seconds: Its end, exclusive.
        pair_seconds: From the first to the second frame of a temporal pair; `None` where the rule knows no pairs.
    """

    name: str
    timestamps_seconds: tuple[float, ...]
    start_seconds: float
    stop_seconds: float
    pair_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-plain data."""
        return {**asdict(self), "timestamps_seconds": list(self.timestamps_seconds)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FramePlan:
        """Return the plan that `to_dict` wrote."""
        return cls(**{**data, "timestamps_seconds": tuple(data["timestamps_seconds"])})


def pairs_plan(
    start_seconds: float, stop_seconds: float, *, num_frames: int, max_frames: int | None = None
) -> FramePlan:
    """Spread temporal pairs over `[start_seconds, stop_seconds)` at left edges, so that doubling keeps old pairs.

    Args:
        start_seconds: Start of the part, at least 0.
        stop_seconds: End of the part, after the start.
        num_frames: Frames of this plan: even, at least 2.
        max_frames: Frames of the ladder's last rung, which fixes the time within a pair to span / max_frames;
            by default `num_frames`, and then all frames are evenly spread.

    Raises:
        ConfigError: If the part is empty, a number is odd or too small, or `max_frames` is below `num_frames`.
    """
    _check_part(start_seconds, stop_seconds)
    last = num_frames if max_frames is None else max_frames
    if num_frames < 2 or num_frames % 2 or last % 2:
        msg = f"num_frames={num_frames!r}, max_frames={max_frames!r}: frames come in pairs; use even numbers from 2"
        raise ConfigError(msg)
    if last < num_frames:
        msg = f"max_frames={max_frames!r} is below num_frames={num_frames!r}; raise max_frames or leave it out"
        raise ConfigError(msg)
    span, num_pairs = stop_seconds - start_seconds, num_frames // 2
    pair_seconds = span / last
    edges = [start_seconds + span * pair / num_pairs for pair in range(num_pairs)]
    times = tuple(time for edge in edges for time in (edge, edge + pair_seconds))
    return FramePlan("pairs", times, start_seconds, stop_seconds, pair_seconds)


def uniform_plan(start_seconds: float, stop_seconds: float, *, num_frames: int) -> FramePlan:
    """Spread single frames over `[start_seconds, stop_seconds)` at left edges: start + i * span / num_frames.

    Raises:
        ConfigError: If the part is empty or `num_frames` is below 1.
    """
    _check_part(start_seconds, stop_seconds)
    if num_frames < 1:
        msg = f"num_frames={num_frames!r}: use a number from 1"
        raise ConfigError(msg)
    span = stop_seconds - start_seconds
    times = tuple(start_seconds + span * index / num_frames for index in range(num_frames))
    return FramePlan("uniform", times, start_seconds, stop_seconds)


def _check_part(start_seconds: float, stop_seconds: float) -> None:
    if not (math.isfinite(start_seconds) and math.isfinite(stop_seconds) and 0 <= start_seconds < stop_seconds):
        msg = f"start={start_seconds!r} s, stop={stop_seconds!r} s: not a part of a video; use 0 <= start < stop"
        raise ConfigError(msg)
