"""What a video may cost, checked before its first frame is decoded. Knows no file and no decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from operator import index
from typing import Any, SupportsIndex

from vreason_agent.errors import ConfigError, VideoTooLargeError


@dataclass(frozen=True)
class Limits:
    """Upper bounds that a request cannot raise; larger values admit larger files.

    Attributes:
        max_bytes: Size of a file.
        max_pixels: Width times height of a frame.
        max_walked_frames: Frames that are stepped through where a file has to be walked.
        max_frames: Frames that one read returns; all are in memory at once.
        max_result_bytes: Pixels that one read returns, at the size that they are wanted, height * width * 3 bytes each.
        max_seconds: Length of a video: from its first frame to its last.
        max_wall_seconds: Time that a look at a file, or one read, may take, checked between frames; `None` does not
            limit it. A single frame that takes long is ended by `Isolation` only.

    Raises:
        ConfigError: If a count is no whole number from 0, or a time no number from 0 (`math.inf` does not limit it).
    """

    max_bytes: int = 16 * 2**30
    max_pixels: int = 7680 * 4320
    max_walked_frames: int = 1_000_000
    max_frames: int = 4096
    max_result_bytes: int = 8 * 2**30
    max_seconds: float = 24 * 3600.0
    max_wall_seconds: float | None = None

    def __post_init__(self) -> None:
        counts = (self.max_bytes, self.max_pixels, self.max_walked_frames, self.max_frames, self.max_result_bytes)
        seconds = (self.max_seconds, 0.0 if self.max_wall_seconds is None else self.max_wall_seconds)
        if not all(is_count(number) for number in counts) or not all(is_time(number) for number in seconds):
            msg = f"{self!r:.300}: give whole numbers from 0, and seconds from 0, such as Limits(max_seconds=3600.0)"
            raise ConfigError(msg)


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0."""
    return type(value) is not bool and isinstance(value, Integral) and int(value) >= 0


def is_time(value: Any) -> bool:
    """Whether a value is a number of seconds from 0, or infinite."""
    number: Any = value if type(value) is not bool and isinstance(value, Real) else -1
    return bool(number >= 0)  # what is not a number is not


DEFAULT_LIMITS = Limits()


def check_pixels(name: str, width: int, height: int, limits: Limits) -> None:
    """Check the size of a picture or of a video's frames.

    Args:
        name: What messages call it.
        width: In pixels.
        height: In pixels.
        limits: Of them `max_pixels`.

    Raises:
        VideoTooLargeError: If there are more.
    """
    if width * height > limits.max_pixels:
        msg = f"{name} is {width}x{height} pixels, more than max_pixels={limits.max_pixels:,}; scale it down first"
        raise VideoTooLargeError(msg)


def check_length(path: str, seconds: float, limits: Limits) -> None:
    """Refuse a video that lasts too long.

    Raises:
        VideoTooLargeError: If `seconds`, from the first frame to a later one, exceed `limits.max_seconds`.
    """
    if seconds > limits.max_seconds:
        msg = (
            f"{path!r} is at least {seconds:,.0f} s long, more than max_seconds={limits.max_seconds:,g}; "
            "cut the part you need: ffmpeg -ss START -to STOP -i INPUT -c copy PART.mp4"
        )
        raise VideoTooLargeError(msg)


def check_request(path: str, timestamps: Sequence[float], limits: Limits) -> tuple[float, ...]:
    """Return the times of a read, checked before the file is opened.

    Raises:
        ConfigError: No times, or one that is negative or no finite number.
        VideoTooLargeError: If there are more than `limits.max_frames`.
    """
    requested = _times(timestamps)
    if not requested:
        msg = f"timestamps={timestamps!r:.200}: give at least one time, each a number of seconds from 0"
        raise ConfigError(msg)
    _check_count(path, requested, limits)
    return requested


def check_expected(path: str, expected: Sequence[float], limits: Limits) -> tuple[float, ...]:
    """Return the times that later reads will ask for, which may be none; raises as `check_request` does."""
    times = _times(expected)
    if times is None:
        msg = f"expected={expected!r:.200}: give the times of later reads, each a number of seconds from 0, or ()"
        raise ConfigError(msg)
    _check_count(path, times, limits)
    return times


def _times(given: Sequence[float]) -> tuple[float, ...] | None:
    """Return times as Python's own numbers; `None` if one is none."""
    try:
        times = tuple(float(time) for time in given)
    except (TypeError, ValueError, OverflowError):
        return None
    return times if all(math.isfinite(time) and time >= 0 for time in times) else None


def _check_count(path: str, requested: tuple[float, ...], limits: Limits) -> None:
    if len(requested) > limits.max_frames:
        msg = (
            f"{len(requested):,} frames of {path!r} were asked for, more than max_frames={limits.max_frames:,}; "
            "ask for fewer at a time"
        )
        raise VideoTooLargeError(msg)


def check_side(max_side_px: SupportsIndex | None) -> int | None:
    """Return a longer side as Python's own integer.

    Raises:
        ConfigError: If it is below 1 or no integer.
    """
    try:
        side = None if max_side_px is None else index(max_side_px)
    except TypeError:
        side = 0
    if side is not None and side < 1:
        msg = f"max_side_px={max_side_px!r}: use a number of pixels from 1, or None to keep the size"
        raise ConfigError(msg)
    return side
