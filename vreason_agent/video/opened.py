"""A video that is opened once and read many times: probed once, one capture, no frame decoded twice.

What the rungs of a ladder share. Knows no plan and no model.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError
from vreason_agent.video.backend import Backend, FrameStepper, decoder_of
from vreason_agent.video.frames import Frames, Method, Progress, changed, closed
from vreason_agent.video.images import Picture, read_checked_image, read_image
from vreason_agent.video.index import TIME_TOLERANCE_SECONDS, FrameIndex
from vreason_agent.video.info import FOLDER_FPS, VideoInfo
from vreason_agent.video.isolated import Isolate, IsolatedVideo, as_isolation, open_request
from vreason_agent.video.kept import KeptFrames
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits, check_expected, check_request, check_side
from vreason_agent.video.probe import describe, describe_index
from vreason_agent.video.sizing import Resize, Sizing
from vreason_agent.video.source import Roots, Source, check_inside, open_source, real_path, stamp_of
from vreason_agent.video.stack import FrameSink, MakeSink, make_stack
from vreason_agent.video.stepping import LandedElsewhere
from vreason_agent.video.watch import OnStep, Watch

MAX_KEPT_BYTES = 256 * 2**20


def open_video(
    video: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    roots: Roots | None = None,
    max_kept_bytes: int = MAX_KEPT_BYTES,
    on_progress: Progress | None = None,
    isolate: Isolate = False,
    backend: Backend = "opencv",
) -> OpenVideo | IsolatedVideo:
    """Open a video for several reads; use as a context manager, and give it to `read_frames` in a path's place.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures.
        limits: Upper bounds, checked before the first frame is decoded; they hold for every read.
        roots: Folders that the file must lie in, links resolved; `None` allows any file.
        max_kept_bytes: Pixels of decoded frames to keep between reads; more decodes fewer frames twice.
        on_progress: Called while the file is looked at, as far as that takes long, with (steps taken, frames
            announced); returning True ends it with an error.
        isolate: Read in a process of its own, which a hostile file may end but not leave; see `Isolation`.
        backend: What decodes videos and GIFs; see `read_frames`.

    Raises:
        ConfigError: If there is no such backend.
        DependencyError: If its library cannot be loaded.
        VideoError: As `probe` raises; isolated, also if the process dies or takes too long.
    """
    source, isolation = open_source(video, limits=limits, roots=roots), as_isolation(isolate)
    if isolation is not None:
        request = open_request(limits, roots, backend)
        return IsolatedVideo(
            source,
            request=request,
            isolation=isolation,
            limits=limits,
            max_kept_bytes=max_kept_bytes,
            on_progress=on_progress,
        )
    how: dict[str, Any] = {"limits": limits, "roots": roots, "backend": backend, "max_kept_bytes": max_kept_bytes}
    return open_checked(source, on_progress=on_progress, **how)


def open_checked(
    source: Source,
    *,
    limits: Limits,
    roots: Roots | None,
    max_kept_bytes: int,
    on_progress: Progress | None,
    backend: Backend,
) -> OpenVideo:
    """Open a checked source in this process; see `open_video`."""
    info = describe(source, limits, backend, Watch(source.path, limits, on_progress), roots=roots)
    return OpenVideo(source, info, limits=limits, roots=roots, max_kept_bytes=max_kept_bytes, backend=backend)


def open_for_one_read(
    video: str | os.PathLike[str],
    *,
    limits: Limits,
    roots: Roots | None,
    on_progress: Progress | None,
    isolate: Isolate,
    backend: Backend,
) -> OpenVideo | IsolatedVideo:
    """Open a video as `open_video` does; but what a file is, is found out on the way of its one read."""
    if not isolate:
        source = open_source(video, limits=limits, roots=roots)
        if source.kind in ("video", "gif"):
            return OpenVideo(source, None, limits=limits, roots=roots, max_kept_bytes=0, backend=backend)
    how: dict[str, Any] = {"limits": limits, "roots": roots, "isolate": isolate, "backend": backend}
    return open_video(video, max_kept_bytes=0, on_progress=on_progress, **how)


@dataclass(frozen=True)
class _Work:
    """How the times of one read are read."""

    make_sink: MakeSink
    sizing: Sizing
    watch: Watch
    allow_missing: bool
    expected: tuple[float, ...]

    def on_step(self, index: FrameIndex, num_steps: int) -> OnStep:
        """Return what is called at each step: where steps are what takes the time, it tells of so many."""
        return self.watch.telling(num_steps) if _is_stepped(index) else self.watch.checking()


class OpenVideo:
    """An open video; several threads may share it, and wait for each other. `open_video` makes one."""

    def __init__(
        self,
        source: Source,
        info: VideoInfo | None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        roots: Roots | None = None,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        backend: Backend = "opencv",
    ) -> None:
        """Open a checked source.

        Args:
            source: It.
            info: What is known of it; `None` finds it out when it is asked for, or by the first read.
            limits: Upper bounds on reads.
            roots: Folders that pictures must lie in.
            max_kept_bytes: Pixels of decoded frames to keep between reads.
            backend: What decodes.
        """
        self._info, self._backend, self._decoder = info, backend, decoder_of(backend)
        self._source, self._limits = source, limits
        self._roots = None if roots is None else tuple(real_path(os.fsdecode(root)) for root in roots)
        self._kept, self._keeps = KeptFrames(max_kept_bytes), max_kept_bytes > 0
        self._lock, self._is_closed = Lock(), False
        self._stepper: FrameStepper | None = None

    def __enter__(self) -> OpenVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the frames that were kept."""
        with self._lock:
            self._forget()
            self._is_closed = True

    @property
    def info(self) -> VideoInfo:
        """What is known of the video; a read that is misled by it finds out more."""
        if self._info is None:
            self._info = self._described()
        return self._info

    def _described(self) -> VideoInfo:
        return describe(self._source, self._limits, self._backend, roots=self._roots)

    @property
    def keyframes_seconds(self) -> tuple[float, ...]:
        """Times of the frames that are decoded without others; none where packets do not tell."""
        with self._lock:
            self._check_usable()
            if self._source.kind in ("image", "frames"):
                return ()
            index = self._stepper.index if self._stepper else self._decoder.index(self._source, self._limits)
        return tuple(index.timestamps_seconds[number] for number in index.keyframes)

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
        sizing = Sizing(check_side(max_side_px), resize)
        return self.read_into(
            partial(make_stack, self._source.path, sizing, self._limits),
            timestamps,
            sizing,
            on_progress=on_progress,
            allow_missing=allow_missing,
            expected=expected if self._keeps else check_expected(self._source.path, expected, self._limits)[:0],
        )

    def read_into(
        self,
        make_sink: MakeSink,
        timestamps: Sequence[float],
        sizing: Sizing,
        *,
        on_progress: Progress | None = None,
        allow_missing: bool = False,
        expected: Sequence[float] = (),
    ) -> Frames:
        """Read as `read` does, each picture into a sink as soon as it is decoded; the result has the sink's images."""
        requested = check_request(self._source.path, timestamps, self._limits)
        later = check_expected(self._source.path, expected, self._limits)
        with self._lock:
            self._check_usable()
            work = _Work(make_sink, sizing, Watch(self._source.path, self._limits, on_progress), allow_missing, later)
            if self._source.kind in ("image", "frames"):
                return self._read_unchanged(requested, work, self._info or self._described())
            try:
                return self._read_there(self._open_stepper(work.watch), requested, work)
            except LandedElsewhere:
                self._forget()
                walked = self._decoder.walk(self._source, self._limits, work.watch)
                self._stepper = self._decoder.stepper(self._source, walked, self._limits)
                self._info = describe_index(self._source, walked, self._backend)
                return self._read_there(self._stepper, requested, work)

    def _check_usable(self) -> None:
        if self._is_closed:
            raise ConfigError(closed(self._source.path))
        if stamp_of(self._source.path) != self._source.stamp:
            raise VideoDecodeError(changed(self._source.path))

    def _open_stepper(self, watch: Watch) -> FrameStepper:
        if self._stepper is None:
            self._stepper = self._decoder.begin(self._source, self._limits, watch)
        return self._stepper

    def _forget(self) -> None:
        if self._stepper is not None:
            self._stepper.close()
        self._stepper = None
        self._kept.clear()

    def _read_there(self, stepper: FrameStepper, requested: tuple[float, ...], work: _Work) -> Frames:
        """Read all times, or where that is allowed those that the file has."""
        index = stepper.index
        if _late(index, requested):
            self._confirm(stepper, work.watch, by_tables=False)  # what is said of the end has to be so
        late = _late(index, requested) if work.allow_missing and not index.is_complete else ()
        if not late or len(late) == len(requested):
            return self._read(stepper, requested, work)
        there = tuple(time for time in requested if time not in late)
        return replace(self._read(stepper, there, work), missing_seconds=late, reason=_cut(index))

    def _confirm(self, stepper: FrameStepper, watch: Watch, *, by_tables: bool) -> None:
        if not stepper.index.is_confirmed:
            stepper.confirm(watch, by_tables=by_tables)
            self._decoder.index.keep(self._source, self._limits, stepper.index)

    def _read(self, stepper: FrameStepper, requested: tuple[float, ...], work: _Work) -> Frames:
        index, path = stepper.index, self._source.path
        targets = _targets(index, requested, path)
        is_end_stepped = not (index.is_confirmed or index.is_end_told)
        num_steps = len(index.timestamps_seconds) if is_end_stepped else max(targets) + 1
        on_step = work.on_step(index, num_steps)
        picture = partial(self._picture, stepper, sizing=work.sizing, on_step=on_step)
        sink = work.make_sink(targets, (index.width_px, index.height_px))
        images = self._put_all(targets, sink, work, picture, passed=_passed(index, targets, work))
        self._confirm(stepper, work.watch, by_tables=True)
        times = tuple(index.timestamps_seconds[target] for target in targets)
        method: Method = "seek" if index.is_seekable else "walk"
        info = self._info or describe_index(self._source, index, self._backend)
        return Frames(images, times, requested, tuple(targets), info, method)

    def _put_all(
        self,
        targets: Sequence[int],
        sink: FrameSink,
        work: _Work,
        picture: Callable[[int], Picture],
        *,
        passed: set[int] | None = None,
    ) -> Picture:
        """Put each frame into a sink, and return what is in it; of steps also what they pass, while that is kept."""
        wanted = set(targets)
        for count, target in enumerate(sorted(wanted | (passed or set()))):
            if passed is None:  # or else the steps are told
                work.watch.tell(count, len(wanted))
            if not sink.has(target) and (target in wanted or not self._kept.is_full):
                sink.put(target, picture(target))
        return sink.images

    def _picture(self, stepper: FrameStepper, target: int, sizing: Sizing, on_step: OnStep) -> Picture:
        kept = self._kept.get(target, sizing)
        if kept is not None:
            return kept
        picture = sizing(stepper.picture(target, on_step))
        self._kept.put(target, sizing, picture)
        return picture

    def _read_unchanged(self, requested: tuple[float, ...], work: _Work, info: VideoInfo) -> Frames:
        """Read pictures, each of which is opened anew, and see that none has changed meanwhile."""
        try:
            frames = self._read_pictures(requested, work, info)
            self._check_usable()
        except VideoError:
            self._forget()  # what was kept may be of another file
            raise
        return frames

    def _read_pictures(self, requested: tuple[float, ...], work: _Work, info: VideoInfo) -> Frames:
        source, size = self._source, (info.width_px, info.height_px)
        if source.kind == "image":
            zeros = (0,) * len(requested)
            sink = work.make_sink(zeros, size)
            images = self._put_all(
                zeros, sink, work, lambda _: work.sizing(read_checked_image(source, limits=self._limits))
            )
            return Frames(images, (0.0,) * len(requested), requested, zeros, info, "image")
        numbers = [int(time * FOLDER_FPS + 1e-6) for time in requested]
        if max(numbers) >= len(source.frame_paths):
            late = max(requested)
            msg = f"{info.path!r} has {info.num_frames} frames, one a second; none at {late:g} s: ask for earlier times"
            raise VideoDecodeError(msg)
        sink = work.make_sink(numbers, size)
        images = self._put_all(numbers, sink, work, lambda number: self._file(number, work.sizing))
        times = tuple(number / FOLDER_FPS for number in numbers)
        return Frames(images, times, requested, tuple(numbers), info, "folder")

    def _file(self, number: int, sizing: Sizing) -> Picture:
        kept = self._kept.get(number, sizing)
        if kept is not None:
            return kept
        picture = sizing(self._still(self._source.frame_paths[number]))
        self._kept.put(number, sizing, picture)
        return picture

    def _still(self, path: str) -> Picture:
        """Read a picture, unless it has become a link out of the roots."""
        if self._roots is not None:
            try:
                check_inside(real_path(path), path, self._roots)
            except VideoError as exc:
                raise VideoDecodeError(changed(self._source.path)) from exc
        return read_image(path, limits=self._limits, roots=self._roots)


