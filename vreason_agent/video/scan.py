"""Steps through a file's packets or frames to their end, under watch, and what the packets tell. Decodes nothing."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TypeVar

from vreason_agent.errors import VideoTooLargeError
from vreason_agent.video.capture import Capture
from vreason_agent.video.index import COUNT_TOLERANCE, CREDIBLE_FPS, TIME_TOLERANCE_SECONDS
from vreason_agent.video.info import VideoStream
from vreason_agent.video.limits import Limits, check_length
from vreason_agent.video.source import Source
from vreason_agent.video.watch import Watch

PACKETS_PER_TELLING = 256  # a packet takes some 10 us

_Step = TypeVar("_Step")


@dataclass(frozen=True)
class Packets:
    """What a scan of a file's packets tells.

    Attributes:
        times_seconds: Their presentation times, ascending, on the file's own clock.
        keyframes: Numbers of those that are decoded without others.
        other_stream: The stream they are of, where it is another than the frames'.
    """

    times_seconds: tuple[float, ...]
    keyframes: tuple[int, ...]
    other_stream: VideoStream | None

    def are_trustworthy(self, promised: int | None) -> bool:
        """Whether they are of the stream that is read, can be told apart, and are as many as announced."""
        times = self.times_seconds
        if self.other_stream is not None or len(times) < 2:
            return False
        is_as_announced = promised is None or abs(len(times) - promised) <= COUNT_TOLERANCE * promised
        return is_as_announced and min(b - a for a, b in pairwise(times)) > 2 * TIME_TOLERANCE_SECONDS


def scan_packets(source: Source, capture: Capture, limits: Limits, watch: Watch) -> Packets:
    """Step through the packets of a file that is open for its frames.

    A packet capture takes the file's best video stream, a frame capture its first.

    Raises:
        VideoTooLargeError: If there are more packets than `limits` allow, or they reach further.
        VideoDecodeError: If `watch` ends it.
    """
    with Capture(source, packets=True) as packets:
        keys: list[float] = []
        total = max(announced_frames(packets), default=0)
        steps = told(_noting_keys(packets, keys), watch, total, every=PACKETS_PER_TELLING)
        times = tuple(sorted(collect_times(source.path, steps, limits, every=PACKETS_PER_TELLING)))
        return Packets(times, _numbers(keys, times), _other_stream(packets, capture))


def announced_frames(capture: Capture) -> tuple[int, ...]:
    """Return what FRAME_COUNT can mean, after the first frame: some containers count from 0 s, others from that frame.

    A stream that begins within a group of pictures counts from its first packet. Nothing where it cannot be true: some
    give negative, astronomical or cover-art numbers.
    """
    count, fps = capture.get("FRAME_COUNT"), capture.get("FPS")
    if not (0 < count < 1e9 and CREDIBLE_FPS[0] <= fps <= CREDIBLE_FPS[1]):
        return ()
    leads = (0, max(0, int(capture.get("PTS"))), max(0, round(capture.position_seconds() * fps)))
    return tuple(int(count) - lead for lead in leads if lead < count)


def told(steps: Iterable[_Step], watch: Watch, total: int, *, every: int = 1) -> Iterator[_Step]:
    """Step on, and tell of every so many steps that they are done, of about `total`."""
    for number, step in enumerate(steps, start=1):
        if number % every == 0:
            watch.tell(number, total)
        yield step


def collect_times(path: str, steps: Iterable[float], limits: Limits, *, every: int = 1) -> tuple[float, ...]:
    """Return the times that stepping to the end gives, in seconds.

    Raises:
        VideoTooLargeError: As soon as there are more than `limits` allow, or they reach further; looked at every so
            many steps, and at the end.
    """
    times: list[float] = []
    rest = iter(steps)
    while some := list(islice(rest, every)):
        times += some
        check_count(path, len(times), limits)
        check_length(path, max(some) - times[0], limits)
    return tuple(times)


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
    if sorted((width, height)) == sorted(frames.size()) and packets.codec() == frames.codec():
        return None  # packets are not rotated
    return VideoStream(width, height, packets.codec(), is_read=False)
