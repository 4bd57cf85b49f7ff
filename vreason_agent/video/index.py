"""The presentation time of every frame of a file, and whether the rate is provably constant.

A scan of the packets, which decodes nothing, is believed only where it is consistent with itself, the container and the
last frame; on one clock its frames can be sought, at a variable rate they are walked to. Every other file is walked
once more to find its times: slow and exact. Knows no plan.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, pairwise
from statistics import median
from typing import Literal, TypeVar

from vreason_agent.errors import VideoDecodeError, VideoTooLargeError
from vreason_agent.video.capture import Capture
from vreason_agent.video.conversion import check_converted
from vreason_agent.video.edit_list import shown_seconds
from vreason_agent.video.gif import is_whole_gif
from vreason_agent.video.info import VideoStream
from vreason_agent.video.limits import Limits, check_length
from vreason_agent.video.signature import HEAD_BYTES, is_mpeg_stream
from vreason_agent.video.source import Source
from vreason_agent.video.watch import Watch, once

COUNT_TOLERANCE = 0.02
MIN_COMPLETE_SHARE = 1 - COUNT_TOLERANCE
NEARLY_ONE = 0.99  # an edit list may begin within a frame, which is not shown then; a whole one is missed
CREDIBLE_FPS = (0.5, 240.0)
TIME_TOLERANCE_SECONDS = 0.001  # what OpenCV reports of one frame, scanned and decoded
CLOCK_TOLERANCE_SECONDS = 0.002  # containers round times to 1 ms: a frame and its neighbors are off by that much
UNKNOWN_FRAME_SECONDS = 0.04
SEEK_MARGIN_FRAMES = 16  # a seek decodes from a keyframe at least so many frames before
SEEK_SLACK_FRAMES = 2  # OpenCV counts frames by a mean rate: aim before the target and step to it
SEEK_SETUP_FRAMES = 6  # what emptying and filling the decoder costs
MAX_SOUGHT_FRAMES = 300  # a seek decodes at one go, which no watch can end
NUM_COMPARED_FRAMES = 8
PACKETS_PER_TELLING = 256  # a packet takes some 10 us


_Step = TypeVar("_Step")


@dataclass(frozen=True)
class FrameIndex:
    """Times of all frames, and what the stream that holds them is.

    Attributes:
        timestamps_seconds: Presentation times, ascending, from the first frame's, which is 0.
        is_seekable: Whether the packets tell every frame's time and the last one was reached, so that a seek can be
            checked; otherwise the file is walked.
        source: `packets` (scanned) or `walk` (decoded).
        promised_frames: Frames the container announces; `None` where it announces nothing credible.
        width_px: Width after rotation.
        height_px: Height after rotation.
        codec: FourCC of the stream that is read.
        other_streams: Video streams that are not read, as far as they show: to OpenCV one of another size or codec.
        keyframes: Numbers of the frames that are decoded without others, none where packets are not believed.
        is_table_told: Whether the container lists its keyframes; MPEG streams do not, and there a seek may lead behind
            one and decode up to the next.
    """

    timestamps_seconds: tuple[float, ...]
    is_seekable: bool
    source: Literal["packets", "walk"]
    promised_frames: int | None
    width_px: int
    height_px: int
    codec: str | None
    other_streams: tuple[VideoStream, ...] = ()
    keyframes: tuple[int, ...] = ()
    is_table_told: bool = True

    @property
    def seek_worth_frames(self) -> int:
        """Most frames ahead that are stepped to; see `seek_worth_frames`."""
        return seek_worth_frames(len(self.timestamps_seconds), len(self.keyframes))

    @cached_property
    def keyframe_numbers(self) -> frozenset[int]:
        """The numbers in `keyframes`, to ask whether a frame is one."""
        return frozenset(self.keyframes)

    @cached_property
    def has_far_keyframes(self) -> bool:
        """Whether some frames are so far from the keyframe before that they are stepped to from there."""
        marks = (0, *self.keyframes, len(self.timestamps_seconds))
        return any(after - before > MAX_SOUGHT_FRAMES for before, after in pairwise(marks))

    @cached_property
    def is_constant_rate(self) -> bool:
        """Whether every frame lies on one clock but for rounding; a single one is on none."""
        return _is_on_one_clock(self.timestamps_seconds)

    @cached_property
    def frame_seconds(self) -> float:
        """Median time from one frame to the next; 0.04 for a single frame."""
        gaps = [b - a for a, b in pairwise(self.timestamps_seconds)]
        return median(gaps) if gaps else UNKNOWN_FRAME_SECONDS

    @property
    def readable_seconds(self) -> float:
        """From the first frame to the end of the last one that is there."""
        return self.timestamps_seconds[-1] + self.frame_seconds

    @property
    def duration_seconds(self) -> float:
        """The length of the video: `readable_seconds`, or what the container announces of a file that is cut."""
        if self.is_complete or self.promised_frames is None:
            return self.readable_seconds
        return self.readable_seconds * self.promised_frames / len(self.timestamps_seconds)

    @property
    def is_complete(self) -> bool:
        """Whether about as many frames are there as the container announces."""
        promised = self.promised_frames
        return promised is None or len(self.timestamps_seconds) >= MIN_COMPLETE_SHARE * promised


def seek_worth_frames(num_frames: int, num_keyframes: int) -> int:
    """Return how many frames a jump decodes on average: nearer targets are cheaper to step to."""
    return SEEK_MARGIN_FRAMES + SEEK_SETUP_FRAMES + round(num_frames / max(1, num_keyframes) / 2)


def sought_frame(index: FrameIndex, aim: int) -> int:
    """Return what to seek in order to come to a frame: it, where the seek decodes few frames, or else one before it.

    That one is as close behind a keyframe as OpenCV lets a seek begin there; 0 is the file's beginning.
    """
    if index.has_far_keyframes and not index.is_table_told:
        return 0
    reach = SEEK_MARGIN_FRAMES + SEEK_SLACK_FRAMES
    num_before = bisect.bisect_right(index.keyframes, aim - reach)
    begin = index.keyframes[num_before - 1] if num_before else 0
    if aim - begin <= MAX_SOUGHT_FRAMES:
        return aim
    return begin + reach if begin else 0


@once
def index_frames(source: Source, limits: Limits, watch: Watch) -> FrameIndex:
    """Return the index of a video or GIF file; kept until the file changes.

    Raises:
        VideoDecodeError: If no frame can be decoded, OpenCV does not convert the first, or `watch` ended it.
        VideoTooLargeError: If it is over `limits`: pixels, seconds, time, or frames that have to be walked.
    """
    _check_whole(source, limits, watch)
    with Capture(source.path) as capture:
        width, height = capture.check_size(source.path, limits)
        index = FrameIndex((), True, "packets", None, width, height, capture.codec())
        scanned, keys, other = _scan_packets(source, index, limits, watch)
        if next(capture.steps(), None) is None:
            raise VideoDecodeError(_undecodable(source.path, capture.codec()))
        check_converted(source.path, capture)
        first = capture.position_seconds()
        promised = nearest(_announced_frames(capture), len(scanned))
        times = _from_zero(sorted(scanned))
        is_trusted = source.kind == "video" and other is None and _is_trustworthy(times, promised)
        if is_trusted and _begins_so(capture, times, first):
            numbers = _numbers(keys, sorted(scanned))
            index = replace(index, timestamps_seconds=times, promised_frames=promised, keyframes=numbers)
            index = replace(index, is_table_told=not _is_mpeg_stream(source.path))
            if _ends_there(capture, index, first, watch):
                return replace(index, is_seekable=index.is_constant_rate)
    walked = walk_frames(source, limits, watch)
    if other is not None and len(walked.timestamps_seconds) == 1 < len(scanned):
        raise VideoDecodeError(_cover(source.path))
    return replace(walked, other_streams=() if other is None else (other,))


@once
def walk_frames(source: Source, limits: Limits, watch: Watch) -> FrameIndex:
    """Return the index that decoding every frame gives, for files whose packets are not believed or misled a seek."""
    with Capture(source.path) as capture:
        width, height = capture.check_size(source.path, limits)
        if next(capture.steps(), None) is None:
            raise VideoDecodeError(_undecodable(source.path, capture.codec()))
        announced, codec, fps = _announced_frames(capture), capture.codec(), capture.get("FPS")
    with Capture(source.path) as capture:
        steps = told(capture.steps(), watch, max(announced, default=0))
        times = _from_zero(_ascending(collect_times(source.path, steps, limits)))
    index = FrameIndex(times, False, "walk", nearest(announced, len(times)), width, height, codec)
    return as_long_as_announced(index, fps, shown_seconds(source.path))


def as_long_as_announced(index: FrameIndex, announced_fps: float, shown_seconds: float | None) -> FrameIndex:
    """Take an index for complete whose frames reach as far as announced: others are hidden, or none is lost.

    Args:
        index: The frames that were found.
        announced_fps: The rate that makes a length of the frames that are promised.
        shown_seconds: The length that the file announces to show of these, where it tells.
    """
    promised, found = index.promised_frames or 0, len(index.timestamps_seconds)
    if promised <= found or announced_fps <= 0:
        return index
    announced = promised / announced_fps
    shown = announced if shown_seconds is None else min(announced, shown_seconds)
    is_cut_within_a_frame = shown < announced and index.readable_seconds > shown - NEARLY_ONE * index.frame_seconds
    if is_cut_within_a_frame or index.readable_seconds >= MIN_COMPLETE_SHARE * shown:
        return replace(index, promised_frames=found)
    return replace(index, promised_frames=max(found, round(promised * shown / announced)))


def _check_whole(source: Source, limits: Limits, watch: Watch) -> None:
    def on_step(num_images: int) -> None:
        watch.check()
        _check_count(source.path, num_images, limits)

    if source.kind != "gif":
        return
    with open(source.path, "rb") as file:
        if not is_whole_gif(file, on_step):
            msg = f"{source.path!r} is truncated or damaged: it ends before its trailer; get the whole file"
            raise VideoDecodeError(msg)


def _is_mpeg_stream(path: str) -> bool:
    with open(path, "rb") as file:
        return is_mpeg_stream(file.read(HEAD_BYTES))


def _cover(path: str) -> str:
    return (
        f"the first video stream of {path!r} is a single picture, such as a cover, which OpenCV cannot pass over; use "
        "backend='av' (pip install 'vreason-agent[av]'), or leave it out: ffmpeg -i INPUT -map 0:v:1 -c copy OUTPUT.mkv"
    )


def _announced_frames(capture: Capture) -> tuple[int, ...]:
    """Return what FRAME_COUNT can mean, after the first frame: some containers count from 0 s, others from that frame.

    A stream that begins within a group of pictures counts from its first packet. Nothing where it cannot be true: some
    give negative, astronomical or cover-art numbers.
    """
    count, fps = capture.get("FRAME_COUNT"), capture.get("FPS")
    if not (0 < count < 1e9 and CREDIBLE_FPS[0] <= fps <= CREDIBLE_FPS[1]):
        return ()
    leads = (0, max(0, int(capture.get("PTS"))), max(0, round(capture.position_seconds() * fps)))
    return tuple(int(count) - lead for lead in leads if lead < count)


def nearest(announced: tuple[int, ...], found: int) -> int | None:
    """Return which of several announced numbers of frames is meant, by how many were found."""
    return min(announced, key=lambda count: abs(count - found), default=None)


def _undecodable(path: str, codec: str | None) -> str:
    is_av1 = (codec or "").upper().startswith("AV01")
    why = "OpenCV's wheels have no AV1 decoder" if is_av1 else "this OpenCV build lacks the decoder, or it is damaged"
    return (
        f"the video stream of {path!r} (codec {codec or 'unknown'!r}) cannot be decoded: {why}; read it with "
        "backend='av' or --backend av (pip install 'vreason-agent[av]'), or re-encode it: "
        "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )


def _scan_packets(
    source: Source, index: FrameIndex, limits: Limits, watch: Watch
) -> tuple[tuple[float, ...], list[float], VideoStream | None]:
    """Return the packets' times, those of keyframes, and the stream they are of where it is another than the frames'.

    A packet capture takes the file's best video stream, a frame capture its first. Nothing is decoded.

    Raises:
        VideoTooLargeError: If there are more packets than `limits` allow, or they reach further.
    """
    with Capture(source.path, packets=True) as capture:
        width, height = int(capture.get("FRAME_WIDTH")), int(capture.get("FRAME_HEIGHT"))
        is_same_size = sorted((width, height)) == sorted((index.width_px, index.height_px))  # packets are not rotated
        is_same = is_same_size and capture.codec() == index.codec
        other = None if is_same else VideoStream(width, height, capture.codec(), is_read=False)
        keys: list[float] = []
        total = max(_announced_frames(capture), default=0)
        packets = told(_noting_keys(capture, keys), watch, total, every=PACKETS_PER_TELLING)
        return collect_times(source.path, packets, limits), keys, other


def _noting_keys(capture: Capture, keys: list[float]) -> Iterator[float]:
    """Step through packets and note the times of keyframes."""
    for time in capture.steps():
        if capture.is_keyframe():
            keys.append(time)
        yield time


def _numbers(keys: Sequence[float], times: Sequence[float]) -> tuple[int, ...]:
    return tuple(sorted(bisect.bisect_left(times, key) for key in keys))


def told(steps: Iterable[_Step], watch: Watch, total: int, *, every: int = 1) -> Iterator[_Step]:
    """Step on, and tell of every so many steps that they are done, of about `total`."""
    for number, step in enumerate(steps, start=1):
        if number % every == 0:
            watch.tell(number, total)
        yield step


def collect_times(path: str, steps: Iterable[float], limits: Limits) -> tuple[float, ...]:
    """Return the times that stepping to the end gives, in seconds.

    Raises:
        VideoTooLargeError: As soon as there are more than `limits` allow, or they reach further.
    """
    times: list[float] = []
    for time in steps:
        times.append(time)
        _check_count(path, len(times), limits)
        check_length(path, time - times[0], limits)
    return tuple(times)


def _check_count(path: str, num_frames: int, limits: Limits) -> None:
    if num_frames > limits.max_walked_frames:
        msg = f"{path!r} has over max_walked_frames={limits.max_walked_frames:,} frames; cut the part you need"
        raise VideoTooLargeError(msg)


def _is_trustworthy(times: tuple[float, ...], promised: int | None) -> bool:
    """Whether the times can be told apart, and are as many as announced."""
    is_as_announced = promised is None or abs(len(times) - promised) <= COUNT_TOLERANCE * promised
    return is_as_announced and len(times) > 1 and min(b - a for a, b in pairwise(times)) > 2 * TIME_TOLERANCE_SECONDS


def _is_on_one_clock(times: tuple[float, ...]) -> bool:
    if len(times) < 2:
        return False
    gap = times[-1] / (len(times) - 1)
    if gap < 1 / CREDIBLE_FPS[1]:
        return False
    tolerance = min(CLOCK_TOLERANCE_SECONDS, gap / 4)
    return all(abs(time - number * gap) <= tolerance for number, time in enumerate(times))


def _begins_so(capture: Capture, times: tuple[float, ...], first: float) -> bool:
    """Whether the first frames have the times of the packets: another stream of that size and codec may have others.

    The file stands at its first frame, whose time is `first`.
    """
    for time in times[1:NUM_COMPARED_FRAMES]:
        if not capture.grab() or abs(capture.position_seconds() - first - time) > TIME_TOLERANCE_SECONDS:
            return False
    return True


def _ends_there(capture: Capture, index: FrameIndex, first: float, watch: Watch) -> bool:
    """Whether the last scanned frame can be decoded: edit lists and damage leave packets that are never shown.

    The file stands near its beginning. Where a seek would decode long, it is stepped there, which is told.
    """
    times = index.timestamps_seconds
    aim = max(0, len(times) - 1 - SEEK_SLACK_FRAMES)
    begin = sought_frame(index, aim)
    is_stepped = begin < aim
    if not (is_stepped and begin == 0) and not capture.seek(begin):
        return False
    for number in count(max(begin, NUM_COMPARED_FRAMES) + 1):
        if not capture.grab():
            return False
        if is_stepped:
            watch.tell(min(number, len(times)), len(times))
        else:
            watch.check()
        if abs(capture.position_seconds() - first - times[-1]) <= TIME_TOLERANCE_SECONDS:
            return True
    return False


def _ascending(times: tuple[float, ...]) -> list[float]:
    """Repair the times that OpenCV reports as repeated or going backwards, and let those behind them stand.

    The last frame of MPEG-PS reads 0, and two frames of one packet may have one time.
    """
    gaps = [b - a for a, b in pairwise(times) if b > a]
    usual = median(gaps) if gaps else UNKNOWN_FRAME_SECONDS
    repaired = [*times[:1]]
    for number, time in enumerate(times[1:], start=1):
        last = repaired[-1]
        ahead = next((later for later in times[number + 1 : number + 1 + NUM_COMPARED_FRAMES] if later > last), None)
        between = last + usual if ahead is None else min(last + usual, (last + ahead) / 2)
        repaired.append(time if time > last else between)
    return repaired


def _from_zero(times: list[float]) -> tuple[float, ...]:
    return tuple(time - times[0] for time in times)
