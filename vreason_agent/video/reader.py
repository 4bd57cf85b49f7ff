"""Frames at given times: the ones a player shows then, with their true times, or an error; never another frame.

Constant-rate files are sought and every landing is checked; the first landing that is off makes the rest of the file a
walk. Knows no model.
"""

from __future__ import annotations

import bisect
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import ConfigError, VideoDecodeError
from vreason_agent.video.capture import MAX_FAILED_GRABS, Capture
from vreason_agent.video.images import Picture, fit_within, read_image
from vreason_agent.video.index import TIME_TOLERANCE_SECONDS, FrameIndex, index_frames, walk_frames
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.probe import FOLDER_FPS, VideoInfo, describe
from vreason_agent.video.source import Source, open_source

SEEK_WORTH_FRAMES = (
    24  # nearer targets are cheaper to step to: a seek decodes from a keyframe at least 16 frames before
)
Progress = Callable[[int, int], bool | None]


@dataclass(frozen=True)
class Frames:
    """Frames that were read.

    Attributes:
        images: `uint8 (num_frames, height, width, 3)` in RGB, in the order asked for.
        timestamps_seconds: Their presentation times from the first frame of the file.
        requested_seconds: The times that were asked for.
        frame_indices: Their numbers in the file, from 0.
        info: The video they come from.
        method: How they were reached: `seek` (every landing checked), `walk`, `image` or `folder`.
    """

    images: NDArray[np.uint8]
    timestamps_seconds: tuple[float, ...]
    requested_seconds: tuple[float, ...]
    frame_indices: tuple[int, ...]
    info: VideoInfo
    method: Literal["seek", "walk", "image", "folder"]

    def __repr__(self) -> str:
        """Show shape and span instead of pixels."""
        first, last = self.timestamps_seconds[0], self.timestamps_seconds[-1]
        return f"Frames(shape={self.images.shape}, {first:.2f}-{last:.2f} s, method={self.method!r})"


class _LandedElsewhere(Exception):
    """A seek did not lead where the packets said."""


def read_frames(
    video: str | os.PathLike[str],
    timestamps: Sequence[float],
    *,
    max_side_px: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_progress: Progress | None = None,
) -> Frames:
    """Return the frame that a player shows at each of the given times.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures (one a second).
        timestamps: Times in seconds from the first frame, in any order, each in `[0, duration)`. The frame for a time
            is the last one with a timestamp at or before it; the last frame is shown for one frame's usual time.
        max_side_px: Scale frames down to this longer side while reading; `None` keeps their size.
        limits: Upper bounds.
        on_progress: Called with (frames read, frames to read); returning True ends the reading with an error.

    Raises:
        ConfigError: No times, one that is negative or not finite, or a `max_side_px` below 1.
        VideoDecodeError: A time past the end or in the part that a cut file lacks, a frame that cannot be decoded, or
            `on_progress` ended it. Nothing is put in a missing frame's place.
        VideoError: As `probe` raises.
    """
    requested = tuple(float(time) for time in timestamps)
    if not requested or not all(math.isfinite(time) and time >= 0 for time in requested):
        msg = f"timestamps={list(timestamps)!r}: give at least one time, each a number of seconds from 0"
        raise ConfigError(msg)
    if max_side_px is not None and max_side_px < 1:
        msg = f"max_side_px={max_side_px!r}: use a number of pixels from 1, or None to keep the size"
        raise ConfigError(msg)
    source = open_source(video, limits=limits)
    info = describe(source, limits)
    if source.kind in ("image", "frames"):
        return _read_pictures(source, info, requested, max_side_px, limits)
    index = index_frames(source, limits)
    targets = _targets(index, requested, info)
    try:
        images = _decode(source, index, targets, max_side_px, on_progress)
    except _LandedElsewhere:
        index = walk_frames(source, limits)
        targets = _targets(index, requested, info)
        images = _decode(source, index, targets, max_side_px, on_progress)
    times = tuple(index.timestamps_seconds[target] for target in targets)
    stack = _stack([images[target] for target in targets], info.path)
    return Frames(stack, times, requested, tuple(targets), info, "seek" if index.is_constant_rate else "walk")


