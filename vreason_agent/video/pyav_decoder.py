"""Frames by PyAV: seek to the keyframe before a time, decode until the next frame's time passes it.

A frame is right when its time is at or before the wanted one and the next frame's time is after it, or the stream ends.
Where a seek leads behind the wanted time, the file is decoded from its start, and `method` says so. FFmpeg sees the
checked descriptor only, whitelisted containers, and no protocol: nothing in a file makes it open another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np

from vreason_agent.errors import DependencyError, VideoDecodeError
from vreason_agent.video.decoder import END_SECONDS, SAME_SECONDS, DecodedFrame, LostFrameError
from vreason_agent.video.files import DescriptorFile, Source, what_can_be_read
from vreason_agent.video.images import fit_within, on_white
from vreason_agent.video.progress import Watch
from vreason_agent.video.read_options import Limits
from vreason_agent.video.types import Method, Picture, VideoInfo, VideoStream

DEMUXERS = "mov,matroska,avi,flv,ogg,asf,mpeg,mpegts,gif,mxf"
GIF_TRAILER = b"\x00\x3b"  # behind the end of the last image
MAX_LOOKED_AT_ENTRIES = 5000  # of a table of frames, evenly spread: an hour's is long
MAX_ERRORS = 64  # in a row; damaged streams go on after a few packets that cannot be decoded
MAX_LOOK_FRAMES = 300  # so many frames are decoded to see whether the end is damaged; farther ones are believed
SEEK_LEADS_SECONDS = (0.0, 1.0, 10.0)  # how much earlier a seek aims when the one before led behind the wanted time
STEP_SECONDS = 1.0  # so far ahead frames are stepped to where no table tells of keyframes
UNKNOWN_FRAME_SECONDS = 0.04
_LISTING = ("mov", "matroska", "avi", "mxf")  # containers with a table of frames or keyframes
_NOT_SOUGHT = ("gif", "mpeg")  # no index; in MPEG-PS the times behind a seek may be those of the frame before
_FROM_ZERO = ("matroska", "asf", "flv")  # their length counts from 0 s, be the first frame later
_HDR_TRANSFERS: dict[int, Literal["PQ", "HLG"]] = {16: "PQ", 18: "HLG"}  # AVColorTransferCharacteristic
_STILL_CODECS = {"mjpeg", "png", "bmp", "webp", "tiff"}
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


class _Timed(NamedTuple):
    """A frame of FFmpeg's, `None` where it is damaged, and its time on the file's own clock."""

    seconds: float
    frame: Any
    number: int | None


class _Cursor:
    """The file, open at its video stream: moves, and decodes from where it is."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._av, self._path = load_av(), source.path
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
        self._file = DescriptorFile(source.descriptor)
        try:
            self.container = self._av.open(self._file, options=options, buffer_size=1 << 16, metadata_errors="ignore")
        except (self._av.error.FFmpegError, ValueError) as exc:  # its text is native and stays out of the message
            raise VideoDecodeError(_unopened(self._path)) from exc
        try:
            self._choose_stream(limits)
        except BaseException:
            self.close()
            raise

    def _choose_stream(self, limits: Limits) -> None:
        """Take the first stream that is no cover picture; one of a codec for pictures where there is no other."""
        attached = self._av.stream.Disposition.attached_pic
        shown = [stream for stream in self.container.streams.video if not stream.disposition & attached]
        if all(stream.codec_context is None for stream in shown):
            raise VideoDecodeError(_unopened(self._path))
        self.stream = next((stream for stream in shown if not _is_still(stream)), shown[0])
        limits.check_pixels(repr(self._path), self.stream.width, self.stream.height)
        self.streams = tuple(_described(stream, is_read=stream is self.stream) for stream in shown)
        context = self.stream.codec_context
        if context is None:
            raise VideoDecodeError(_undecodable(self._path, None))
        context.options = {"max_pixels": str(limits.max_pixels)}  # a stream may grow midway
        context.thread_type = "AUTO"
        self.base, self.format = float(self.stream.time_base), self.container.format.name
        self.fps = float(self.stream.average_rate or self.stream.guessed_rate or 0)
        self.is_counted = self.format == "avi" and context.has_b_frames  # its packets are numbered as they are decoded
        self.can_seek = not (self.is_counted or self.format in _NOT_SOUGHT)
        self._alpha = self._alpha_decoder(limits)
        self._is_cut_gif = self.format == "gif" and self._tail(len(GIF_TRAILER)) != GIF_TRAILER
        self.decoded_until = -1  # the last packet that was decoded, in ticks

    def _tail(self, num_bytes: int) -> bytes:
        at = self._file.tell()
        self._file.seek(-num_bytes, os.SEEK_END)
        last = self._file.read(num_bytes)
        self._file.seek(at)
        return last

    def _alpha_decoder(self, limits: Limits) -> Any:
        name = _ALPHA_DECODERS.get(self.stream.codec_context.codec.canonical_name, "")
        if self.stream.metadata.get("alpha_mode") != "1" or name not in self._av.codecs_available:
            return None
        decoder = self._av.CodecContext.create(name, "r")
        decoder.options = {"max_pixels": str(limits.max_pixels)}
        return decoder

    def seek(self, seconds: float) -> bool:
        """Jump to the keyframe at or before a time; whether the container can."""
        try:
            self.container.seek(round(seconds / self.base), stream=self.stream)
        except (self._av.error.FFmpegError, OverflowError):
            return False
        if self._alpha is not None:
            self._alpha.flush_buffers()
        self.decoded_until = -1
        return True

    def frames(self, *, from_start: bool) -> Iterator[_Timed]:
        """Decode from here on; behind a seek from the first keyframe on, since frames before it lack others.

        From a damaged place to the next keyframe frames are `None`: the decoder conceals what it lacks, and frames
        refer to frames. A codec without checksums, such as VP8, may conceal damage and not tell.
        """
        frames = self._decode(from_start=from_start)
        if not self._is_cut_gif:
            yield from frames
            return
        last = next(frames, None)
        for timed in frames:
            if last is not None:
                yield last
            last = timed
        if last is not None:
            yield last._replace(frame=None)  # what is missing of it is filled with wrong pixels

    def _decode(self, *, from_start: bool) -> Iterator[_Timed]:
        num_errors, is_whole, is_numbered, number, last = 0, from_start, from_start, -1, 0.0
        for packet in self.packets():
            try:
                decoded = (
                    packet.decode() if self._alpha is None else self._alpha.decode(packet if packet.size else None)
                )
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
                    raise VideoDecodeError(_unordered(self._path))
                last = seconds
                yield _Timed(seconds, frame if is_whole else None, number if is_numbered else None)

    def packets(self) -> Iterator[Any]:
        """Step through the packets of the stream, and the empty one that empties the decoder at the end."""
        packets = self.container.demux(self.stream)
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
        is_told = frame is not None and frame.duration and not self.is_counted
        return frame.duration * self.base if is_told else 1 / self.fps if self.fps else UNKNOWN_FRAME_SECONDS

    def _seconds(self, frame: Any, number: int, last: float) -> float:
        if self.is_counted:
            return number / self.fps
        ticks = frame.pts if frame.pts is not None else frame.dts
        seconds = 0.0 if ticks is None else float(ticks * self.base)
        return seconds if frame.pts is not None or seconds > last or number == 0 else last + self.frame_seconds(frame)

    def close(self) -> None:
        """Close the container; the descriptor stays open."""
        self.container.close()


