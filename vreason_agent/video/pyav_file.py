"""A file that PyAV has open at its video stream: what its container tells, seeks, and frames from where it stands.

FFmpeg sees the checked descriptor only, whitelisted containers, and no protocol: nothing in a file makes it open
another one. Times here are those of the file's own clock.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, pairwise
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from vreason_agent.errors import DependencyError, VideoDecodeError
from vreason_agent.video.decoder import DEMUXERS
from vreason_agent.video.files import READABLE, DescriptorFile, Source
from vreason_agent.video.images import on_white
from vreason_agent.video.read_options import Limits
from vreason_agent.video.types import Picture, VideoStream

GIF_TRAILER = b"\x00\x3b"  # behind the end of the last image
MAX_LOOKED_AT_ENTRIES = 5000  # of a table of frames, evenly spread: an hour's is long
MAX_ERRORS = 64  # in a row; damaged streams go on after a few packets that cannot be decoded
HURRY_FRAMES = 4  # so many frames before a wanted one all are decoded
UNKNOWN_FRAME_SECONDS = 0.04
REENCODE = "re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
_LISTING = ("mov", "matroska", "avi", "mxf")  # containers with a table of frames or keyframes
_NOT_SOUGHT = ("gif", "mpeg")  # no index; in MPEG-PS the times behind a seek may be those of the frame before
_FROM_ZERO = ("matroska", "asf", "flv")  # their length counts from 0 s, be the first frame later
_STILL_CODECS = {None, "mjpeg", "png", "bmp", "webp", "tiff"}
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave the alpha channel of a WebM out


def load_av() -> ModuleType:
    """Return PyAV.

    Raises:
        DependencyError: If it cannot be loaded.
    """
    try:
        import av
    except ImportError as exc:
        msg = "PyAV, which decodes videos, cannot be loaded: pip install av; or use backend='opencv'"
        raise DependencyError(msg) from exc
    return av


class TimedFrame(NamedTuple):
    """A frame of FFmpeg's, `None` where it is damaged, its time, and its number where all before it were decoded."""

    seconds: float
    frame: Any
    number: int | None


