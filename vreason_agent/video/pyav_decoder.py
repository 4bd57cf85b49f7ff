"""Frames by PyAV: seek to the keyframe before a time, decode until the next frame's time passes it.

A frame is right when its time is at or before the wanted one and the next frame's time is after it, or the stream ends.
Where a seek leads behind the wanted time, the file is decoded from its start, and `method` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any, Literal

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.decoder import END_SECONDS, SAME_SECONDS, DecodedFrame, Decoder, LostFrameError, Watch
from vreason_agent.video.files import Source
from vreason_agent.video.images import fit_within
from vreason_agent.video.pyav_file import PyAVFile, TimedFrame, picture_of
from vreason_agent.video.read_options import Limits
from vreason_agent.video.types import Method, VideoInfo

MAX_LOOK_FRAMES = 300  # so many frames are decoded to see whether the end is damaged; farther ones are believed
SEEK_LEADS_SECONDS = (0.0, 1.0, 10.0)  # how much earlier a seek aims when the one before led behind the wanted time
STEP_SECONDS = 1.0  # so far ahead frames are stepped to where no table tells of keyframes
HDR_TRANSFERS: dict[int, Literal["PQ", "HLG"]] = {16: "PQ", 18: "HLG"}  # AVColorTransferCharacteristic


class PyAVDecoder(Decoder):
    """A video or GIF file that PyAV decodes; see `Decoder`."""

    def __init__(self, source: Source, limits: Limits) -> None:
        """Open the file and decode its first frame, whose time is zero of ours.

        Raises:
            VideoDecodeError: If no video stream can be opened, or no frame decoded.
            VideoTooLargeError: If it exceeds a limit.
        """
        self._source, self._limits = source, limits
        self._file = PyAVFile(source, limits)
        try:
            self._check_length(self._file.declared_seconds(self._file.start_seconds) or 0.0)
            self._begin(from_start=True)
            if self._next is None:
                raise VideoDecodeError(self._file.undecodable())
            self._zero = self._next.seconds
            self.method: Method = "seek" if self._file.can_seek else "sequential"
            self.info = self._describe(self._next.frame)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release FFmpeg's part of the file."""
        self._file.close()

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame | None:
        """Return the frame that is shown at a time; see `Decoder`."""
        self._file.wanted_seconds = self._zero + seconds
        if self._stands_before(seconds) and self.passes(seconds):
            self._step(seconds, watch)
        else:
            self._jump(seconds, watch)
        if self._current is not None and self._current.seconds <= self._file.skipped_seconds:
            self._file.wanted_seconds = self._zero  # before a pause, the frame that is shown may have been skipped
            self._jump(seconds, watch)
        current, following = self._current, self._next
        if current is None:
            raise LostFrameError(self._source.path, seconds)
        start = current.seconds - self._zero
        own_end = start + self._file.frame_seconds(current.frame)
        if following is None and seconds >= own_end + END_SECONDS:
            return None
        is_gap = following is not None and following.frame is None and seconds >= own_end - SAME_SECONDS
        picture = None if current.frame is None or is_gap else picture_of(current.frame)
        if picture is None:
            raise LostFrameError(self._source.path, seconds)
        stop = own_end + END_SECONDS if following is None else following.seconds - self._zero
        return DecodedFrame(start, stop, self._number(current), fit_within(picture, max_side_px))

    def passes(self, seconds: float) -> bool:
        """Whether no keyframe lies between here and a time, as far as the container lists them."""
        file = self._file
        if not file.can_seek:
            return True
        if (entries := file.entries) is None:  # a seek may lead behind where we are
            at = self._next or self._current
            return at is None or seconds - (at.seconds - self._zero) < STEP_SECONDS
        before = entries.search_timestamp(round((seconds + self._zero) / file.base))
        return bool(before < 0 or entries[before].timestamp <= file.decoded_until)

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what is known with a look at the last frame; see `Decoder`."""
        with closing(PyAVFile(self._source, self._limits)) as file:
            count, last = self._last_frame(file, watch)
            end = last.seconds - self._zero + file.frame_seconds(last.frame)
            usual = file.frame_seconds(None)
        declared = self._file.declared_seconds(self._zero) or end
        self._check_length(max(end, declared))
        is_whole = end >= declared - max(2 * usual, min(1.0, 0.02 * declared))
        if count is None:  # not all of it was decoded
            count = self.info.num_frames if is_whole and self.info.num_frames else max(1, round(end * self._file.fps))
        entries = self._file.entries
        self.info = replace(
            self.info,
            readable_seconds=end,
            duration_seconds=end if is_whole else declared,
            num_frames=count,
            video_fps=count / end,
            num_keyframes=sum(entry.is_keyframe and not entry.is_discard for entry in entries) if entries else None,
        )
        if not is_whole:
            note = "; ".join(filter(None, (self.info.note, self.info.reason_incomplete())))
            self.info = replace(self.info, note=note)
        return self.info

    def keyframes_seconds(self, watch: Watch) -> tuple[float, ...]:
        """Return times of keyframes by the packets of the whole file, of which none is decoded."""
        times = []
        with closing(PyAVFile(self._source, self._limits)) as file:
            with suppress(AttributeError, ValueError):  # PyAV before 17.1 reads the other packets too
                file.stream.discard = "NONKEY"
            for packet in file.packets():
                watch.check()
                if packet.is_keyframe and packet.pts is not None and packet.size and not packet.is_discard:
                    times.append(packet.pts * file.base - self._zero)
        return tuple(sorted(time for time in times if time >= 0)) if self._file.can_seek else ()

    def _begin(self, *, from_start: bool) -> None:
        self._frames = self._file.frames(from_start=from_start)
        self._current: TimedFrame | None = None
        self._next = next(self._frames, None)
        while not from_start and self._next is not None and self._next.frame is None:
            self._next = next(self._frames, None)  # what comes before the first keyframe refers to frames before it

    def _jump(self, seconds: float, watch: Watch) -> None:
        """Go to a time by a seek that does not lead behind it, or else from the start."""
        for lead in SEEK_LEADS_SECONDS if self._file.can_seek else ():
            aim = max(0.0, seconds - lead)
            if not self._file.seek(aim + self._zero):
                break
            self._begin(from_start=False)
            if self._stands_before(seconds):
                self._step(seconds, watch)
                return
            if aim == 0:
                break
        if seconds > 0:
            self.method = "sequential"
        self._file.close()
        self._file = PyAVFile(self._source, self._limits)
        self._begin(from_start=True)
        self._step(seconds, watch)

    def _stands_before(self, seconds: float) -> bool:
        at = self._current or self._next
        return at is not None and at.seconds - self._zero <= seconds + SAME_SECONDS

    def _step(self, seconds: float, watch: Watch) -> None:
        """Decode on until the next frame is shown after a time."""
        num_frames = 0
        while self._next is not None and self._next.seconds - self._zero <= seconds + SAME_SECONDS:
            self._current, self._next = self._next, next(self._frames, None)
            num_frames += 1
            self._check_decoded(num_frames)
            watch.check()

    def _last_frame(self, file: PyAVFile, watch: Watch) -> tuple[int | None, TimedFrame]:
        """Return how many frames there are, where all were decoded, and the last one that can be."""
        far = self._file.declared_seconds(self._zero) or 24 * 3600.0
        if file.can_seek and file.seek(self._zero + far):
            last = self._tail(file, watch)
            if last is None:  # a file that is cut: seek to the last packet that is there
                file.seek(self._zero)
                times = [packet.pts for packet in self._watched(file.packets(), watch) if packet.pts is not None]
                last = self._tail(file, watch) if times and file.seek(max(times) * file.base) else None
            if last is not None:
                return None, last
        with closing(PyAVFile(self._source, self._limits)) as whole:
            frames = [timed for timed in self._watched(whole.frames(from_start=True), watch) if timed.frame is not None]
        if not frames:
            raise VideoDecodeError(self._file.undecodable())
        return len(frames), frames[-1]

    def _tail(self, file: PyAVFile, watch: Watch) -> TimedFrame | None:
        """Return the last whole frame from here on; frames far behind their keyframe are believed without decoding."""
        last = None
        for number, timed in enumerate(file.frames(from_start=False)):
            watch.check()
            last = last if timed.frame is None else timed
            if number >= MAX_LOOK_FRAMES:
                times = [packet.pts * file.base for packet in file.packets() if packet.pts is not None]
                return TimedFrame(max([timed.seconds, *times]), None, None)
        return last

    def _watched(self, steps: Iterator[Any], watch: Watch) -> Iterator[Any]:
        for number, step in enumerate(steps, start=1):
            watch.check()
            self._check_decoded(number)
            yield step

    def _check_decoded(self, number: int) -> None:
        if number > self._limits.max_decoded_frames:
            self._limits.check("max_decoded_frames", number, f"{self._source.path!r} has {number:,} frames or more")

    def _check_length(self, seconds: float) -> None:
        self._limits.check("max_seconds", seconds, f"{self._source.path!r} lasts {seconds:,.0f} s")

    def _number(self, timed: TimedFrame) -> int | None:
        if timed.number is not None or not (self.info.is_constant_rate and self._file.lists_all):
            return timed.number
        return round((timed.seconds - self._zero) * self._file.fps)

    def _describe(self, first: Any) -> VideoInfo:
        """Return what the header and the first frame tell."""
        file, seconds, declared = self._file, self._file.declared_seconds(self._zero), self._file.count_declared()
        is_turned = first is not None and first.rotation % 180
        width, height = file.stream.width, file.stream.height
        size = (height, width) if is_turned else (width, height)
        hdr = HDR_TRANSFERS.get(int(file.stream.codec_context.color_trc or 0))
        notes = []
        if len(file.streams) > 1:
            notes.append(f"several video streams: one is read ({size[0]}x{size[1]}, {file.codec})")
        if not file.can_seek:
            notes.append("no seeking in this file; frames are decoded sequentially (slower, still exact)")
        if hdr is not None:
            notes.append(f"HDR ({hdr}): frames are not tone-mapped, so colors look washed out")
        return VideoInfo(
            path=self._source.path,
            kind=self._source.kind,
            video_fps=file.fps or None,
            num_frames=declared or (round(seconds * file.fps) if seconds and file.fps else None),
            duration_seconds=seconds,
            width_px=size[0],
            height_px=size[1],
            codec=file.codec,
            is_constant_rate=file.is_evenly_spaced(),
            declared_frames=declared,
            is_seekable=file.can_seek,
            streams=file.streams,
            backend="av",
            hdr=hdr,
            note="; ".join(notes),
        )