def _targets(index: FrameIndex, requested: Sequence[float], info: VideoInfo) -> list[int]:
    late = [time for time in requested if time >= index.readable_seconds + TIME_TOLERANCE_SECONDS]
    if late and not index.is_complete:
        msg = (
            f"{info.path!r} is truncated or damaged: {len(requested)} frames were asked for and "
            f"{len(requested) - len(late)} can be decoded, because {len(index.timestamps_seconds)} of its "
            f"{index.promised_frames} frames are there, up to {index.readable_seconds:.3f} s; ask for earlier times or "
            "get the whole file"
        )
        raise VideoDecodeError(msg)
    if late:
        msg = (
            f"{info.path!r} has no frame at {late[0]:.3f} s: its {len(index.timestamps_seconds)} frames end at "
            f"{index.readable_seconds:.3f} s; ask for earlier times"
        )
        raise VideoDecodeError(msg)
    times = index.timestamps_seconds
    return [max(0, bisect.bisect_right(times, time + 1e-6) - 1) for time in requested]


def _decode(
    source: Source, index: FrameIndex, targets: Sequence[int], max_side_px: int | None, on_progress: Progress | None
) -> dict[int, Picture]:
    """Return the target frames by number."""
    wanted, images = sorted(set(targets)), {}
    with Capture(source.path) as capture:
        steps = _Stepper(source, capture, index)
        for count, target in enumerate(wanted):
            if on_progress is not None and on_progress(count, len(wanted)):
                msg = f"reading {source.path!r} was stopped after {count} of {len(wanted)} frames; call it again"
                raise VideoDecodeError(msg)
            steps.go(target)
            image = capture.retrieve_rgb()
            if image is None:
                raise VideoDecodeError(_lost(source, target))
            images[target] = fit_within(image, max_side_px)
    return images


class _Stepper:
    """Moves a capture forward to frames by number, and knows where it stands."""

    def __init__(self, source: Source, capture: Capture, index: FrameIndex) -> None:
        self._source, self._capture, self._index = source, capture, index
        self._at = -1
        self._advance()
        self._first_seconds = capture.position_seconds()

    def go(self, target: int) -> None:
        if self._index.is_constant_rate and target - self._at > SEEK_WORTH_FRAMES:
            is_there = self._capture.seek(target) and self._capture.grab()
            if not is_there:
                raise _LandedElsewhere
            self._at = target
        while self._at < target:
            self._advance()
        if self._index.is_constant_rate:
            self._check(target)

    def _advance(self) -> None:
        for _ in range(MAX_FAILED_GRABS):
            if self._capture.grab():
                self._at += 1
                return
        if self._index.is_constant_rate:
            raise _LandedElsewhere
        raise VideoDecodeError(_lost(self._source, self._at + 1))

    def _check(self, target: int) -> None:
        there = self._capture.position_seconds() - self._first_seconds
        if abs(there - self._index.timestamps_seconds[target]) > TIME_TOLERANCE_SECONDS:
            raise _LandedElsewhere


def _lost(source: Source, target: int) -> str:
    return (
        f"frame {target} of {source.path!r} cannot be decoded; ask for other times, or repair the file: "
        "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )


def _read_pictures(
    source: Source, info: VideoInfo, requested: tuple[float, ...], max_side_px: int | None, limits: Limits
) -> Frames:
    if source.kind == "image":
        picture = fit_within(read_image(source.path, limits=limits), max_side_px)
        count = len(requested)
        return Frames(np.stack([picture] * count), (0.0,) * count, requested, (0,) * count, info, "image")
    numbers = [int(time * FOLDER_FPS + 1e-6) for time in requested]
    if max(numbers) >= len(source.frame_paths):
        late = max(requested)
        msg = f"{info.path!r} has {info.num_frames} frames, one a second; none at {late:g} s: ask for earlier times"
        raise VideoDecodeError(msg)
    pictures = [fit_within(read_image(source.frame_paths[number], limits=limits), max_side_px) for number in numbers]
    times = tuple(number / FOLDER_FPS for number in numbers)
    return Frames(_stack(pictures, info.path), times, requested, tuple(numbers), info, "folder")


def _stack(pictures: Sequence[Picture], path: str) -> Picture:
    if len({picture.shape for picture in pictures}) > 1:
        sizes = sorted({f"{picture.shape[1]}x{picture.shape[0]}" for picture in pictures})
        msg = f"the frames of {path!r} differ in size ({', '.join(sizes)}); bring them to one size"
        raise VideoDecodeError(msg)
    return np.stack(pictures)