class PyAVFile:
    """An open file; several may read one descriptor.

    Attributes:
        streams: Its video streams but covers.
        fps: Frames a second by the header; 0 where it tells none.
        can_seek: Whether a seek leads to a keyframe whose time can be believed.
        wanted_seconds: The next frame that is wanted: behind a seek, frames well before it that no other needs are
            skipped.
        skipped_seconds: The latest frame that may have been skipped.
        decoded_until: The last packet that was decoded, in ticks.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        """Open it; raises `VideoDecodeError`, or `VideoTooLargeError` over `limits.max_pixels`."""
        self._av, self._path = load_av(), source.path
        self._file = DescriptorFile(source.descriptor)
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
        try:
            self._container = self._av.open(self._file, options=options, buffer_size=1 << 16, metadata_errors="ignore")
        except (self._av.error.FFmpegError, ValueError) as exc:  # its text is native and stays out of the message
            raise VideoDecodeError(self._unopened()) from exc
        try:
            self._choose_stream(limits)
        except BaseException:
            self.close()
            raise
        self.format, self.base = self._container.format.name, float(self.stream.time_base)
        self.fps = float(self.stream.average_rate or self.stream.guessed_rate or 0)
        self._is_counted = self.format == "avi" and self._context.has_b_frames  # packets are numbered as decoded
        self.can_seek = not (self._is_counted or self.format in _NOT_SOUGHT)
        self._is_cut_gif = self.format == "gif" and not self._ends_with(GIF_TRAILER)
        self.wanted_seconds, self.skipped_seconds, self.decoded_until = -math.inf, -math.inf, -1

    def _choose_stream(self, limits: Limits) -> None:
        """Take the first stream that is no cover picture; one of a codec for pictures where there is no other."""
        attached = self._av.stream.Disposition.attached_pic
        shown = [stream for stream in self._container.streams.video if not stream.disposition & attached]
        codecs = [stream.codec_context and stream.codec_context.codec.canonical_name for stream in shown]
        if not any(codecs):
            raise VideoDecodeError(self._unopened())
        chosen = next((at for at, codec in enumerate(codecs) if codec not in _STILL_CODECS), 0)
        self.stream, self.codec = shown[chosen], codecs[chosen]
        width, height = self.stream.width, self.stream.height
        limits.check("max_pixels", width * height, f"{self._path!r} is {width}x{height} pixels")
        self.streams = tuple(
            VideoStream(stream.width, stream.height, codec, stream is self.stream)
            for stream, codec in zip(shown, codecs, strict=True)
        )
        self._context = self.stream.codec_context
        if self._context is None:
            raise VideoDecodeError(self.undecodable())
        alpha = _ALPHA_DECODERS.get(self.codec, "") if self.stream.metadata.get("alpha_mode") == "1" else ""
        knows_alpha = alpha in self._av.codecs_available
        self._decoder = self._av.CodecContext.create(alpha, "r") if knows_alpha else self._context
        self._decoder.options = {"max_pixels": str(limits.max_pixels)}  # a stream may grow midway
        self._context.thread_type = "AUTO"

    def _ends_with(self, tail: bytes) -> bool:
        file = DescriptorFile(self._file.descriptor)
        file.seek(-len(tail), os.SEEK_END)
        return file.read(len(tail)) == tail

    def seek(self, seconds: float) -> bool:
        """Jump to the keyframe at or before a time; whether the container can."""
        try:
            self._container.seek(round(seconds / self.base), stream=self.stream)
        except (self._av.error.FFmpegError, OverflowError):
            return False
        self._decoder.flush_buffers()
        self.skipped_seconds, self.decoded_until = -math.inf, -1
        return True

    def frames(self, *, from_start: bool) -> Iterator[TimedFrame]:
        """Decode from here on; behind a seek from the first keyframe on, since frames before it lack others.

        From a damaged place to the next keyframe frames are `None`: the decoder conceals what it lacks, and frames
        refer to frames. A codec without checksums, such as VP8, may conceal damage and not tell.
        """
        frames = self._decode(from_start=from_start)
        if not self._is_cut_gif:
            return frames
        pairs = pairwise(chain(frames, (None,)))  # what is missing of the last frame is filled with wrong pixels
        return (timed if after else timed._replace(frame=None) for timed, after in pairs if timed is not None)

    def _decode(self, *, from_start: bool) -> Iterator[TimedFrame]:
        num_errors, is_whole, is_numbered, number, last = 0, from_start, from_start, -1, 0.0
        for packet in self.packets():
            if not from_start:
                self._hurry(packet)
            try:
                decoded = self._decoder.decode(packet if packet.size else None)
            except self._av.error.FFmpegError:
                num_errors, is_whole, is_numbered = num_errors + 1, False, False
                if num_errors > MAX_ERRORS:
                    return
                continue
            for frame in decoded:
                num_errors, number = 0, number + 1
                is_whole = not frame.is_corrupt and (is_whole or bool(frame.key_frame))
                seconds = self._seconds(frame, number, last)
                if seconds < last and number > 0:
                    msg = f"the times of the frames of {self._path!r} do not ascend; {REENCODE}"
                    raise VideoDecodeError(msg)
                last = seconds
                yield TimedFrame(seconds, frame if is_whole else None, number if is_numbered else None)

    def _hurry(self, packet: Any) -> None:
        """Skip a frame that is shown well before the wanted one and to which no other refers; H.264 marks these."""
        if self.codec == "h264" and self.fps:
            seconds = math.inf if packet.pts is None else packet.pts * self.base
            is_far = seconds < self.wanted_seconds - HURRY_FRAMES / self.fps
            self._decoder.skip_frame = "NONREF" if is_far else "DEFAULT"
            if is_far:
                self.skipped_seconds = max(self.skipped_seconds, seconds)

    def packets(self) -> Iterator[Any]:
        """Step through the packets of the stream, and the empty one that empties the decoder at the end."""
        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.error.FFmpegError:  # the end of a file that is cut
                return
            if packet is None:
                return
            if packet.dts is not None:
                self.decoded_until = max(self.decoded_until, packet.dts)
            yield packet

    def frame_seconds(self, frame: Any) -> float:
        """Return how long a frame is shown by what it says itself, or else by the stream's rate."""
        if frame is not None and frame.duration and not self._is_counted:
            return float(frame.duration * self.base)
        return 1 / self.fps if self.fps else UNKNOWN_FRAME_SECONDS

    def _seconds(self, frame: Any, number: int, last: float) -> float:
        if self._is_counted:
            return number / self.fps
        ticks = frame.pts if frame.pts is not None else frame.dts
        seconds = 0.0 if ticks is None else float(ticks * self.base)
        return seconds if frame.pts is not None or seconds > last or number == 0 else last + self.frame_seconds(frame)

    def declared_seconds(self, first_seconds: float) -> float | None:
        """Return the length that the container declares from the first frame on; of what an edit list shows."""
        stream, container = self.stream, self._container
        whole = container.duration / self._av.time_base if (container.duration or 0) > 0 else None
        lead = first_seconds if self.format.startswith(_FROM_ZERO) else 0.0
        if tag := stream.metadata.get("DURATION"):
            return _clock_seconds(tag) - lead if _clock_seconds(tag) > lead else None
        if self.format == "avi" and stream.frames and self.fps:  # the length is that of the index
            return int(stream.frames) / self.fps
        if stream.duration and stream.duration > 0:
            before = max(0.0, first_seconds - (stream.start_time or 0) * self.base)
            return min(float(stream.duration * stream.time_base) - before, math.inf if whole is None else whole)
        has_sound = any(other.type == "audio" for other in container.streams)
        return None if whole is None or has_sound or whole <= lead else whole - lead  # sound may last longer

    @property
    def start_seconds(self) -> float:
        """Where the container says that the stream begins."""
        return float((self.stream.start_time or 0) * self.base)

    @property
    def entries(self) -> Any:
        """The container's table of frames or keyframes; taken anew each time, since a closed container frees it."""
        entries = getattr(self.stream, "index_entries", None)  # PyAV from 17 on
        is_listed = entries is not None and len(entries) > 1 and self.format.startswith(_LISTING)
        return entries if is_listed else None

    @property
    def lists_all(self) -> bool:
        """Whether the container lists every frame, not keyframes alone."""
        return self.entries is not None and not self.format.startswith("matroska")

    def count_declared(self) -> int | None:
        """Return how many frames the container declares, without those that an edit list hides, which are at an end."""
        entries = self.entries
        if entries is None or not self.format.startswith("mov"):
            return int(self.stream.frames) or None
        ends = {*range(min(50, len(entries))), *range(max(0, len(entries) - 50), len(entries))}
        hides = any(entries[at].is_discard for at in ends)
        return sum(not entry.is_discard for entry in entries) if hides else len(entries)

    def is_evenly_spaced(self) -> bool:
        """Whether frames lie on one clock: by the container's table of them, or else by its header."""
        entries, stream = self.entries, self.stream
        if not self.lists_all:
            return bool(stream.average_rate) and stream.average_rate == (stream.base_rate or stream.guessed_rate)
        first, last = entries[0].timestamp, len(entries) - 1
        gap = (entries[last].timestamp - first) / last
        tolerance = max(1.0, min(0.002 / self.base, gap / 4))  # containers round times
        looked_at = range(0, last, 1 + last // MAX_LOOKED_AT_ENTRIES)
        return gap > 0 and all(abs(entries[at].timestamp - first - at * gap) <= tolerance for at in looked_at)

    def close(self) -> None:
        """Close the container; the descriptor stays open."""
        self._container.close()

    def undecodable(self) -> str:
        """Word that nothing can be decoded."""
        return (
            f"no frame of the video stream of {self._path!r} (codec {self.codec or 'unknown'!r}) can be decoded: it is "
            f"damaged, or this build lacks the decoder; {REENCODE}"
        )

    def _unopened(self) -> str:
        return (
            f"no video stream of {self._path!r} can be opened: the file is truncated, damaged, of another format or "
            f"holds only audio; {READABLE}, or try to repair it: ffmpeg -i {os.path.basename(self._path)} -c copy "
            "repaired.mp4"
        )


def picture_of(frame: Any) -> Picture | None:
    """Return a frame as a player shows it, `uint8 (height, width, 3)` in RGB, upright; `None` if it cannot be had."""
    has_alpha = any(component.is_alpha for component in frame.format.components) or frame.format.has_palette
    try:
        picture = frame.to_ndarray(format="rgba" if has_alpha else "rgb24")
    except (load_av().error.FFmpegError, ValueError):  # a pixel format that cannot be converted; its text is native
        return None
    if has_alpha:
        picture = on_white(picture[..., :3], picture[..., 3:])
    return np.ascontiguousarray(np.rot90(picture, frame.rotation // 90 % 4))


def _clock_seconds(text: str) -> float:
    """Return the seconds of Matroska's `00:00:05.000000000`; 0 for what is no such text."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(Fraction(seconds))
    except (ValueError, ZeroDivisionError):
        return 0.0
