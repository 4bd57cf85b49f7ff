"""Which moments a call asks for, checked against the video, in words that a model can act on.

Times are seconds from the first frame; ranges are half-open. This module knows nothing about images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from langchain_core.tools import ToolException

from ..errors import ConfigError, VideoError, quote
from ..video import Span, VideoInfo, resolve_span, uniform_plan

_MILLISECOND = 0.001


def show_seconds(seconds: float) -> str:
    """Print a frame's time so that the printed time, asked for again, gives that frame: rounded up to milliseconds."""
    return f"{math.ceil(seconds * 1000 - 1e-6) / 1000:.3f}"


def show_duration(seconds: float) -> str:
    """Print a length so that the printed number is still inside the video: rounded down to milliseconds."""
    return f"{math.floor(seconds * 1000 + 1e-6) / 1000:.3f}"


@dataclass(frozen=True)
class TimeRequest:
    """The times of one call: a list of moments, or a range sampled evenly; without either the whole video.

    Attributes:
        timestamps_seconds: Moments, in the order in which they shall be shown.
        start_seconds: First moment of the range; `None` is the beginning.
        stop_seconds: End of the range, not itself in it; `None` is the end of the video.
        num_frames: Frames that the range is sampled with.
    """

    timestamps_seconds: Sequence[float] | None
    start_seconds: float | None
    stop_seconds: float | None
    num_frames: int

    @property
    def num_moments(self) -> int:
        """How many moments are asked for."""
        return len(self.timestamps_seconds) if self.timestamps_seconds else self.num_frames

    def resolve(self, info: VideoInfo, name: str) -> tuple[float, ...]:
        """Return the moments to read, in seconds.

        Args:
            info: The video as probed; its length may be unknown.
            name: What the model calls the video.

        Raises:
            ToolException: Moments and a range together, something outside the video, an empty range, a range without
                an end where the length is unknown, or any time at all for a still image.
        """
        has_range = self.start_seconds is not None or self.stop_seconds is not None
        if self.timestamps_seconds and has_range:
            msg = (
                "timestamps_seconds was given together with a range: "
                "give either timestamps_seconds, or start_seconds and stop_seconds"
            )
            raise ToolException(msg)
        if info.kind == "image":
            return self._still(name, has_range=has_range)
        if self.timestamps_seconds:
            return self._moments(self.timestamps_seconds, info.duration_seconds, name)
        start, stop = self.span(info, name)
        return uniform_plan(start, stop, num_frames=self.num_frames).timestamps_seconds

    def span(self, info: VideoInfo, name: str) -> Span:
        """Return start and end of the range, in seconds; without one, of the whole video.

        Raises:
            ToolException: As `resolve` raises for a range; a still image has none.
        """
        if info.kind == "image":
            msg = f"{quote(name)} is a still image, which has no time range: use sample_frames or zoom without times"
            raise ToolException(msg)
        return self._range(info, name)

    def _still(self, name: str, *, has_range: bool) -> tuple[float, ...]:
        if has_range or any(self.timestamps_seconds or ()):
            msg = f"{quote(name)} is a still image, which has no times: call again without times"
            raise ToolException(msg)
        return (0.0,)

    def _moments(self, moments: Sequence[float], duration: float | None, name: str) -> tuple[float, ...]:
        outside = [moment for moment in moments if duration is not None and moment >= duration]
        if duration is not None and outside:
            msg = (
                f"timestamps_seconds has {outside}, outside {quote(name)}: "
                f"use times from 0 to below {show_duration(duration)} seconds"
            )
            raise ToolException(msg)
        return tuple(moments)

    def _range(self, info: VideoInfo, name: str) -> Span:
        duration, stop = info.duration_seconds, self.stop_seconds
        if duration is not None and stop is not None and stop > duration + _MILLISECOND:
            msg = f"stop_seconds={stop} is after the end of {quote(name)}: use at most {show_duration(duration)}"
            raise ToolException(msg)
        try:
            return resolve_span(replace(info, path=name), self.start_seconds, stop)  # the model never sees the path
        except (ConfigError, VideoError) as exc:
            raise ToolException(str(exc)) from exc
