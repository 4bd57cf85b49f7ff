"""The presentation time of every frame of a file, and whether the rate is provably constant.

A scan of the packets, which decodes nothing, is believed only where it is consistent with itself and the container;
every other file is walked frame by frame: slow and exact. Knows no plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import Literal

from vreason_agent.errors import VideoDecodeError, VideoTooLargeError
from vreason_agent.video.capture import Capture
from vreason_agent.video.limits import Limits
from vreason_agent.video.source import Source

COUNT_TOLERANCE = 0.02
MIN_COMPLETE_SHARE = 0.9
CREDIBLE_FPS = (0.5, 240.0)


@dataclass(frozen=True)
class FrameIndex:
    """Times of all frames.

    Attributes:
        timestamps_seconds: Presentation times, ascending, from the first frame's, which is 0.
        is_constant_rate: Whether every gap is the same but for rounding, so that seeking can be checked.
        source: `packets` (scanned) or `walk` (decoded).
        promised_frames: Frames the container announces; `None` where it announces nothing credible.
    """

    timestamps_seconds: tuple[float, ...]
    is_constant_rate: bool
    source: Literal["packets", "walk"]
    promised_frames: int | None

    @property
    def frame_seconds(self) -> float:
        """Median time from one frame to the next; 0.04 for a single frame."""
        gaps = [b - a for a, b in pairwise(self.timestamps_seconds)]
        return median(gaps) if gaps else 0.04

    @property
    def duration_seconds(self) -> float:
        """From the first frame to the end of the last one."""
        return self.timestamps_seconds[-1] + self.frame_seconds

    @property
    def is_complete(self) -> bool:
        """Whether about as many frames are there as the container announces."""
        promised = self.promised_frames
        return promised is None or len(self.timestamps_seconds) >= MIN_COMPLETE_SHARE * promised


@lru_cache(maxsize=64)
def index_frames(source: Source, limits: Limits) -> FrameIndex:
    """Return the index of a video or GIF file; kept until the file changes.

    Raises:
        VideoDecodeError: If no frame can be decoded.
        VideoTooLargeError: If walking it exceeds `limits.max_walked_frames`.
    """
    with Capture(source.path) as capture:
        capture.check_size(source.path, limits)
        if not capture.grab():
            raise VideoDecodeError(_undecodable(source.path, capture))
        announced = _announced_frames(capture)
    scanned = _scan_packets(source.path, limits) if source.kind == "video" else ()
    promised = _nearest(announced, len(scanned))
    if _is_trustworthy(scanned, promised):
        return FrameIndex(_from_zero(sorted(scanned)), True, "packets", promised)
    return walk_frames(source, limits)


@lru_cache(maxsize=64)
def walk_frames(source: Source, limits: Limits) -> FrameIndex:
    """Return the index that decoding every frame gives, for files whose packets are not believed or misled a seek."""
    with Capture(source.path) as capture:
        capture.grab()
        announced = _announced_frames(capture)
    times = _walk(source.path, limits)
    return FrameIndex(times, False, "walk", _nearest(announced, len(times)))


def _announced_frames(capture: Capture) -> tuple[int, ...]:
    """Return what FRAME_COUNT can mean, after the first frame: some containers count from 0 s, others from that frame.

    Nothing where it cannot be true: some give negative, astronomical or cover-art numbers.
    """
    count, fps = capture.get("FRAME_COUNT"), capture.get("FPS")
    if not (0 < count < 1e9 and CREDIBLE_FPS[0] <= fps <= CREDIBLE_FPS[1]):
        return ()
    skipped = max(0, int(capture.get("PTS")))
    return (int(count), int(count) - skipped) if skipped < count else (int(count),)


def _nearest(announced: tuple[int, ...], found: int) -> int | None:
    return min(announced, key=lambda count: abs(count - found), default=None)


def _undecodable(path: str, capture: Capture) -> str:
    code = int(capture.get("FOURCC"))
    codec = "".join(chr(code >> 8 * i & 0xFF) for i in range(4)).strip("\x00 ") or "unknown"
    return (
        f"the video stream of {path!r} (codec {codec!r}) cannot be decoded by this OpenCV build; "
        "re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )


def _scan_packets(path: str, limits: Limits) -> tuple[float, ...]:
    with Capture(path, packets=True) as capture:
        return _collect(path, capture, limits)


def _walk(path: str, limits: Limits) -> tuple[float, ...]:
    with Capture(path) as capture:
        times = _collect(path, capture, limits)
    if not times:
        msg = f"no frame of {path!r} can be decoded; re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
        raise VideoDecodeError(msg)
    return _from_zero(_ascending(times))


def _collect(path: str, capture: Capture, limits: Limits) -> tuple[float, ...]:
    times: list[float] = []
    for time in capture.steps():
        times.append(time)
        if len(times) > limits.max_walked_frames:
            msg = f"{path!r} has over max_walked_frames={limits.max_walked_frames:,} frames; cut the part you need"
            raise VideoTooLargeError(msg)
    return tuple(times)


def _is_trustworthy(times: tuple[float, ...], promised: int | None) -> bool:
    if len(times) < 2 or len(set(times)) != len(times):
        return False
    if promised is not None and abs(len(times) - promised) > COUNT_TOLERANCE * promised:
        return False
    gaps = [b - a for a, b in pairwise(sorted(times))]
    usual = median(gaps)
    return max(gaps) <= 1.5 * usual and min(gaps) >= 0.5 * usual


def _ascending(times: tuple[float, ...]) -> list[float]:
    """Repair the times that OpenCV reports as going backwards (the last frame of MPEG-PS reads 0)."""
    gaps = [b - a for a, b in pairwise(times) if b > a]
    usual = median(gaps) if gaps else 0.04
    repaired = [times[0]]
    for time in times[1:]:
        repaired.append(time if time > repaired[-1] else repaired[-1] + usual)
    return repaired


def _from_zero(times: list[float]) -> tuple[float, ...]:
    return tuple(time - times[0] for time in times)
