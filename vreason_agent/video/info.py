"""The facts about a video as plain data. Opens no file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.source import Kind

FOLDER_FPS = 1.0  # a folder of frames has no clock of its own: one frame a second


@dataclass(frozen=True)
class VideoStream:
    """A video stream of a file.

    Attributes:
        width_px: Width.
        height_px: Height.
        codec: FourCC; `None` where there is none.
        is_read: Whether its frames are the ones that are read.
    """

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
        num_frames: Frames that can be read.
        duration_seconds: From the first frame to the end of the last one, those that a cut file lacks included, so
            that a plan over it is never silently squeezed; 0 for a picture.
        width_px: Width after rotation.
        height_px: Height after rotation.
        codec: FourCC of the stream that is read, with `av` its codec's name; `None` where there is none.
        is_constant_rate: Whether every frame lies on one clock but for rounding.
        promised_frames: Frames the container announces, where that is credible.
        readable_seconds: End of the last frame that can be read; below `duration_seconds` in a cut or damaged file.
        is_seekable: Whether frames are reached by seeks, each of which is checked; otherwise the file is walked to be
            exact.
        num_keyframes: Frames that are decoded without others, where packets tell; the fewer, the dearer a seek.
        streams: The video streams that show, the one that is read first: to OpenCV one more where its size or codec
            differs, to `av` all. Empty where there are none, as in a picture.
        backend: What decodes it: `opencv`, or `av` where that was asked for.
        hdr: The transfer function of HDR video, `PQ` or `HLG`; `None` for any other, and where PyAV is not installed.
        note: What else a reader should know, e.g. which of several streams is read; empty for nothing.
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
    promised_frames: int | None = None
    readable_seconds: float | None = None
    is_seekable: bool | None = None
    num_keyframes: int | None = None
    streams: tuple[VideoStream, ...] = ()
    backend: str = "opencv"
    hdr: Literal["PQ", "HLG"] | None = None
    note: str = ""

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
            f"{self.path!r} is truncated or damaged: {self.num_frames} of {self.promised_frames} frames can be "
            f"decoded, up to {last:.3f} s; get the whole file, or ask for a part that ends there "
            f"(stop_seconds={last:.3f})"
        )
        raise VideoDecodeError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-plain data."""
        return {**asdict(self), "streams": [asdict(stream) for stream in self.streams]}
