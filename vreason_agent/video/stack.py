"""The pictures of one read in one block of memory, filled as they are decoded. Knows no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.images import Picture


class FrameSink(Protocol):
    """Where the pictures of one read go."""

    @property
    def images(self) -> Picture:
        """What is to stand in the result."""

    def has(self, number: int) -> bool:
        """Whether a frame need not be decoded, since it is there."""

    def put(self, number: int, picture: Picture) -> None:
        """Take a frame."""


MakeSink = Callable[[Sequence[int]], FrameSink]
"""Makes the sink of frames with these numbers; called once more where a file turns out to be numbered otherwise."""


class FrameStack:
    """Pictures in the order asked for, all of one size.

    Attributes:
        images: `uint8 (num_frames, height, width, 3)`, whole once every number was put.
    """

    images: Picture

    def __init__(self, path: str, numbers: Sequence[int]) -> None:
        """Make room for the frames with these numbers, which may repeat."""
        self._path, self._numbers = path, np.asarray(numbers)
        self._has_room, self._wanted, self._lacking = False, frozenset(numbers), set(numbers)

    @property
    def is_whole(self) -> bool:
        """Whether every number was put."""
        return not self._lacking

    def wants(self, number: int) -> bool:
        """Whether a frame was asked for."""
        return number in self._wanted

    def has(self, number: int) -> bool:
        """Whether a frame was put already."""
        return number in self._wanted and number not in self._lacking

    def put(self, number: int, picture: Picture) -> None:
        """Set a frame wherever its number was asked for, be it nowhere.

        Raises:
            VideoDecodeError: If it has another size than the ones before.
        """
        if not self._has_room:
            self.images, self._has_room = np.empty((len(self._numbers), *picture.shape), np.uint8), True
        if picture.shape != self.images.shape[1:]:
            sizes = sorted(f"{width}x{height}" for height, width in (picture.shape[:2], self.images.shape[1:3]))
            msg = f"the frames of {self._path!r} differ in size ({', '.join(sizes)}); bring them to one size"
            raise VideoDecodeError(msg)
        self.images[self._numbers == number] = picture
        self._lacking.discard(number)
