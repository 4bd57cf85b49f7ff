"""The values of this package: what a video is, which part is meant, and the frames that were read. Opens no file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError

Picture = NDArray[np.uint8]
"""`uint8 (height, width, 3)` in RGB."""

Kind = Literal["video", "image", "gif", "frames"]
Method = Literal["seek", "sequential", "image", "folder"]
Progress = Callable[[int, int], bool | None]
"""Called with (frames read, frames to read); returning True ends the work with an error."""

FOLDER_FPS = 1.0  # a folder of frames has no clock of its own: one frame a second


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


class Span(NamedTuple):
    """A half-open part `[start_seconds, stop_seconds)` of a video."""

    start_seconds: float
    stop_seconds: float


@dataclass(frozen=True)
class VideoStream:
    """A video stream of a file; `is_read` tells whether its frames are the ones that are read."""

    width_px: int
    height_px: int
    codec: str | None
    is_read: bool


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video, image, GIF or folder of frames.

    Attributes:
        path: Absolute real path.
        kind: What it holds.
        video_fps: Mean frames per second; `None` for a single picture.
        num_frames: Frames that can be read; where the container lists none, about: length times rate.
        duration_seconds: From the first frame to the end of the last one, including frames that a cut file lacks, so
            that a plan over it is never silently squeezed; 0 for a picture, `None` where it is not known.
        width_px: Width after rotation.
        height_px: Height after rotation.
        codec: Name of the codec of the stream that is read.
        is_constant_rate: Whether frames are evenly spaced, by the container's table or else by its header.
        declared_frames: Frames that the container declares.
        readable_seconds: End of the last frame that can be read; below `duration_seconds` in a cut or damaged file,
            `None` where the end was not looked at.
        is_seekable: Whether frames are reached by seeks; otherwise they are decoded from the start.
        num_keyframes: Frames that are decoded without others, where the container lists them.
        streams: The file's video streams, as far as the backend tells them.
        backend: What decodes it: `av` or `opencv`.
        hdr: The transfer function of HDR video, which is not tone-mapped; told by `av` only.
        note: What else a reader should know; empty for nothing.
    """

    path: str
    kind: Kind
    video_fps: float | None
    num_frames: int | None
    duration_seconds: float | None
    width_px: int
    height_px: int
    codec: str | None
    is_constant_rate: bool | None
    declared_frames: int | None = None
    readable_seconds: float | None = None
    is_seekable: bool | None = None
    num_keyframes: int | None = None
    streams: tuple[VideoStream, ...] = ()
    backend: str = "opencv"
    hdr: Literal["PQ", "HLG"] | None = None
    note: str = ""

    @property
    def size(self) -> Size:
        """Width and height after rotation."""
        return Size(self.width_px, self.height_px)

    @property
    def is_complete(self) -> bool:
        """Whether all of the video's length can be read."""
        return self.readable_seconds is None or self.readable_seconds == self.duration_seconds

    def num_frames_in(self, start_seconds: float, stop_seconds: float) -> int | None:
        """About how many frames a part holds, 0 where it is shorter than half of one; `None` if not known."""
        if self.num_frames is None or not self.duration_seconds:
            return None
        return round(self.num_frames * (stop_seconds - start_seconds) / self.duration_seconds)

    def check_readable(self, stop_seconds: float | None = None) -> None:
        """Check that the video can be read up to `stop_seconds`, by default to its end.

        Raises:
            VideoDecodeError: If the file is cut or damaged before that.
        """
        stop = self.duration_seconds if stop_seconds is None else stop_seconds
        if self.is_complete or self.readable_seconds is None or stop is None or stop <= self.readable_seconds:
            return
        last = math.floor(self.readable_seconds * 1000) / 1000  # rounded up, it would be refused again
        msg = (
            f"{self.path!r} is truncated or damaged: {self.reason_incomplete()}; get the whole file, or ask for a part "
            f"that ends there (stop_seconds={last:.3f})"
        )
        raise VideoDecodeError(msg)

    def reason_incomplete(self) -> str:
        """Say how much of a cut file can be read."""
        count = f"{self.num_frames} of {self.declared_frames or 'more'} frames can be decoded"
        return f"{count}, up to {self.readable_seconds or 0:.3f} s of {self.duration_seconds or 0:.3f} s"

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-plain data."""
        return {**asdict(self), "streams": [asdict(stream) for stream in self.streams]}


def resolve_span(info: VideoInfo, start_seconds: float | None = None, stop_seconds: float | None = None) -> Span:
    """Return the part of a video that is meant; that of an image is `(0, 0)`.

    Args:
        info: The video, as `probe` describes it.
        start_seconds: Start of the part; `None` is the beginning.
        stop_seconds: Its end, exclusive; `None` and what is past the end are the end.

    Raises:
        ConfigError: If the part is empty, begins after the video's end, or is one of an image, which has no times.
        VideoDecodeError: If the file is cut or damaged before the part's end.
        VideoError: If the end is needed and the video's length is not known.
    """
    if info.kind == "image":
        if start_seconds is None and stop_seconds is None:
            return Span(0.0, 0.0)
        msg = f"{info.path!r} is an image and has no times; leave start and stop out"
        raise ConfigError(msg)
    start, duration = start_seconds or 0.0, info.duration_seconds
    if duration is not None and start >= duration:
        msg = f"start {start:g} s is not before the end of {info.path!r} at {duration:.2f} s; give an earlier start"
        raise ConfigError(msg)
    stop = duration if stop_seconds is None else min(stop_seconds, duration or stop_seconds)
    if stop is None:
        msg = f"{info.path!r} does not say how long it is; give the end of the part to look at, such as a stop of 60 s"
        raise VideoError(msg)
    if not 0 <= start < stop:
        msg = f"start {start:g} s, stop {stop:g} s: no part of {info.path!r}; use 0 <= start < stop"
        raise ConfigError(msg)
    info.check_readable(stop)
    return Span(start, stop)


@dataclass(frozen=True)
class Frames:
    """Frames that were read.

    Attributes:
        images: `uint8 (num_frames, height, width, 3)` in RGB, in the order asked for.
        timestamps_seconds: Their presentation times from the first frame of the file.
        requested_seconds: The times that were asked for.
        frame_indices: Their numbers in the file, from 0; `None` for a frame that was reached by a seek in a file
            that does not list its frames at a constant rate.
        info: The video they come from; read by its path, as far as its header tells.
        method: How they were reached: `seek`, `sequential` (decoded from the start), `image` or `folder`.
        missing_seconds: The times asked for that a cut or damaged file has no frame for; nothing stands in for it.
        reason: Why they are missing; empty where none is.
    """

    images: NDArray[np.uint8]
    timestamps_seconds: tuple[float, ...]
    requested_seconds: tuple[float, ...]
    frame_indices: tuple[int | None, ...]
    info: VideoInfo
    method: Method
    missing_seconds: tuple[float, ...] = ()
    reason: str = ""

    @property
    def num_requested(self) -> int:
        """How many frames were asked for."""
        return len(self.requested_seconds) + len(self.missing_seconds)

    @property
    def num_decoded(self) -> int:
        """How many of them are here."""
        return len(self.requested_seconds)

    def __repr__(self) -> str:
        """Show shape and span instead of pixels."""
        first, last = self.timestamps_seconds[0], self.timestamps_seconds[-1]
        return f"Frames(shape={self.images.shape}, {first:.2f}-{last:.2f} s, method={self.method!r})"
