"""The backend `opencv`: index and frames, from one capture where the packets are believed.

A scan of the packets, which decodes nothing, is believed only where it is consistent with itself, the container, the
first frames and the last; on one clock its frames can be sought, at a variable rate they are walked to. Every other
file is walked once more to find its times: slow and exact. Knows no plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import median

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import Capture
from vreason_agent.video.first_frame import FirstFrame, first_frame, step_to_first
from vreason_agent.video.gif import is_whole_gif
from vreason_agent.video.index import UNKNOWN_FRAME_SECONDS, FrameIndex
from vreason_agent.video.limits import Limits
from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.scan import Packets, announced_length, check_count, collect_times, scan_packets, told
from vreason_agent.video.signature import HEAD_BYTES, is_mpeg_stream
from vreason_agent.video.source import Source
from vreason_agent.video.stepping import LandedElsewhere, Stepper
from vreason_agent.video.watch import Watch, once

NUM_AHEAD_FRAMES = 8  # where times repeat, one that ascends again is looked for so far


def begin_reading(source: Source, limits: Limits, watch: Watch) -> Stepper:
    """Open a video or GIF file for its frames; whether its last one can be reached is asked by `Stepper.confirm`.

    Raises:
        VideoDecodeError: If no frame can be decoded, OpenCV does not convert the first, or `watch` ended it.
        VideoTooLargeError: If it is over `limits`: pixels, seconds, time, or frames that have to be walked.
    """
    known = index_frames.known(source, limits)
    if known is not None:
        return Stepper(source, known)
    _check_whole(source, limits, watch)
    with ExitStack() as opened:
        capture = opened.enter_context(Capture(source))
        width, height = capture.check_size(limits)
        packets = scan_packets(capture, limits, watch)
        first = first_frame(capture)
        index = FrameIndex((), False, "packets", None, width, height, capture.codec(), is_confirmed=False)
        stepper = _believed(source, packets, index, first)
        if stepper is not None:
            opened.pop_all()  # it is the stepper's now
            return stepper
    walked = _walked(source, packets, limits, watch)
    index_frames.keep(source, limits, walked)
    return Stepper(source, walked)


@partial(once, is_all=lambda index: index.is_confirmed)
def index_frames(source: Source, limits: Limits, watch: Watch) -> FrameIndex:
    """Return the index of a video or GIF file, confirmed; kept until the file changes.

    Raises as `begin_reading` does.
    """
    with closing(begin_reading(source, limits, watch)) as stepper:
        try:
            stepper.confirm(watch)
        except LandedElsewhere:
            return walk_frames(source, limits, watch)
        return stepper.index


@once
def walk_frames(source: Source, limits: Limits, watch: Watch) -> FrameIndex:
    """Return the index that decoding every frame gives, for files whose packets are not believed or misled a seek."""
    with Capture(source) as capture:
        width, height = capture.check_size(limits)
        step_to_first(capture)
        announced, codec = announced_length(capture), capture.codec()
    with Capture(source) as capture:
        steps = told(capture.steps(), watch, max(announced.frames, default=0))
        usual = 1 / announced.fps if announced.frames else UNKNOWN_FRAME_SECONDS
        times = _from_zero(_ascending(collect_times(source.path, steps, limits), usual))
    return announced.measured_on(FrameIndex(times, False, "walk", None, width, height, codec))


def _believed(source: Source, packets: Packets, unread: FrameIndex, first: FirstFrame) -> Stepper | None:
    """Return what reads a file by its packets, or `None` where they cannot be true.

    Args:
        source: The file.
        packets: What they tell.
        unread: Its index without times.
        first: Its first frame.
    """
    announced = announced_length(first.capture)
    if source.kind != "video" or not announced.fits(len(packets.times_seconds)):
        return None
    seconds = announced.shown_seconds
    shown = packets if seconds is None else packets.shown(first.seconds, seconds)
    if not shown.are_trustworthy:
        return None
    can_jump = bool(announced.frames) and not announced.is_fragmented
    index = replace(unread, timestamps_seconds=_from_zero(shown.times_seconds), keyframes=shown.keyframes)
    index = replace(index, can_jump=can_jump, is_table_told=not _is_mpeg_stream(source))
    index = announced.measured_on(replace(index, is_seekable=can_jump and index.is_constant_rate))
    is_end_told = seconds is not None and len(shown.times_seconds) in announced.frames
    return Stepper(source, replace(index, is_end_told=is_end_told), first)


def _walked(source: Source, packets: Packets, limits: Limits, watch: Watch) -> FrameIndex:
    walked, other = walk_frames(source, limits, watch), packets.other_stream
    if other is not None and len(walked.timestamps_seconds) == 1 < len(packets.times_seconds):
        raise VideoDecodeError(_cover(source.path))
    return replace(walked, other_streams=() if other is None else (other,))


def _check_whole(source: Source, limits: Limits, watch: Watch) -> None:
    def on_step(num_images: int) -> None:
        watch.check()
        check_count(source.path, num_images, limits)

    if source.kind != "gif":
        return
    with open_pinned(source) as file:
        if not is_whole_gif(file, on_step):
            msg = f"{source.path!r} is truncated or damaged: it ends before its trailer; get the whole file"
            raise VideoDecodeError(msg)


def _is_mpeg_stream(source: Source) -> bool:
    with open_pinned(source) as file:
        return is_mpeg_stream(file.read(HEAD_BYTES))


def _cover(path: str) -> str:
    return (
        f"the first video stream of {path!r} is a single picture, such as a cover, which OpenCV cannot pass over; use "
        "backend='av' (pip install 'vreason-agent[av]'), or leave it out: ffmpeg -i INPUT -map 0:v:1 -c copy OUTPUT.mkv"
    )


def _ascending(times: tuple[float, ...], usual_seconds: float) -> list[float]:
    """Repair the times that OpenCV reports as repeated or going backwards, and let those behind them stand.

    The last frame of MPEG-PS reads 0, and two frames of one packet may have one time.
    """
    gaps = [b - a for a, b in pairwise(times) if b > a]
    usual = median(gaps) if gaps else usual_seconds
    repaired = [*times[:1]]
    for number, time in enumerate(times[1:], start=1):
        last = repaired[-1]
        ahead = next((later for later in times[number + 1 : number + 1 + NUM_AHEAD_FRAMES] if later > last), None)
        between = last + usual if ahead is None else min(last + usual, (last + ahead) / 2)
        repaired.append(time if time > last else between)
    return repaired


def _from_zero(times: Sequence[float]) -> tuple[float, ...]:
    return tuple(time - times[0] for time in times)
