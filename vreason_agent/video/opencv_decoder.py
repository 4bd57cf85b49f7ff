"""Frames by OpenCV, for those who may not install PyAV: decoded from the start in two passes, no index and no seeks.

The first pass takes every frame's time, the second the frames. Limits: no AV1; interlaced files are unreliable with
OpenCV 4.13 to 5.0, which hand over memory that nobody wrote; no alpha channel, no HDR mark; damage that the decoder
conceals is not told; a file whose edit list hides frames may look cut.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from statistics import median
from threading import Lock
from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.decoder import END_SECONDS, SAME_SECONDS, DecodedFrame, LostFrameError
from vreason_agent.video.files import Source, what_can_be_read
from vreason_agent.video.images import fit_within
from vreason_agent.video.opencv import quiet_cv2
from vreason_agent.video.progress import Watch
from vreason_agent.video.read_options import Limits
from vreason_agent.video.types import Method, VideoInfo, VideoStream

DEMUXERS = "mov,matroska,avi,flv,ogg,asf,mpeg,mpegts,gif,mxf"
MAX_FAILED_GRABS = 64  # damaged streams go on after a few frames that cannot be decoded
_DESCRIPTORS = "/proc/self/fd"
_environment = Lock()  # OpenCV takes FFmpeg's options from the environment


class OpenCVDecoder:
    """A video or GIF file that OpenCV decodes from its start; see `Decoder`."""

    method: Method = "sequential"

    def __init__(self, source: Source, limits: Limits) -> None:
        """Open the file; the first pass waits until a frame is asked for, or a look at the end."""
        self._source, self._limits, self._times = source, limits, _known_times(source.path, source.identity, limits)
        self._open()
        width, height = (int(self._capture.get(code)) for code in (3, 4))
        limits.check_pixels(repr(source.path), width, height)
        fps, count = self._capture.get(5), self._capture.get(7)
        is_told = 0.5 <= fps <= 240 and 0 < count < 1e9  # some give negative or astronomical numbers
        seconds = count / fps if is_told else None
        limits.check_length(source.path, seconds or 0.0)
        codec = int(self._capture.get(6)).to_bytes(4, "little", signed=True).decode("ascii", "replace").strip("\x00 ")
        self.info = VideoInfo(
            path=source.path,
            kind=source.kind,
            video_fps=fps if is_told else None,
            num_frames=int(count) if is_told else None,
            duration_seconds=seconds,
            width_px=width,
            height_px=height,
            codec=codec if codec.isprintable() else None,
            is_constant_rate=None,
            declared_frames=int(count) if is_told else None,
            is_seekable=False,
            streams=(VideoStream(width, height, codec, is_read=True),),
            note="no seeking with OpenCV; frames are decoded sequentially (slower, still exact)",
        )

    def _open(self) -> None:
        with _checked_name(self._source) as name, quiet_cv2() as cv2, _ffmpeg_options():
            self._capture, self._at = cv2.VideoCapture(name, cv2.CAP_FFMPEG), -1
        if not self._capture.isOpened():
            msg = f"no video stream of {self._source.path!r} can be opened by OpenCV; {what_can_be_read()}"
            raise VideoDecodeError(msg)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame | None:
        """Return the frame that is shown at a time; see `Decoder`."""
        times = self._all_times(watch)
        number = bisect.bisect_right(times, seconds + SAME_SECONDS) - 1
        stop = times[number + 1] if number + 1 < len(times) else times[-1] + _usual_gap(times) + END_SECONDS
        if seconds >= stop:
            return None
        if number < self._at or not self._capture.isOpened():
            self.close()
            self._open()
        while self._at < number and self._grab():
            self._at += 1
            watch.check()
        with quiet_cv2() as cv2:
            is_there, picture = self._capture.retrieve()
            if self._at < number or not is_there:
                raise LostFrameError(self._source.path, seconds)
            return DecodedFrame(
                times[number], stop, number, fit_within(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), max_side_px)
            )

    def passes(self, seconds: float) -> bool:
        """All frames before a time are decoded."""
        return True

    def keyframes_seconds(self, watch: Watch) -> tuple[float, ...]:
        """Return no times: OpenCV tells none."""
        return ()

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what all frames' times tell; see `Decoder`."""
        from dataclasses import replace

        times = self._all_times(watch)
        count, gap, declared = len(times), _usual_gap(times), self.info.declared_frames
        end = times[-1] + gap
        is_cut = declared is not None and count < 0.98 * declared and end < 0.98 * declared / (self.info.video_fps or 1)
        length = max(end, self.info.duration_seconds or end) if is_cut else end
        even = count > 1 and all(
            abs(time - number * times[-1] / (count - 1)) <= 0.002 for number, time in enumerate(times)
        )
        info = replace(
            self.info, num_frames=count, readable_seconds=end, duration_seconds=length, is_constant_rate=even
        )
        info = replace(info, video_fps=count / end)
        return replace(info, note=f"{info.note}; {info.reason_incomplete()}") if is_cut else info

    def _all_times(self, watch: Watch) -> list[float]:
        """Return every frame's time from the first one's; times that repeat or go backwards are set apart evenly."""
        while not self._times:
            self.close()
            self._open()
            found: list[float] = []
            while self._grab():
                found.append(self._capture.get(0) / 1000)
                self._limits.check_decoded(self._source.path, len(found))
                self._limits.check_length(self._source.path, found[-1] - found[0])
                watch.check()
            if not found:
                msg = (
                    f"no frame of {self._source.path!r} can be decoded by OpenCV, whose wheels lack decoders such as "
                    "AV1's; use backend='av' (pip install av), or re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
                )
                raise VideoDecodeError(msg)
            self._at, gap = len(found), _usual_gap(found)  # behind the end, where nothing can be retrieved
            for time in found:
                last = self._times[-1] if self._times else -gap
                self._times.append(time - found[0] if time - found[0] > last else last + gap)
        return self._times

    def _grab(self) -> bool:
        with quiet_cv2() as cv2:
            for _ in range(MAX_FAILED_GRABS):
                try:
                    if self._capture.grab():
                        return True
                except cv2.error:  # its text is native
                    continue
        return False


def _usual_gap(times: list[float]) -> float:
    gaps = [after - before for before, after in pairwise(times) if after > before]
    return median(gaps) if gaps else 0.04


@lru_cache(maxsize=64)
def _known_times(path: str, identity: Any, limits: Limits) -> list[float]:
    """Return where the times of a file are kept until it changes."""
    return []


@contextmanager
def _checked_name(source: Source) -> Iterator[str]:
    """Yield a name that means the checked file: on Linux that of its descriptor, elsewhere its own, compared behind."""
    if os.path.isdir(_DESCRIPTORS):
        yield f"{_DESCRIPTORS}/{source.descriptor}"
        return
    yield source.path
    source.check_unchanged()


@contextmanager
def _ffmpeg_options() -> Iterator[None]:
    """Let FFmpeg open no other file than the one it is given, and write nothing to the process's stderr."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    name, value = "OPENCV_FFMPEG_CAPTURE_OPTIONS", f"format_whitelist;{DEMUXERS}|protocol_whitelist;file"
    with _environment:
        before = os.environ.get(name)
        os.environ[name] = value
        try:
            yield
        finally:
            os.environ.pop(name) if before is None else os.environ.update({name: before})
