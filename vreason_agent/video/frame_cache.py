"""The size that frames are wanted in, and those that a video has decoded, in memory, bounded by bytes."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vreason_agent.errors import ConfigError
from vreason_agent.video.decoder import SAME_SECONDS, DecodedFrame
from vreason_agent.video.images import fit_within
from vreason_agent.video.types import Picture

Resize = Callable[[Picture], Picture]


@dataclass(frozen=True)
class Sizing:
    """What becomes of each frame's size while it is read, so that full-size frames do not pile up.

    Attributes:
        max_side_px: Longer side to scale down to; `None` keeps the size.
        resize: Then called with the frame, `uint8 (height, width, 3)` in RGB; hashable, and the same for all frames.
    """

    max_side_px: int | None = None
    resize: Resize | None = None

    def __call__(self, picture: Picture) -> Picture:
        """Return a frame as it is wanted.

        Raises:
            ConfigError: If `resize` returns no picture.
        """
        picture = fit_within(picture, self.max_side_px)
        if self.resize is None:
            return picture
        made = self.resize(picture)
        is_picture = isinstance(made, np.ndarray) and made.dtype == np.uint8 and made.ndim == 3 and made.size > 0
        if not is_picture or made.shape[2] != 3:
            what = f"{made.dtype} {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__
            msg = f"resize={self.resize!r} returned {what}; return each frame as uint8 of shape (height, width, 3)"
            raise ConfigError(msg)
        return made


class FrameCache:
    """Frames by the interval in which they are shown and their size; the least recently used go first."""

    def __init__(self, max_bytes: int) -> None:
        """Hold at most `max_bytes` of pixels; 0 holds nothing."""
        self._max_bytes, self._num_bytes = max_bytes, 0
        self._frames: OrderedDict[tuple[Sizing, float], DecodedFrame] = OrderedDict()
        self._starts: dict[Sizing, list[float]] = {}  # ascending

    def find(self, seconds: float, sizing: Sizing) -> DecodedFrame | None:
        """Return the frame that is shown at a time, at that size."""
        starts = self._starts.get(sizing, [])
        place = bisect.bisect_right(starts, seconds + SAME_SECONDS) - 1
        if place < 0 or not self._frames[sizing, starts[place]].is_shown_at(seconds):
            return None
        self._frames.move_to_end((sizing, starts[place]))
        return self._frames[sizing, starts[place]]

    def add(self, frame: DecodedFrame, sizing: Sizing) -> None:
        """Hold a frame, and let go of older ones where it does not fit beside them."""
        key = (sizing, frame.start_seconds)
        if frame.picture.nbytes > self._max_bytes or key in self._frames:
            return
        self._frames[key] = frame
        bisect.insort(self._starts.setdefault(sizing, []), frame.start_seconds)
        self._num_bytes += frame.picture.nbytes
        while self._num_bytes > self._max_bytes:
            (oldest, start), frame = self._frames.popitem(last=False)
            self._starts[oldest].remove(start)
            self._num_bytes -= frame.picture.nbytes

    def has_room_for(self, num_bytes: int) -> bool:
        """Whether that much more pushes no frame out."""
        return self._num_bytes + num_bytes <= self._max_bytes

    def clear(self) -> None:
        """Let go of all."""
        self._frames.clear()
        self._starts.clear()
        self._num_bytes = 0
