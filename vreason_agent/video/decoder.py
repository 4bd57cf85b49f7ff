"""What a decoder of videos is: one call that gives the frame shown at a time, and who watches it. Knows no library."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec

from vreason_agent.errors import VideoDecodeError, VideoTooLargeError
from vreason_agent.video.files import Source
from vreason_agent.video.read_options import Limits, ReadOptions
from vreason_agent.video.types import Method, Picture, Progress, VideoInfo

SAME_SECONDS = 1e-6
END_SECONDS = 0.001  # so far behind the end of the last frame it is still shown: lengths are rounded to milliseconds
DEMUXERS = "mov,matroska,avi,flv,ogg,asf,mpeg,mpegts,gif,mxf"  # the containers that FFmpeg may open


class LostFrameError(VideoDecodeError):
    """The frame for a time is damaged; those before and behind it may be whole."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(
            f"the frame of {path!r} at {seconds:.3f} s cannot be decoded; ask for other times, or repair the file: "
            "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
        )


@dataclass(frozen=True)
class DecodedFrame:
    """A frame and when it is shown: in `[start_seconds, stop_seconds)` from the first frame of the file.

    Attributes:
        start_seconds: Its presentation time.
        stop_seconds: That of the next frame; of the last frame the end of its own duration.
        number: Its number in the file from 0, where it is known.
        picture: `uint8 (height, width, 3)` in RGB, upright.
    """

    start_seconds: float
    stop_seconds: float
    number: int | None
    picture: Picture

    def is_shown_at(self, seconds: float) -> bool:
        """Whether it is the last frame whose time is not after `seconds`."""
        return self.start_seconds - SAME_SECONDS <= seconds < self.stop_seconds - SAME_SECONDS


class Watch:
    """Asked between the frames of one piece of work; the caller is told at most ten times a second."""

    def __init__(self, path: str, limits: Limits, on_progress: Progress | None = None) -> None:
        """Begin to count time; `path` names the work in messages."""
        self._path, self._max_seconds, self._on_progress = path, limits.max_wall_seconds, on_progress
        self._began = self._told = time.monotonic()
        self._done, self._total = 0, 0

    @property
    def seconds(self) -> float:
        """Time since the work began."""
        return time.monotonic() - self._began

    def check(self) -> None:
        """Check the time, and ask the caller whether to go on.

        Raises:
            VideoTooLargeError: If the time is over.
            VideoDecodeError: If the caller ends the work.
        """
        if self.seconds > (math.inf if self._max_seconds is None else self._max_seconds):
            msg = (
                f"{self._path!r} took over max_wall_seconds={self._max_seconds:g}; ask for fewer frames or "
                "a shorter file, or re-encode it with more keyframes: ffmpeg -i INPUT -g 50 -c:v libx264 OUTPUT.mp4"
            )
            raise VideoTooLargeError(msg)
        if time.monotonic() - self._told > 0.1:
            self._report()

    def tell(self, done: int, total: int) -> None:
        """Tell what is done; raises as `check` does."""
        self._done, self._total = done, total
        self.check()
        self._report()

    def _report(self) -> None:
        self._told = time.monotonic()
        if self._on_progress is not None and self._on_progress(self._done, self._total):
            msg = f"reading {self._path!r} was stopped after {self._done} of {self._total} frames; call it again"
            raise VideoDecodeError(msg)


class Decoder(ABC):
    """An open video. What is decoded before a limit is checked: nothing.

    Attributes:
        info: What is known without a look at the end; `readable_seconds` is `None`.
        method: How frames are reached.
    """

    info: VideoInfo
    method: Method

    @abstractmethod
    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame | None:
        """Return the frame that is shown at a time, scaled down to a longer side; `None` past the end.

        Raises:
            LostFrameError: If that frame is damaged.
            VideoDecodeError: If the file cannot be decoded there, or `watch` ends it.
            VideoTooLargeError: If a limit is exceeded on the way.
        """

    def passes(self, seconds: float) -> bool:
        """Whether going from here to a time decodes all frames between."""
        return False

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what is known with a look at the end: `readable_seconds` is set. Raises as `frame_at` does."""
        return self.info

    def keyframes_seconds(self, watch: Watch) -> tuple[float, ...]:
        """Return times of frames that are decoded without others; none where the file does not tell."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """Release the file."""


def resolve_backend(options: ReadOptions) -> str:
    """Return `av` or `opencv`: for `auto` PyAV where it is installed."""
    if options.backend == "auto":
        return "opencv" if find_spec("av") is None else "av"
    return options.backend


def open_decoder(source: Source, options: ReadOptions) -> Decoder:
    """Open a video or GIF file in this process.

    Raises:
        DependencyError: If the backend's library cannot be loaded.
        VideoDecodeError: If no video stream can be opened, or no frame decoded.
        VideoTooLargeError: If it exceeds a limit.
    """
    if resolve_backend(options) == "opencv":
        from vreason_agent.video.opencv_decoder import OpenCVDecoder

        return OpenCVDecoder(source, options.limits)
    from vreason_agent.video.pyav_decoder import PyAVDecoder

    return PyAVDecoder(source, options.limits)