class PyAVDecoder:
    """A video or GIF file that PyAV decodes; see `Decoder`."""

    def __init__(self, source: Source, limits: Limits) -> None:
        """Open the file and decode its first frame, whose time is zero of ours.

        Raises:
            VideoDecodeError: If no video stream can be opened, or no frame decoded.
            VideoTooLargeError: If it exceeds a limit.
        """
        self._source, self._limits = source, limits
        self._cursor = _Cursor(source, limits)
        try:
            limits.check_length(source.path, self._declared_seconds(self._cursor.stream.start_time) or 0.0)
            self._begin(from_start=True)
            if self._next is None:
                raise VideoDecodeError(_undecodable(source.path, self._cursor.stream.codec_context.name))
        except BaseException:
            self.close()
            raise
        self._zero = self._next.seconds
        self._can_seek = self._cursor.can_seek
        self.method: Method = "seek" if self._can_seek else "sequential"
        self._is_even: bool | None = None
        self.info = self._describe()

    def close(self) -> None:
        """Release FFmpeg's part of the file."""
        self._cursor.close()

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame | None:
        """Return the frame that is shown at a time; see `Decoder`."""
        if not self._stands_before(seconds) or not self.passes(seconds):
            self._jump(seconds, watch)
        else:
            self._step(seconds, watch)
        current, following = self._current, self._next
        if current is None:
            raise LostFrameError(self._source.path, seconds)
        start, own_end = self._from_zero(current), self._from_zero(current) + self._cursor.frame_seconds(current.frame)
        stop = own_end if following is None else self._from_zero(following)
        if following is None and seconds >= own_end + END_SECONDS:
            return None
        is_gap = following is not None and following.frame is None and seconds >= own_end - SAME_SECONDS
        picture = None if current.frame is None or is_gap else picture_of(current.frame)
        if picture is None:
            raise LostFrameError(self._source.path, seconds)
        if following is None:
            stop += END_SECONDS
        return DecodedFrame(start, stop, self._number(current), fit_within(picture, max_side_px))

    def passes(self, seconds: float) -> bool:
        """Whether no keyframe lies between here and a time, as far as the container lists them."""
        if not self._can_seek:
            return True
        if (entries := self._entries) is None:  # a seek may lead behind where we are
            return seconds - self._here() < STEP_SECONDS
        before = entries.search_timestamp(round((seconds + self._zero) / self._cursor.base))
        return bool(before < 0 or entries[before].timestamp <= self._cursor.decoded_until)

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what is known with a look at the last frame; see `Decoder`."""
        cursor = _Cursor(self._source, self._limits)
        try:
            count, last = self._last_frame(cursor, watch)
        finally:
            cursor.close()
        end = last.seconds - self._zero + cursor.frame_seconds(last.frame)
        declared, usual = self._declared_seconds(self._zero / cursor.base) or end, cursor.frame_seconds(None)
        self._limits.check_length(self._source.path, max(end, declared))
        is_whole = end >= declared - max(2 * usual, min(1.0, 0.02 * declared))
        length = end if is_whole else declared
        info = replace(self.info, readable_seconds=end, duration_seconds=length)
        if count is None:  # not all of it was decoded
            count = info.num_frames if is_whole and info.num_frames else max(1, round(end * cursor.fps))
        entries = self._entries
        keyframes = sum(entry.is_keyframe and not entry.is_discard for entry in entries) if entries else None
        info = replace(info, num_frames=count, video_fps=count / end, num_keyframes=keyframes)
        self.info = info if is_whole else replace(info, note=_joined(info.note, info.reason_incomplete()))
        return self.info

    def keyframes_seconds(self, watch: Watch) -> tuple[float, ...]:
        """Return times of keyframes by the packets of the whole file, of which none is decoded."""
        cursor, times = _Cursor(self._source, self._limits), []
        with suppress(AttributeError, ValueError):  # PyAV before 17.1 reads the other packets too
            cursor.stream.discard = "NONKEY"
        try:
            for packet in cursor.packets():
                watch.check()
                if packet.is_keyframe and packet.pts is not None and packet.size and not packet.is_discard:
                    times.append(packet.pts * cursor.base - self._zero)
        finally:
            cursor.close()
        return tuple(sorted(time for time in times if time >= 0)) if self._can_seek else ()

    def _restart(self) -> None:
        """Stand before the first frame."""
        self._cursor.close()
        self._cursor = _Cursor(self._source, self._limits)
        self._begin(from_start=True)

    def _begin(self, *, from_start: bool) -> None:
        self._frames = self._cursor.frames(from_start=from_start)
        self._current: _Timed | None = None
        self._next = next(self._frames, None)
        while not from_start and self._next is not None and self._next.frame is None:
            self._next = next(self._frames, None)  # what comes before the first keyframe refers to frames before it

    def _jump(self, seconds: float, watch: Watch) -> None:
        """Go to a time by a seek that does not lead behind it, or else from the start."""
        for lead in SEEK_LEADS_SECONDS if self._can_seek else ():
            aim = max(0.0, seconds - lead)
            if not self._cursor.seek(aim + self._zero):
                break
            self._begin(from_start=False)
            if self._stands_before(seconds):
                self._step(seconds, watch)
                return
            if aim == 0:
                break
        if self._can_seek and seconds > 0:
            self.method = "sequential"
        self._restart()
        self._step(seconds, watch)

    def _stands_before(self, seconds: float) -> bool:
        at = self._current or self._next
        return at is not None and self._from_zero(at) <= seconds + SAME_SECONDS

    def _step(self, seconds: float, watch: Watch) -> None:
        """Decode on until the next frame is shown after a time."""
        num_frames = 0
        while self._next is not None and self._from_zero(self._next) <= seconds + SAME_SECONDS:
            self._current, self._next = self._next, next(self._frames, None)
            num_frames += 1
            self._limits.check_decoded(self._source.path, num_frames)
            watch.check()

    def _here(self) -> float:
        at = self._next or self._current
        return 0.0 if at is None else self._from_zero(at)

    def _from_zero(self, timed: _Timed) -> float:
        return timed.seconds - self._zero

    def _last_frame(self, cursor: _Cursor, watch: Watch) -> tuple[int | None, _Timed]:
        """Return how many frames there are, where all were decoded, and the last one that can be."""
        far = self._declared_seconds(self._zero / cursor.base) or 24 * 3600.0
        if self._can_seek and cursor.seek(self._zero + far):
            last = self._tail(cursor, watch)
            if last is None:  # a file that is cut: seek to the last packet that is there
                cursor.seek(self._zero)
                times = [packet.pts for packet in self._watched(cursor.packets(), watch) if packet.pts is not None]
                last = self._tail(cursor, watch) if times and cursor.seek(max(times) * cursor.base) else None
            if last is not None:
                return None, last
        whole = _Cursor(self._source, self._limits)
        try:
            frames = [timed for timed in self._watched(whole.frames(from_start=True), watch) if timed.frame is not None]
        finally:
            whole.close()
        if not frames:
            raise VideoDecodeError(_undecodable(self._source.path, self.info.codec))
        return len(frames), frames[-1]

    def _tail(self, cursor: _Cursor, watch: Watch) -> _Timed | None:
        """Return the last whole frame from here on; frames far behind their keyframe are believed without decoding."""
        last = None
        for number, timed in enumerate(cursor.frames(from_start=False)):
            watch.check()
            last = last if timed.frame is None else timed
            if number >= MAX_LOOK_FRAMES:
                times = [packet.pts * cursor.base for packet in cursor.packets() if packet.pts is not None]
                return _Timed(max([timed.seconds, *times]), None, None)
        return last

    def _watched(self, steps: Iterator[Any], watch: Watch) -> Iterator[Any]:
        for number, step in enumerate(steps, start=1):
            watch.check()
            self._limits.check_decoded(self._source.path, number)
            yield step

    def _declared_seconds(self, first_ticks: float | None) -> float | None:
        """Return the length that the container declares from the first frame on; of what an edit list shows."""
        stream, container, av = self._cursor.stream, self._cursor.container, load_av()
        whole = container.duration / av.time_base if container.duration and container.duration > 0 else None
        first = (first_ticks or 0) * self._cursor.base
        lead = first if self._cursor.format.startswith(_FROM_ZERO) else 0.0
        if tag := stream.metadata.get("DURATION"):
            return _clock_seconds(tag) - lead if _clock_seconds(tag) > lead else None
        if self._cursor.format == "avi" and stream.frames and self._cursor.fps:  # the length is that of the index
            return int(stream.frames) / self._cursor.fps
        if stream.duration and stream.duration > 0:
            own = float(stream.duration * stream.time_base) - max(
                0.0, first - (stream.start_time or 0) * self._cursor.base
            )
            return own if whole is None else min(own, whole)
        has_sound = any(other.type == "audio" for other in container.streams)
        return None if whole is None or has_sound or whole <= lead else whole - lead  # sound may last longer

    @property
    def _entries(self) -> Any:
        """The container's table of frames or keyframes; taken anew each time, since a closed container frees it."""
        entries = getattr(self._cursor.stream, "index_entries", None)  # PyAV from 17 on
        is_listed = entries is not None and len(entries) > 1 and self._cursor.format.startswith(_LISTING)
        return entries if is_listed else None

    def _number(self, timed: _Timed) -> int | None:
        if timed.number is not None:
            return timed.number
        return (
            round(self._from_zero(timed) * self._cursor.fps) if self.info.is_constant_rate and self._lists_all else None
        )

    @property
    def _lists_all(self) -> bool:
        """Whether the container lists every frame, not keyframes alone."""
        return self._entries is not None and not self._cursor.format.startswith("matroska")

    def _describe(self) -> VideoInfo:
        cursor, entries = self._cursor, self._entries
        stream, seconds = cursor.stream, self._declared_seconds(self._zero / cursor.base)
        declared = int(stream.frames) or None
        if entries is not None and self._cursor.format.startswith("mov"):  # without those that an edit list hides
            declared = self._count_shown(entries)
        transfer = next((name for s in cursor.container.streams.video if (name := _hdr(s))), None)
        first = self._next.frame if self._next is not None and self._next.frame is not None else None
        size = (
            (stream.height, stream.width)
            if first is not None and first.rotation % 180
            else (stream.width, stream.height)
        )
        notes = []
        if len(cursor.streams) > 1:
            notes.append(f"several video streams: one is read ({size[0]}x{size[1]}, {stream.codec_context.name})")
        if not self._can_seek:
            notes.append("no seeking in this file; frames are decoded sequentially (slower, still exact)")
        if transfer is not None:
            notes.append(f"HDR ({transfer}): frames are not tone-mapped, so colors look washed out")
        return VideoInfo(
            path=self._source.path,
            kind=self._source.kind,
            video_fps=cursor.fps or None,
            num_frames=declared or (round(seconds * cursor.fps) if seconds and cursor.fps else None),
            duration_seconds=seconds,
            width_px=size[0],
            height_px=size[1],
            codec=stream.codec_context.codec.canonical_name,
            is_constant_rate=self._is_evenly_spaced(),
            declared_frames=declared,
            is_seekable=self._can_seek,
            streams=cursor.streams,
            backend="av",
            hdr=transfer,
            note=_joined(*notes),
        )

    def _is_evenly_spaced(self) -> bool:
        """Whether frames lie on one clock: by the container's table of them, or else by its header."""
        entries, stream = self._entries, self._cursor.stream
        if entries is None or not self._lists_all:
            return bool(stream.average_rate) and stream.average_rate == (stream.base_rate or stream.guessed_rate)
        first, last = entries[0].timestamp, len(entries) - 1
        gap = (entries[last].timestamp - first) / last
        tolerance = max(1.0, min(0.002 / self._cursor.base, gap / 4))  # containers round times
        looked_at = range(0, last, 1 + last // MAX_LOOKED_AT_ENTRIES)
        return gap > 0 and all(abs(entries[at].timestamp - first - at * gap) <= tolerance for at in looked_at)

    def _count_shown(self, entries: Any) -> int:
        """Return how many frames a table lists, without those that an edit list hides; it hides them at an end."""
        ends = {*range(min(50, len(entries))), *range(max(0, len(entries) - 50), len(entries))}
        if not any(entries[at].is_discard for at in ends):
            return len(entries)
        return sum(not entry.is_discard for entry in entries)


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


def _hdr(stream: Any) -> Literal["PQ", "HLG"] | None:
    context = stream.codec_context
    return None if context is None else _HDR_TRANSFERS.get(int(context.color_trc or 0))


def _clock_seconds(text: str) -> float:
    """Return the seconds of Matroska's `00:00:05.000000000`; 0 for what is no such text."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(Fraction(seconds))
    except (ValueError, ZeroDivisionError):
        return 0.0


def _is_still(stream: Any) -> bool:
    """Whether a stream may be a cover: some containers do not mark one."""
    context = stream.codec_context
    return context is None or context.codec.canonical_name in _STILL_CODECS


def _described(stream: Any, *, is_read: bool) -> VideoStream:
    context = stream.codec_context
    return VideoStream(stream.width, stream.height, context and context.codec.canonical_name, is_read)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _unopened(path: str) -> str:
    return (
        f"no video stream of {path!r} can be opened: the file is truncated, damaged, of another format or holds only "
        f"audio; {what_can_be_read()}, or try to repair it: ffmpeg -i {os.path.basename(path)} -c copy repaired.mp4"
    )


def _undecodable(path: str, codec: str | None) -> str:
    return (
        f"no frame of the video stream of {path!r} (codec {codec or 'unknown'!r}) can be decoded: it is damaged, or "
        "this build lacks the decoder; re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )


def _unordered(path: str) -> str:
    return f"the times of the frames of {path!r} do not ascend; re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
