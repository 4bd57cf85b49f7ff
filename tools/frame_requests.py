"""The moments that a call asks for, checked against the video, and the frames at them, each shown once.

Times are seconds from the first frame; ranges are half-open. This module knows no image blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.tools import ToolException

from ..errors import ConfigError, VideoError, quote
from ..video import Frames, Span, VideoInfo, read_frames, resolve_span, uniform_plan
from .video_tool import VideoFiles

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


def read_request(files: VideoFiles, name: str, request: TimeRequest, *, max_side_px: int | None) -> Frames:
    """Read what was asked for, without repeating a frame that several of the moments fall on.

    Args:
        files: The bound files.
        name: Which of them.
        request: The moments or the range.
        max_side_px: Longer side of the frames; `None` keeps the source's size.

    Raises:
        ToolException: The request does not fit the video, or the video cannot be read.
    """
    moments = request.resolve(files.info(name), name)
    with files.reading(name) as path:
        return distinct(read_frames(path, moments, max_side_px=max_side_px, options=files.read_options))


def distinct(frames: Frames) -> Frames:
    """Keep the first of every group of equal frames, in the order given."""
    first_positions: dict[float, int] = {}
    for position, seconds in enumerate(frames.timestamps_seconds):
        first_positions.setdefault(seconds, position)
    keep = list(first_positions.values())
    return replace(
        frames,
        images=frames.images[keep],
        timestamps_seconds=tuple(frames.timestamps_seconds[i] for i in keep),
        requested_seconds=tuple(frames.requested_seconds[i] for i in keep),
        frame_indices=tuple(frames.frame_indices[i] for i in keep),
    )


def frames_artifact(files: VideoFiles, name: str, frames: Frames) -> dict[str, Any]:
    """Say which frames were shown, so that the caller can read them again.

    Returns:
        Plain data that any checkpointer stores: `video` (name), `path`, and per frame `frame_indices` (`None` where a
        number is not known), `timestamps_seconds` (true times) and `requested_seconds`. No pixels.
    """
    return {
        "video": name,
        "path": files.paths[name],
        "frame_indices": list(frames.frame_indices),
        "timestamps_seconds": [float(moment) for moment in frames.timestamps_seconds],
        "requested_seconds": [float(moment) for moment in frames.requested_seconds],
    }


def label(frames: Frames, position: int) -> str:
    """Name one frame to the model by its true time and its index."""
    number = frames.frame_indices[position]
    return f"t = {show_seconds(frames.timestamps_seconds[position])} s" + (
        "" if number is None else f" (frame {number})"
    )


def headline(frames: Frames, name: str, *, num_requested: int) -> str:
    """Say how many frames follow and of what, and when there are fewer than asked for."""
    shown = len(frames.frame_indices)
    duration = frames.info.duration_seconds
    length = f", which lasts {show_duration(duration)} s" if duration else ""
    is_whole = shown >= num_requested or frames.info.kind == "image"
    fewer = "" if is_whole else f" ({num_requested} were asked for; the others are the same frames)"
    return f"{shown} frame{'s' if shown != 1 else ''} of {quote(name)}{length}{fewer}:"