def _targets(index: FrameIndex, requested: Sequence[float], path: str) -> list[int]:
    late = _late(index, requested)
    if late and not index.is_complete:
        msg = (
            f"{path!r} is truncated or damaged: {len(requested)} frames were asked for and "
            f"{len(requested) - len(late)} can be decoded, because {_cut(index)}; ask for earlier times or "
            "get the whole file"
        )
        raise VideoDecodeError(msg)
    if late:
        msg = (
            f"{path!r} has no frame at {late[0]:.3f} s: its {len(index.timestamps_seconds)} frames end at "
            f"{index.readable_seconds:.3f} s; ask for earlier times"
        )
        raise VideoDecodeError(msg)
    times = index.timestamps_seconds
    return [max(0, bisect.bisect_right(times, time + 1e-6) - 1) for time in requested]


def _is_stepped(index: FrameIndex) -> bool:
    """Whether it is steps that take the time of a read: a walk, or a way from far keyframes."""
    return not index.is_seekable or index.has_far_keyframes


def _passed(index: FrameIndex, targets: Sequence[int], work: _Work) -> set[int] | None:
    """Return the frames that steps to the targets pass and that later reads will ask for; `None` where seeks lead."""
    if not _is_stepped(index):
        return None
    numbers = {bisect.bisect_right(index.timestamps_seconds, time + 1e-6) - 1 for time in work.expected}
    return {number for number in numbers if 0 <= number < max(targets)}


def _late(index: FrameIndex, requested: Sequence[float]) -> tuple[float, ...]:
    return tuple(time for time in requested if time >= index.readable_seconds + TIME_TOLERANCE_SECONDS)


def _cut(index: FrameIndex) -> str:
    count, promised = len(index.timestamps_seconds), index.promised_frames
    return f"{count} of its {promised} frames are there, up to {index.readable_seconds:.3f} s"
