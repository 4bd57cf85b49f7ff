"""How files are read, as one value that goes from a public door down to the decoder. Opens no file."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from operator import index
from typing import Any, Literal, SupportsIndex, get_args

from vreason_agent.errors import ConfigError, VideoTooLargeError, quote

Backend = Literal["auto", "av", "opencv"]
Roots = Sequence[str | os.PathLike[str]]


_REMEDIES = {
    "max_bytes": "cut the part you need, or scale a picture down",
    "max_pixels": "scale it down first",
    "max_decoded_frames": "cut the part you need",
    "max_frames": "ask for fewer at a time",
    "max_result_bytes": "give a smaller max_side_px, or ask for fewer",
    "max_seconds": "cut the part you need: ffmpeg -i INPUT -ss START -to STOP -c copy PART.mp4",
}


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and type(value) is not bool and bool(value >= 0)  # type: ignore[operator]


@dataclass(frozen=True)
class Limits:
    """Upper bounds that a request cannot raise; larger values admit larger files.

    Attributes:
        max_bytes: Size of a file.
        max_pixels: Width times height of a frame.
        max_decoded_frames: Frames that are decoded one after the other to reach one that was asked for.
        max_frames: Frames that one read returns; all are in memory at once.
        max_result_bytes: Pixels that one read returns, at the size that they are wanted, height * width * 3 bytes each.
        max_seconds: Length of a video: from its first frame to its last.
        max_wall_seconds: Time that one look at a file, or one read, may take, checked between frames; `None` does not
            limit it. A single frame that takes long is ended by `Isolation` only.

    Raises:
        ConfigError: If a count is no whole number from 0, or a time no number from 0 (`math.inf` does not limit it).
    """

    max_bytes: int = 16 * 2**30
    max_pixels: int = 7680 * 4320
    max_decoded_frames: int = 1_000_000
    max_frames: int = 4096
    max_result_bytes: int = 8 * 2**30
    max_seconds: float = 24 * 3600.0
    max_wall_seconds: float | None = None

    def __post_init__(self) -> None:
        times = {"max_seconds": self.max_seconds, "max_wall_seconds": self.max_wall_seconds or 0.0}
        counts = [value for name, value in vars(self).items() if name not in times]
        if not all(_is_number(count, Integral) for count in counts) or not all(
            _is_number(time, Real) for time in times.values()
        ):
            msg = f"{self!r:.300}: give whole numbers from 0, and seconds from 0, such as Limits(max_seconds=3600.0)"
            raise ConfigError(msg)

    def check(self, limit: str, value: float, found: str) -> None:
        """Check a value against one of the limits.

        Args:
            limit: Name of the limit.
            value: What was found.
            found: The same as words for the message.

        Raises:
            VideoTooLargeError: If it is over the limit.
        """
        bound = getattr(self, limit)
        if value > bound:
            allowed = f"{bound:,}" if isinstance(bound, int) else f"{bound:,g}"
            msg = f"{found}, more than {limit}={allowed}; {_REMEDIES[limit]}"
            raise VideoTooLargeError(msg)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Isolation:
    """What the separate process that decodes may use; larger values admit longer and larger videos.

    Attributes:
        max_memory_bytes: Its address space, libraries and frames included.
        max_seconds: Time that one look at a file, or one read, may take until the process is ended.
    """

    max_memory_bytes: int = 4 * 2**30
    max_seconds: float = 120.0

    def __post_init__(self) -> None:
        is_memory = _is_number(self.max_memory_bytes, Integral) and 1 <= self.max_memory_bytes < 2**63
        if not is_memory or not _is_number(self.max_seconds, Real) or not 0 < self.max_seconds < math.inf:
            msg = f"{self!r:.300}: use a whole number of bytes from 1 to 2**63 - 1, and a number of seconds above 0"
            raise ConfigError(msg)


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    Attributes:
        roots: Folders that files must lie in, links resolved; `None` allows any file that the process can read.
        limits: Upper bounds on files and reads, which no message can raise.
        isolation: Decode in a separate process under these limits, so that a decoder that dies or hangs is an error;
            `None` decodes in this one.
        backend: What decodes videos and GIFs: `"av"` is PyAV, `"opencv"` a plain second way that decodes from the
            start; `"auto"` takes PyAV where it is installed. `VideoInfo.backend` says which ran.

    Raises:
        ConfigError: If `roots` is no list of paths, a field is of another type, or there is no such backend.
    """

    roots: Roots | None = None
    limits: Limits = field(default=DEFAULT_LIMITS)
    isolation: Isolation | None = None
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.backend, str) or self.backend not in get_args(Backend):
            msg = f"backend={quote(self.backend)} is not known; use one of: {', '.join(get_args(Backend))}"
            raise ConfigError(msg)
        given: tuple[Any, Any] = self.limits, self.isolation
        if not isinstance(given[0], Limits) or not isinstance(given[1], Isolation | None):
            told = f"limits={quote(self.limits)}, isolation={quote(self.isolation)}"
            msg = f"{told}: give ReadOptions(limits=Limits(...), isolation=Isolation(...)), or leave them out"
            raise ConfigError(msg)
        if self.roots is not None:
            object.__setattr__(self, "roots", _checked_roots(self.roots))


DEFAULT_OPTIONS = ReadOptions()


def _checked_roots(roots: Any) -> tuple[str, ...]:
    """Refuse what is no list of folders: of a text each letter would be one, and `/` allows any file."""
    is_list = isinstance(roots, Collection) and not isinstance(roots, str | bytes)
    if not is_list or not all(isinstance(root, str | bytes | os.PathLike) for root in roots):
        example = [os.fsdecode(roots)] if isinstance(roots, str | bytes | os.PathLike) else ["/data/videos"]
        msg = f"allowed folders {quote(roots)} are no list of paths; give one, e.g. {quote(example)}"
        raise ConfigError(msg)
    return tuple(os.fsdecode(root) for root in roots)


def check_times(path: str, timestamps: Any, limits: Limits, *, name: str = "timestamps") -> tuple[float, ...]:
    """Return the times of a read as Python's own numbers, checked before the file is opened.

    Raises:
        ConfigError: If one is negative or no finite number.
        VideoTooLargeError: If there are more than `limits.max_frames`.
    """
    try:
        times = tuple(float(time) for time in timestamps)
        is_odd = not all(math.isfinite(time) and time >= 0 for time in times)
    except (TypeError, ValueError, OverflowError):
        times, is_odd = (), True
    if is_odd or (name == "timestamps" and not times):
        msg = f"{name}={quote(timestamps)}: give a list of times, each a number of seconds from 0"
        raise ConfigError(msg)
    limits.check("max_frames", len(times), f"{len(times):,} frames of {path!r} were asked for")
    return times


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
        msg = f"max_side_px={quote(max_side_px)}: use a number of pixels from 1, or None to keep the size"
        raise ConfigError(msg)
    return side
