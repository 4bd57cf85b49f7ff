"""How long a container announces its video to be, and whether the frames that were found are all of it.

Opens no file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from vreason_agent.video.index import COUNT_TOLERANCE, MIN_COMPLETE_SHARE, FrameIndex

NEARLY_ONE = 0.99  # an edit list may begin within a frame, which is not shown then; a whole one is missed
ROUNDED_FRAMES = 1.5  # a number of frames that is made of a length is off by so many


@dataclass(frozen=True)
class Announced:
    """What a container announces.

    Attributes:
        frames: What number of frames can be meant: a length may count from 0 s, from the first packet, or from the
            first frame. Empty where nothing credible is announced.
        fps: The rate that makes a length of them.
        is_counted: Whether the container counts frames; otherwise their number is made of a length.
        shown_seconds: How much of that length is shown, where the file tells.
        is_fragmented: Whether frames are listed in fragments, of which OpenCV counts the first one's only.
    """

    frames: tuple[int, ...]
    fps: float
    is_counted: bool
    shown_seconds: float | None = None
    is_fragmented: bool = False

    def fits(self, num_packets: int) -> bool:
        """Whether a scan may have found all packets; an index of fragments may leave out the last of them."""
        if self.is_fragmented:
            return all(num_packets >= MIN_COMPLETE_SHARE * count for count in self.frames)
        return not self.frames or any(abs(num_packets - count) <= COUNT_TOLERANCE * count for count in self.frames)

    def measured_on(self, index: FrameIndex) -> FrameIndex:
        """Return an index that knows how many frames are promised: as many as were found, where these reach as far."""
        found, reached = len(index.timestamps_seconds), index.readable_seconds
        if found in self.frames or not self.frames or self.fps <= 0:
            return replace(index, promised_frames=found if found in self.frames else None)
        promised = min(self.frames, key=lambda count: abs(count / self.fps - reached))
        announced = promised / self.fps
        shown = announced if self.shown_seconds is None else min(announced, self.shown_seconds)
        enough = min(MIN_COMPLETE_SHARE * shown, shown - self._slack(index, announced))
        if promised <= found or reached > enough:
            return replace(index, promised_frames=min(promised, found))
        lacking = max(found + 1, round(promised * shown / announced))
        return replace(index, promised_frames=lacking, promised_seconds=shown)

    def _slack(self, index: FrameIndex, announced: float) -> float:
        """Return how much may lack at the end without a frame being lost, in seconds."""
        if self.shown_seconds is not None and self.shown_seconds < announced:
            return NEARLY_ONE * max((b - a for a, b in pairwise(index.timestamps_seconds)), default=index.frame_seconds)
        return 0.0 if self.is_counted else ROUNDED_FRAMES * index.frame_seconds
