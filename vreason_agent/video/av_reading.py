"""The optional backend `av`: index and frames by PyAV, for what OpenCV's wheel cannot decode, such as AV1.

The packets' times are believed where the first and the last of them can be decoded at their time; every frame that a
seek leads to is compared with its time, and one that is missing makes the file a walk. Knows no plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.av_capture import AvCapture, picture_of
from vreason_agent.video.images import Picture
from vreason_agent.video.index import (
    SEEK_MARGIN_FRAMES,
    SEEK_SETUP_FRAMES,
    FrameIndex,
    seek_cost_frames,
)
from vreason_agent.video.limits import Limits
from vreason_agent.video.scan import PACKETS_PER_TELLING, collect_times, told
from vreason_agent.video.source import Source
from vreason_agent.video.stepping import LandedElsewhere, lost
from vreason_agent.video.watch import OnStep, Watch, once, unwatched

SAME_SECONDS = 1e-6


@once
def index_frames(source: Source, limits: Limits, watch: Watch) -> FrameIndex:
    """Return the index of a video or GIF file; kept until the file changes.

    Raises:
        VideoDecodeError: If no frame can be decoded, or `watch` ended it.
        VideoTooLargeError: If it is over `limits`: pixels, seconds, time, or frames that have to be stepped through.
    """
    with AvCapture(source, limits) as capture:
        known: dict[float, bool] = {}
        total = max(capture.announced_frames(), default=0)
        packets = told(_noted(capture.packet_times(), known), watch, total, every=PACKETS_PER_TELLING)
        times = collect_times(source.path, packets, limits)
        is_complete = len(known) == len(times) > 0 and capture.is_order_told
        index = _index(capture, sorted(known), is_seekable=True) if is_complete and source.kind == "video" else None
    shape = None if index is None else _end_shape(source, index, limits, watch)
    if index is None or shape is None:
        return walk_frames(source, limits, watch)
    keyframes = tuple(number for number, time in enumerate(sorted(known)) if known[time])
    return replace(index, height_px=shape[0], width_px=shape[1], keyframes=keyframes)


@once
def walk_frames(source: Source, limits: Limits, watch: Watch) -> FrameIndex:
    """Return the index that decoding every frame gives; raises as `index_frames` does."""
    with AvCapture(source, limits) as capture:
        steps = told(capture.frames(), watch, max(capture.announced_frames(), default=0))
        times = collect_times(source.path, (time for time, _ in steps), limits)
        if not times or any(after <= before for before, after in pairwise(times)):
            why = "no frame of it can be decoded" if not times else "the times of its frames do not ascend"
            msg = (
                f"backend='av' cannot read {source.path!r}: {why}; use backend='opencv', or re-encode it: "
                "ffmpeg -i INPUT -c:v libx264 OUT.mp4"
            )
            raise VideoDecodeError(msg)
        return _index(capture, times, is_seekable=False)


def begin_reading(source: Source, limits: Limits, watch: Watch) -> AvStepper:
    """Open a file for its frames, whose index is known or found first; raises as `index_frames` does."""
    return AvStepper(source, index_frames(source, limits, watch), limits)


class AvStepper:
    """Moves a file that PyAV has open to frames by number.

    Attributes:
        index: The frames.
    """

    def __init__(self, source: Source, index: FrameIndex, limits: Limits) -> None:
        """Open the file."""
        self.index, self._source, self._limits = index, source, limits
        self._open()

    def confirm(self, watch: Watch, *, by_tables: bool = False) -> None:
        """Do nothing: what the index says was seen when it was made."""

    def picture(self, target: int, on_step: OnStep = unwatched) -> Picture:
        """Return frame `target`, `uint8 (height, width, 3)` in RGB, at full size.

        Args:
            target: Its number.
            on_step: Called with the number of each frame that is stepped to; what it raises leaves the file usable.

        Raises:
            LandedElsewhere: If the file is not what its packets say: walk it.
            VideoDecodeError: If the frame cannot be decoded.
        """
        if target != self._at:
            self._go(target, on_step)
        picture = None if self._frame is None else picture_of(self._frame)
        if picture is None:
            raise VideoDecodeError(lost(self._source, target))
        return picture

    def close(self) -> None:
        """Release the file."""
        self._capture.close()

    def _open(self) -> None:
        self._capture = AvCapture(self._source, self._limits)
        self._frames = self._capture.frames()
        first = next(self._frames, None)
        if first is None:
            self.close()
            raise VideoDecodeError(lost(self._source, 0))
        self._at, (self._first_seconds, self._frame) = 0, first

    def _go(self, target: int, on_step: OnStep) -> None:
        worth = (
            SEEK_SETUP_FRAMES
            if target in self.index.keyframe_numbers
            else seek_cost_frames(self.index.keyframes, target)
        )
        if self.index.is_seekable and not 0 < target - self._at <= worth:
            self._seek_to(target, on_step)
            return
        if target < self._at:
            self.close()
            self._open()
            if target == 0:
                return
        if not self._step_to(target, on_step):
            raise LandedElsewhere if self.index.is_seekable else VideoDecodeError(lost(self._source, target))

    def _seek_to(self, target: int, on_step: OnStep) -> None:
        """Jump before a frame and step to it; of a keyframe nothing before it is decoded, where the jump hits it."""
        before = max(0, target - SEEK_MARGIN_FRAMES)
        for begin in (target, before) if target in self.index.keyframe_numbers else (before,):
            self._capture.seek(self._first_seconds + self.index.timestamps_seconds[begin])
            self._frames = self._capture.frames()
            if self._step_to(target, on_step):
                return
        raise LandedElsewhere

    def _step_to(self, target: int, on_step: OnStep) -> bool:
        """Step until a frame is there; where one after it comes first, false, and it is not known where the file is."""
        seconds = self.index.timestamps_seconds[target]
        at, self._at = self._at, len(self.index.timestamps_seconds)
        for number, (time, frame) in enumerate(self._frames, start=at + 1):
            on_step(number)
            ahead = time - self._first_seconds - seconds
            if abs(ahead) <= SAME_SECONDS:
                self._at, self._frame = target, frame
                return True
            if ahead > 0:
                return False
        return False


def _noted(packets: Iterator[tuple[float | None, bool]], known: dict[float, bool]) -> Iterator[float]:
    """Pass times on and note keyframes by them; one that is not known repeats the last, so that packets are counted."""
    last = 0.0
    for time, is_keyframe in packets:
        if time is not None:
            known[time], last = is_keyframe, time
        yield last


def _index(capture: AvCapture, times: Sequence[float], *, is_seekable: bool) -> FrameIndex:
    stream = next(stream for stream in capture.streams if stream.is_read)
    others = [other for other in capture.streams if not other.is_read]
    width, height = capture.upright_size()
    index = FrameIndex(
        timestamps_seconds=tuple(time - times[0] for time in times),
        is_seekable=is_seekable,
        source="packets" if is_seekable else "walk",
        promised_frames=None,
        width_px=width,
        height_px=height,
        codec=stream.codec,
        other_streams=tuple(others),
    )
    return capture.announced(times[0]).measured_on(index)


def _end_shape(source: Source, index: FrameIndex, limits: Limits, watch: Watch) -> tuple[int, ...] | None:
    """Return the shape of the last picture; `None` unless the first and the last frame are decoded at their times."""
    try:
        with closing(AvStepper(source, index, limits)) as stepper:
            return stepper.picture(len(index.timestamps_seconds) - 1, lambda _: watch.check()).shape
    except (LandedElsewhere, VideoDecodeError):
        return None
