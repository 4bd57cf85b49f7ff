"""Public doors: a video that is opened once and read many times, and reads by path.

The frame for a time is the one that a player shows then, with its true time, or an error; never another one. What a
reader has decoded it holds in memory, as far as that is allowed: the attempts of a ladder decode no frame twice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock

import numpy as np

from vreason_agent.errors import ConfigError, VideoDecodeError, VideoTooLargeError
from vreason_agent.video.decoder import DecodedFrame, Decoder, LostFrameError, Watch, open_decoder
from vreason_agent.video.files import Identity, open_source
from vreason_agent.video.frame_cache import FrameCache, Resize, Sizing
from vreason_agent.video.images import decode_image, load_cv2, size_within
from vreason_agent.video.picture_decoder import FolderDecoder, ImageDecoder
from vreason_agent.video.read_options import DEFAULT_OPTIONS, ReadOptions, check_side, check_times
from vreason_agent.video.remote_decoder import RemoteDecoder, WorkerProcess
from vreason_agent.video.types import Frames, Progress, Size, VideoInfo

MAX_CACHE_BYTES = 256 * 2**20


def probe(video: str | os.PathLike[str], options: ReadOptions = DEFAULT_OPTIONS, **overrides: object) -> VideoInfo:
    """Return what is known of a video, with a look at its last frame.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures.
        options: How it is read; limits are checked before the first frame is decoded.
        **overrides: Fields of `options` by name, such as `backend="opencv"`.

    Raises:
        DependencyError: If the backend's library cannot be loaded.
        VideoError: In one of its kinds, if it cannot be opened or decoded, or exceeds a limit.
    """
    options = replace(options, **overrides)  # type: ignore[arg-type]
    with VideoReader(video, options, max_cache_bytes=0) as reader:
        return reader.info


def open_video(
    video: str | os.PathLike[str], options: ReadOptions = DEFAULT_OPTIONS, *, max_cache_bytes: int = MAX_CACHE_BYTES
) -> VideoReader:
    """Open a video for several reads; use as a context manager, and give it to `read_frames` in a path's place.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures.
        options: How it is read; limits hold for every read.
        max_cache_bytes: Pixels of decoded frames to hold between reads; more decodes fewer frames twice.

    Raises:
        As `probe` raises.
    """
    reader = VideoReader(video, options, max_cache_bytes=max_cache_bytes)
    try:
        _ = reader.info
    except BaseException:
        reader.close()
        raise
    return reader


def read_frames(
    video: str | os.PathLike[str] | VideoReader,
    timestamps: Sequence[float],
    *,
    max_side_px: int | None = None,
    resize: Resize | None = None,
    on_progress: Progress | None = None,
    allow_missing: bool = False,
    expected: Sequence[float] = (),
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Frames:
    """Return the frame that a player shows at each of the given times.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures (one a second); or what `open_video`
            opened, for several reads.
        timestamps: Times in seconds from the first frame, in any order, each in `[0, duration)`. The frame for a time
            is the last one with a timestamp at or before it; the last frame is shown for its own duration.
        max_side_px: Scale frames down to this longer side while reading; `None` keeps their size.
        resize: Called with each frame as soon as it is decoded, `uint8 (height, width, 3)` in RGB, after `max_side_px`;
            what it returns is kept in its place. Hashable, and the same for all frames.
        on_progress: Called with (frames read, frames to read); returning True ends the reading with an error.
        allow_missing: Leave out the times that a cut or damaged file has no frame for, and say in the result which and
            why, instead of an error; at least one has to be there.
        expected: Times that later reads of an opened video will ask for, at this size. Frames for them that are decoded
            on the way are held, as far as `max_cache_bytes` goes.
        options: How a path is read; of an opened video it is as it was opened.

    Raises:
        ConfigError: No times, one here or in `expected` that is negative or no finite number, a `max_side_px` that is
            no integer from 1, or a `resize` that returns no picture.
        DependencyError: If the backend's library cannot be loaded.
        VideoTooLargeError: More frames than `limits.max_frames`, more of their bytes than `limits.max_result_bytes`, or
            longer than `limits.max_wall_seconds`.
        VideoDecodeError: A time past the end or in the part that a cut file lacks, a frame that cannot be decoded, or
            `on_progress` ended it. Nothing is put in a missing frame's place. Isolated, also if the process died or
            was ended for its time.
        VideoError: As `probe` raises.
    """
    opened: AbstractContextManager[VideoReader] = (
        nullcontext(video) if isinstance(video, VideoReader) else VideoReader(video, options, max_cache_bytes=0)
    )
    with opened as reader:
        return reader.read(
            timestamps,
            max_side_px=max_side_px,
            resize=resize,
            on_progress=on_progress,
            allow_missing=allow_missing,
            expected=expected,
        )


class VideoReader:
    """An open video; several threads may share it, and wait for each other. `open_video` makes one."""

    def __init__(self, video: str | os.PathLike[str], options: ReadOptions, *, max_cache_bytes: int) -> None:
        """Check the file and open it; its decoder is opened when it is needed. See `open_video`."""
        load_cv2()  # scales pictures, whatever decodes
        self._options, self._source = options, open_source(video, options)
        self._cache, self._holds = FrameCache(max_cache_bytes), max_cache_bytes > 0
        self._lock, self._is_closed = Lock(), False
        self._decoder: Decoder | None = None
        self._worker: WorkerProcess | None = None
        self._known = _known_info(self._source.path, self._source.identity, replace(options, roots=None))

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the frames that are held."""
        with self._lock:
            if not self._is_closed:
                self._forget()
                self._source.close()
            self._is_closed = True

    @property
    def info(self) -> VideoInfo:
        """What is known of the video, with a look at its end; kept until the file changes."""
        if not self._known:
            with self._lock:
                self._known.append(self._opened().look_at_end(self._watch()))
        return self._known[0]

    @property
    def identity(self) -> Identity:
        """Changes when the file does, or another one comes into its place."""
        return self._source.identity

    @property
    def keyframes_seconds(self) -> tuple[float, ...]:
        """Times of the frames that are decoded without others; none where the file does not tell."""
        with self._lock:
            return self._opened().keyframes_seconds(self._watch())

    def read(
        self,
        timestamps: Sequence[float],
        *,
        max_side_px: int | None = None,
        resize: Resize | None = None,
        on_progress: Progress | None = None,
        allow_missing: bool = False,
        expected: Sequence[float] = (),
    ) -> Frames:
        """Return the frame that a player shows at each of the given times; see `read_frames`."""
        path, limits = self._source.path, self._options.limits
        requested, sizing = check_times(path, timestamps, limits), Sizing(check_side(max_side_px), resize)
        later = check_times(path, expected, limits, name="expected") if len(expected) else ()
        with self._lock:
            read = _Read(
                requested, sorted(later) if self._holds else [], sizing, self._watch(on_progress), allow_missing
            )
            try:
                frames = self._read(read)
                if self._source.kind == "frames":
                    self._source.check_unchanged()
            except VideoDecodeError:
                self._cache.clear()  # what is held may be of another state of the file
                raise
            return frames

    def _read(self, read: _Read) -> Frames:
        decoder, found = self._opened(), dict[float, DecodedFrame]()
        if read.sizing.resize is None:
            self._check_result(read, size_within(decoder.info.size, read.sizing.max_side_px))
        for done, seconds in enumerate(sorted(set(read.requested))):
            read.watch.tell(done, len(set(read.requested)))
            self._hold_expected(decoder, read, before=seconds)
            if (frame := self._frame_at(decoder, seconds, read)) is not None:
                self._check_result(read, Size(*frame.picture.shape[1::-1]), first=next(iter(found.values()), frame))
                found[seconds] = frame
        here = tuple(seconds for seconds in read.requested if seconds in found)
        missing = tuple(seconds for seconds in read.requested if seconds not in found)
        reason = self._reason_missing(decoder, read, missing, len(here)) if missing else ""
        frames = [found[seconds] for seconds in here]
        try:
            images = np.stack([frame.picture for frame in frames])
        except MemoryError as exc:
            msg = f"{len(frames):,} frames of {self._source.path!r} are more than there is memory for; ask for fewer"
            raise VideoTooLargeError(msg) from exc
        return Frames(
            images=images,
            timestamps_seconds=tuple(frame.start_seconds for frame in frames),
            requested_seconds=here,
            frame_indices=tuple(frame.number for frame in frames),
            info=self._known[0] if self._known else decoder.info,
            method=decoder.method,
            missing_seconds=missing,
            reason=reason,
        )

    def _check_result(self, read: _Read, size: Size, *, first: DecodedFrame | None = None) -> None:
        """Check that all frames are of one size, and not too large together."""
        num_bytes = len(read.requested) * size.width * size.height * 3
        told = f"{len(read.requested):,} frames of {self._source.path!r} at {size.width}x{size.height} pixels"
        self._options.limits.check("max_result_bytes", num_bytes, f"{told} are {num_bytes:,} bytes")
        if first is not None and first.picture.shape[1::-1] != size:
            sizes = sorted(f"{width}x{height}" for width, height in (first.picture.shape[1::-1], size))
            msg = f"the frames of {self._source.path!r} differ in size ({', '.join(sizes)}); bring them to one size"
            raise VideoDecodeError(msg)

    def _reason_missing(self, decoder: Decoder, read: _Read, missing: Sequence[float], num_found: int) -> str:
        """Return why frames are missing, or raise it where that is not allowed."""
        if not self._known:
            self._known.append(decoder.look_at_end(read.watch))
        info, total = self._known[0], len(read.requested)
        end = info.readable_seconds if info.readable_seconds is not None else info.duration_seconds or 0.0
        if info.is_complete and max(missing) >= end:
            told = f"its {info.num_frames} frames end at {end:.3f} s; ask for earlier times"
            msg = f"{info.path!r} has no frame at {max(missing):.3f} s: {told}"
            raise VideoDecodeError(msg)
        is_cut = max(missing) >= end
        reason = info.reason_incomplete() if is_cut else f"the frame at {missing[0]:.3f} s is damaged"
        if not read.allow_missing or num_found == 0:
            told = f"{total} frames were asked for and {num_found} can be decoded, because {reason}"
            msg = f"{info.path!r} is truncated or damaged: {told}; ask for other times or get the whole file"
            raise VideoDecodeError(msg)
        return reason

    def _frame_at(self, decoder: Decoder, seconds: float, read: _Read) -> DecodedFrame | None:
        """Return a frame that is held, or decode it and hold it; `None` where there is none, or it is damaged."""
        frame = self._cache.find(seconds, read.sizing)
        if frame is None:
            with suppress(LostFrameError):
                frame = decoder.frame_at(seconds, read.sizing.max_side_px, read.watch)
            if frame is not None:
                frame = replace(frame, picture=read.sizing(frame.picture))
                self._cache.add(frame, read.sizing)
        return frame

    def _hold_expected(self, decoder: Decoder, read: _Read, *, before: float) -> None:
        """Hold the frames for later reads that are decoded on the way to a time anyhow."""
        while read.later and read.later[0] < before:
            seconds = read.later.pop(0)
            size = size_within(decoder.info.size, read.sizing.max_side_px)
            if self._cache.has_room_for(size.width * size.height * 3) and decoder.passes(before):
                self._frame_at(decoder, seconds, read)

    def _watch(self, on_progress: Progress | None = None) -> Watch:
        return Watch(self._source.path, self._options.limits, on_progress)

    def _opened(self) -> Decoder:
        """Return the decoder, opened anew where its process has ended."""
        if self._is_closed:
            msg = f"{self._source.path!r} was closed; read inside `with open_video(...)`"
            raise ConfigError(msg)
        self._source.check_unchanged()
        if self._worker is not None and self._worker.has_ended:
            self._forget()
        if self._decoder is None:
            self._decoder = self._open()
        return self._decoder

    def _open(self) -> Decoder:
        isolation, kind = self._options.isolation, self._source.kind
        if kind in ("video", "gif"):
            if isolation is None:
                return open_decoder(self._source, self._options)
            return RemoteDecoder(self._source, self._options, isolation)
        decode = decode_image
        if isolation is not None:
            self._worker = WorkerProcess(isolation)
            decode = self._worker.decode_image
        make = ImageDecoder if kind == "image" else FolderDecoder
        return make(self._source, self._options, decode)

    def _forget(self) -> None:
        for opened in (self._decoder, self._worker):
            if opened is not None:
                opened.close()
        self._decoder = self._worker = None
        self._cache.clear()


@dataclass(frozen=True)
class _Read:
    """What one read asks for: times, times of later reads in ascending order, size, and how."""

    requested: tuple[float, ...]
    later: list[float]
    sizing: Sizing
    watch: Watch
    allow_missing: bool


@lru_cache(maxsize=64)
def _known_info(path: str, identity: Identity, options: ReadOptions) -> list[VideoInfo]:
    """Return where the facts about a file are kept until it changes."""
    return []
