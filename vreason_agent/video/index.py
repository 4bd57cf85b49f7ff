"""The presentation time of every frame of a file, how it can be moved to, and what a move costs. Opens no file."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Literal

from vreason_agent.video.info import VideoStream

COUNT_TOLERANCE = 0.02
MIN_COMPLETE_SHARE = 1 - COUNT_TOLERANCE
CREDIBLE_FPS = (0.5, 240.0)
TIME_TOLERANCE_SECONDS = 0.001  # what OpenCV reports of one frame, scanned and decoded
CLOCK_TOLERANCE_SECONDS = 0.002  # containers round times to 1 ms: a frame and its neighbors are off by that much
UNKNOWN_FRAME_SECONDS = 0.04
SEEK_MARGIN_FRAMES = 16  # a seek decodes from a keyframe at least so many frames before
SEEK_SLACK_FRAMES = 2  # OpenCV counts frames by a mean rate: aim before the target and step to it
SEEK_SETUP_FRAMES = 6  # what emptying and filling the decoder costs
MAX_SOUGHT_FRAMES = 300  # a seek decodes at one go, which no watch can end


@dataclass(frozen=True)
class FrameIndex:
    """Times of all frames, and what the stream that holds them is.

    Attributes:
        timestamps_seconds: Presentation times, ascending, from the first frame's, which is 0.
        is_seekable: Whether the packets tell every frame's time and the last one was reached, so that a seek can be
            checked; otherwise the file is walked.
        source: `packets` (scanned) or `walk` (decoded).
        promised_frames: Frames the container announces; `None` where it announces nothing credible.
        promised_seconds: The length that it announces, where not all of it is there.
        width_px: Width after rotation.
        height_px: Height after rotation.
        codec: FourCC of the stream that is read.
        other_streams: Video streams that are not read, as far as they show: to OpenCV one of another size or codec.
        keyframes: Numbers of the frames that are decoded without others, none where packets are not believed.
        is_table_told: Whether the container lists its keyframes; MPEG streams do not, and there a seek may lead behind
            one and decode up to the next.
        can_jump: Whether a seek leads anywhere: OpenCV lets none go beyond the number of frames that it takes the
            container to announce, be it of the first fragment only.
        is_end_told: Whether the container's tables prove that its last packet is shown.
        is_confirmed: Whether all of this was seen in the frames, and not only claimed by packets.
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
    promised_seconds: float = 0.0
    can_jump: bool = True
    is_end_told: bool = False
    is_confirmed: bool = True

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
        return self.readable_seconds if self.is_complete else max(self.readable_seconds, self.promised_seconds)

    @property
    def is_complete(self) -> bool:
        """Whether about as many frames are there as the container announces."""
        promised = self.promised_frames
        return promised is None or len(self.timestamps_seconds) >= MIN_COMPLETE_SHARE * promised


def seek_cost_frames(keyframes: Sequence[int], target: int) -> int:
    """Return how many frames a jump to a frame costs: those it decodes, and its own price. Nearer ones are stepped to.

    Args:
        keyframes: Numbers of the frames that are decoded without others, ascending.
        target: The number of the frame.
    """
    return target - _keyframe_before(keyframes, target - SEEK_SLACK_FRAMES - SEEK_MARGIN_FRAMES) + SEEK_SETUP_FRAMES


def sought_frame(index: FrameIndex, aim: int) -> int:
    """Return what to seek in order to come to a frame: it, where the seek decodes few frames, or else one before it.

    That one is as close behind a keyframe as OpenCV lets a seek begin there; 0 is the file's beginning.
    """
    if index.has_far_keyframes and not index.is_table_told:
        return 0
    reach = SEEK_MARGIN_FRAMES + SEEK_SLACK_FRAMES
    begin = _keyframe_before(index.keyframes, aim - reach)
    if aim - begin <= MAX_SOUGHT_FRAMES:
        return aim
    return begin + reach if begin else 0


def _is_on_one_clock(times: tuple[float, ...]) -> bool:
    if len(times) < 2:
        return False
    gap = times[-1] / (len(times) - 1)
    if gap < 1 / CREDIBLE_FPS[1]:
        return False
    tolerance = min(CLOCK_TOLERANCE_SECONDS, gap / 4)
    return all(abs(time - number * gap) <= tolerance for number, time in enumerate(times))


def _keyframe_before(keyframes: Sequence[int], number: int) -> int:
    """Return the last keyframe up to a frame; 0 where there is none."""
    num_before = bisect.bisect_right(keyframes, number)
    return keyframes[num_before - 1] if num_before else 0
