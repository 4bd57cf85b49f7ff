"""Frames by OpenCV, for those who may not install PyAV: decoded from the start, no index and no seeks.

A first pass takes every frame's time, a second one the frames. Limits: no AV1; interlaced files are unreliable with
OpenCV 4.13 to 5.0, which hand over memory that nobody wrote; no alpha channel, no HDR mark; damage that the decoder
conceals is not told; a file whose edit list hides frames may look cut.
"""

from __future__ import annotations

import bisect
import os
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from statistics import median
from threading import Lock

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.decoder import (
    DEMUXERS,
    END_SECONDS,
    SAME_SECONDS,
    DecodedFrame,
    Decoder,
    LostFrameError,
    Watch,
)
from vreason_agent.video.files import DESCRIPTORS, READABLE, Source
from vreason_agent.video.images import fit_within, load_cv2
from vreason_agent.video.read_options import Limits
from vreason_agent.video.types import Method, VideoInfo, VideoStream

MAX_FAILED_GRABS = 64  # damaged streams go on after a few frames that cannot be decoded
_environment = Lock()  # OpenCV takes FFmpeg's options from the environment


class OpenCVDecoder(Decoder):
    """A video or GIF file that OpenCV decodes from its start; see `Decoder`."""

    method: Method = "sequential"

    def __init__(self, source: Source, limits: Limits) -> None:
        """Open the file; the first pass waits until a frame is asked for, or a look at the end."""
        self._source, self._limits = source, limits
        self._times: list[float] = []
        self._open()
        width, height, fps, fourcc, count = (self._capture.get(code) for code in (3, 4, 5, 6, 7))
        size = int(width), int(height)
        limits.check("max_pixels", size[0] * size[1], f"{source.path!r} is {size[0]}x{size[1]} pixels")
        is_told = 0.5 <= fps <= 240 and 0 < count < 1e9  # some give negative or astronomical numbers
        seconds, num_frames = (count / fps, int(count)) if is_told else (None, None)
        limits.check("max_seconds", seconds or 0.0, f"{source.path!r} lasts {seconds or 0:,.0f} s")
        text = int(fourcc).to_bytes(4, "little", signed=True).decode("ascii", "replace").strip("\x00 ")
        codec = text if text.isprintable() else ""
        self.info = VideoInfo(
            source.path, source.kind, fps if is_told else None, num_frames, seconds, *size, codec or None, None,
            declared_frames=num_frames, is_seekable=False, streams=(VideoStream(*size, codec, is_read=True),),
            note="no seeking with OpenCV; frames are decoded sequentially (slower, still exact)",
        )  # fmt: skip

    def _open(self) -> None:
        """Open the checked file, and no other: by its descriptor, or outside Linux by its name, compared afterwards."""
        cv2, has_names = load_cv2(), os.path.isdir(DESCRIPTORS)
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        name = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
        with _environment:
            before = os.environ.get(name)
            os.environ[name] = f"format_whitelist;{DEMUXERS}|protocol_whitelist;file"
            try:
                file = f"{DESCRIPTORS}/{self._source.descriptor}" if has_names else self._source.path
                self._capture, self._at = cv2.VideoCapture(file, cv2.CAP_FFMPEG), -1
            finally:
                os.environ.pop(name) if before is None else os.environ.update({name: before})
        if not has_names:
            self._source.check_unchanged()
        if not self._capture.isOpened():
            msg = f"no video stream of {self._source.path!r} can be opened by OpenCV; {READABLE}"
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
        is_there, picture = self._capture.retrieve()
        if self._at < number or not is_there:
            raise LostFrameError(self._source.path, seconds)
        return DecodedFrame(times[number], stop, number, fit_within(picture[..., ::-1].copy(), max_side_px))

    def passes(self, seconds: float) -> bool:
        """All frames before a time are decoded."""
        return True

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what all frames' times tell; see `Decoder`."""
        times, info = self._all_times(watch), self.info
        count, end = len(times), times[-1] + _usual_gap(times)
        is_cut = count < 0.98 * (info.declared_frames or 0) and end < 0.98 * (info.duration_seconds or 0.0)
        length = info.duration_seconds if is_cut else end
        even = count > 1 and all(abs(time - at * times[-1] / (count - 1)) <= 0.002 for at, time in enumerate(times))
        info = replace(info, num_frames=count, video_fps=count / end, readable_seconds=end, duration_seconds=length)
        note = f"{info.note}; {info.reason_incomplete()}" if is_cut else info.note
        return replace(info, is_constant_rate=even, note=note)

    def _all_times(self, watch: Watch) -> list[float]:
        """Return every frame's time from the first one's; times that repeat or go backwards are set apart evenly."""
        if not self._times:
            self.close()
            self._open()
            found: list[float] = []
            while self._grab():
                found.append(self._capture.get(0) / 1000)
                self._limits.check("max_decoded_frames", len(found), f"{self._source.path!r} has {len(found):,} frames")
                self._limits.check("max_seconds", found[-1] - found[0], f"{self._source.path!r} is longer")
                watch.check()
            if not found:
                msg = (
                    f"no frame of {self._source.path!r} can be decoded by OpenCV, whose wheels lack decoders such as "
                    "AV1's; use backend='av' (pip install av), or re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
                )
                raise VideoDecodeError(msg)
            self._at, gap = len(found), _usual_gap(found)  # behind the end, where nothing can be retrieved
            for time in found:
                last, here = self._times[-1] if self._times else -gap, time - found[0]
                self._times.append(here if here > last else last + gap)
        return self._times

    def _grab(self) -> bool:
        for _ in range(MAX_FAILED_GRABS):
            with suppress(load_cv2().error):  # its text is native
                if self._capture.grab():
                    return True
        return False


def _usual_gap(times: list[float]) -> float:
    gaps = [after - before for before, after in pairwise(times) if after > before]
    return median(gaps) if gaps else 0.04
