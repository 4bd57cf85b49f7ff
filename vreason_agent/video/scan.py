"""Steps through a file's packets or frames to their end, under watch, and what the packets tell. Decodes nothing."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from vreason_agent.errors import VideoTooLargeError
from vreason_agent.video.announced import Announced
from vreason_agent.video.capture import Capture
from vreason_agent.video.edit_list import shown_seconds
from vreason_agent.video.fragments import fragments_seconds, is_fragmented
from vreason_agent.video.index import CREDIBLE_FPS, TIME_TOLERANCE_SECONDS
from vreason_agent.video.info import VideoStream
from vreason_agent.video.limits import Limits, check_length
from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.signature import HEAD_BYTES, counts_frames
from vreason_agent.video.twins import has_twins
from vreason_agent.video.watch import Watch

PACKETS_PER_TELLING = 256  # a packet takes some 10 us

_Step = TypeVar("_Step")


@dataclass(frozen=True)
class Packets:
    """What a scan of a file's packets tells.

    Attributes:
        times_seconds: Their presentation times, ascending, on the file's own clock.
        keyframes: Numbers of those that are decoded without others.
        other_stream: The stream they are of, where it is another than the frames', or may be.
    """

    times_seconds: tuple[float, ...]
    keyframes: tuple[int, ...]
    other_stream: VideoStream | None

    def shown(self, begin_seconds: float, length_seconds: float) -> Packets:
        """Return those that an edit list shows, on the file's own clock; it may end within a frame, which is shown."""
        begin = bisect.bisect_left(self.times_seconds, begin_seconds - TIME_TOLERANCE_SECONDS)
        end = bisect.bisect_right(self.times_seconds, begin_seconds + length_seconds + TIME_TOLERANCE_SECONDS)
        keyframes = tuple(number - begin for number in self.keyframes if begin <= number < end)
        return Packets(self.times_seconds[begin:end], keyframes, self.other_stream)

    @property
    def are_trustworthy(self) -> bool:
        """Whether they are of the stream that is read, and can be told apart."""
        times = self.times_seconds
        if self.other_stream is not None or len(times) < 2:
            return False
        return min(b - a for a, b in pairwise(times)) > 2 * TIME_TOLERANCE_SECONDS


def scan_packets(capture: Capture, limits: Limits, watch: Watch) -> Packets:
    """Step through the packets of a file that is open for its frames.

    A packet capture takes the file's best video stream, a frame capture its first.

    Raises:
        VideoTooLargeError: If there are more packets than `limits` allow, or they reach further.
        VideoDecodeError: If `watch` ends it.
    """
    source = capture.source
    with Capture(source, packets=True) as packets:
        keys: list[float] = []
        total = max(announced_frames(packets), default=0)
        times: list[float] = []
        for time in _noting_keys(packets, keys):
            times.append(time)
            if len(times) % PACKETS_PER_TELLING == 0:
                watch.tell(len(times), total)
                check_times(source.path, times, limits)
        check_times(source.path, times, limits)
        times.sort()
        return Packets(tuple(times), _numbers(keys, times), _other_stream(packets, capture))


def announced_frames(capture: Capture) -> tuple[int, ...]:
    """Return what FRAME_COUNT can mean, after the first frame: some containers count from 0 s, others from that frame.

    A stream that begins within a group of pictures counts from its first packet. Nothing where it cannot be true: some
    give negative, astronomical or cover-art numbers. Nothing either where the first frame's time is not known.
    """
    count, fps, lead = capture.get("FRAME_COUNT"), capture.get("FPS"), capture.get("PTS")
    if not (0 < count < 1e9 and CREDIBLE_FPS[0] <= fps <= CREDIBLE_FPS[1] and lead > -1e9):
        return ()
    leads = (0, max(0, int(lead)), max(0, round(capture.position_seconds() * fps)))
    return tuple(int(count) - lead for lead in leads if lead < count)


def announced_length(capture: Capture) -> Announced:
    """Return what a file announces that is at its first frame."""
    fps, source = capture.get("FPS"), capture.source
    with open_pinned(source) as file:
        is_counted = counts_frames(file.read(HEAD_BYTES))
    if is_counted and is_fragmented(source):
        seconds = fragments_seconds(source)
        frames = () if seconds is None else (round(seconds * fps),)
        return Announced(frames, fps, is_counted=False, is_fragmented=True)
    return Announced(announced_frames(capture), fps, is_counted, shown_seconds(source))


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
        check_times(path, times, limits)
    return tuple(times)


def check_times(path: str, times: Sequence[float], limits: Limits) -> None:
    """Check how many frames were stepped through, and how far.

    Raises:
        VideoTooLargeError: If they are over `limits.max_walked_frames`, or the last reaches over `max_seconds`.
    """
    check_count(path, len(times), limits)
    if times:
        check_length(path, times[-1] - times[0], limits)


def check_count(path: str, num_frames: int, limits: Limits) -> None:
    """Check how many frames were stepped through.

    Raises:
        VideoTooLargeError: If they are over `limits.max_walked_frames`.
    """
    if num_frames > limits.max_walked_frames:
        msg = f"{path!r} has over max_walked_frames={limits.max_walked_frames:,} frames; cut the part you need"
        raise VideoTooLargeError(msg)


def _noting_keys(capture: Capture, keys: list[float]) -> Iterator[float]:
    """Step through packets and note the times of keyframes."""
    for time in capture.steps():
        if capture.is_keyframe():
            keys.append(time)
        yield time


def _numbers(keys: Sequence[float], times: Sequence[float]) -> tuple[int, ...]:
    return tuple(sorted(bisect.bisect_left(times, key) for key in keys))


def _other_stream(packets: Capture, frames: Capture) -> VideoStream | None:
    width, height = packets.size()
    is_alike = sorted((width, height)) == sorted(frames.size()) and packets.codec() == frames.codec()
    if is_alike and not has_twins(frames.source):  # packets are not rotated
        return None
    return VideoStream(width, height, packets.codec(), is_read=False)
