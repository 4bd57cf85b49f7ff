"""What a reading process sends: pictures one by one, checked against what was asked for. Reads no pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vreason_agent.video.images import Picture, size_within
from vreason_agent.video.kept import KeptFrames
from vreason_agent.video.limits import Limits
from vreason_agent.video.sizing import FULL_SIZE, Sizing
from vreason_agent.video.stack import FrameStack


class Receiver:
    """Collects the pictures of one read; what is not as agreed is a `ValueError`.

    Attributes:
        held: Frames that were kept from earlier reads, by number.
        numbers: Those of the frames that come, once that is told.
    """

    held: Mapping[int, Picture]
    numbers: tuple[int, ...] = ()

    def __init__(
        self,
        name: str,
        num_frames: int,
        limits: Limits,
        sizing: Sizing = FULL_SIZE,
        kept: KeptFrames | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Collect at most `num_frames` frames.

        Args:
            name: What is read, for messages.
            num_frames: How many were asked for.
            limits: Bounds on each.
            sizing: What becomes of each; the other process has scaled them to the longer side already.
            kept: Where they are kept; what is there at that size need not be sent.
            size: Width and height of the file's frames in pixels, where these are known.
        """
        self._size = None if size is None else size_within(*size, sizing.max_side_px)
        self._name, self._num_frames, self._limits = name, num_frames, limits
        self._sizing, self._kept = sizing, kept or KeptFrames(0)
        self.held = self._kept.of_size(sizing)
        self._stack: FrameStack | None = None

    def start(self, numbers: Sequence[int]) -> None:
        """Make room for the frames with these numbers; a second time, all that is known of the file is void."""
        if not 0 < len(numbers) <= self._num_frames:
            raise ValueError(len(numbers))
        if self._stack is not None:
            self._kept.clear()
            self.held = {}
        self._stack, self.numbers = FrameStack(self._name, self._limits, numbers), tuple(numbers)
        for number in sorted({*numbers} & self.held.keys()):
            self._stack.put(number, self.held[number])

    def room(self, shape: Sequence[int]) -> Picture:
        """Return memory for a picture of that shape."""
        height, width, channels = shape
        is_odd = channels != 3 or min(height, width) < 1 or height * width > self._limits.max_pixels
        if self._stack is None or is_odd or (width, height) != (self._size or (width, height)):
            raise ValueError(shape)
        return np.empty((height, width, channels), np.uint8)

    def put(self, number: int, picture: Picture) -> None:
        """Take a frame at its full size, one that only a later read will ask for while there is room to keep it."""
        if self._stack is None or (self._kept.is_full and not self._stack.wants(number)):
            return
        sized = self._sizing.resized(picture)
        self._stack.put(number, sized)
        self._kept.put(number, self._sizing, sized)

    def images(self) -> Picture:
        """Return the frames, `uint8 (num_frames, height, width, 3)`, once all are here."""
        if self._stack is None or not self._stack.is_whole:
            raise ValueError
        return self._stack.images
