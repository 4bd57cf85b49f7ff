"""The pictures of one read in one block of memory, filled as they are decoded. Knows no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from vreason_agent.errors import VideoDecodeError, VideoTooLargeError
from vreason_agent.video.images import Picture, size_within
from vreason_agent.video.limits import Limits
from vreason_agent.video.sizing import Sizing


class FrameSink(Protocol):
    """Where the pictures of one read go."""

    @property
    def images(self) -> Picture:
        """What is to stand in the result."""

    def has(self, number: int) -> bool:
        """Whether a frame need not be decoded, since it is there."""

    def put(self, number: int, picture: Picture) -> None:
        """Take a frame."""


def check_result(path: str, size: tuple[int, int], num_frames: int, sizing: Sizing, limits: Limits) -> None:
    """Check before a frame is decoded for it what a read will return; of a `resize` its first frame tells.

    Args:
        path: The file, for messages.
        size: Width and height of its frames in pixels.
        num_frames: How many are asked for.
        sizing: What becomes of their size.
        limits: Of them `max_result_bytes`.

    Raises:
        VideoTooLargeError: If that is more.
    """
    if sizing.resize is None:
        width, height = size_within(*size, sizing.max_side_px)
        _check_bytes(path, num_frames, width, height, limits)


def _check_bytes(path: str, num_frames: int, width: int, height: int, limits: Limits) -> None:
    if num_frames * width * height * 3 > limits.max_result_bytes:
        raise VideoTooLargeError(_too_large(path, num_frames, width, height, limits))


def _too_large(path: str, num_frames: int, width: int, height: int, limits: Limits | None = None) -> str:
    over = "there is memory for" if limits is None else f"max_result_bytes={limits.max_result_bytes:,}"
    return (
        f"{num_frames:,} frames of {path!r} at {width}x{height} pixels are {num_frames * width * height * 3:,} bytes, "
        f"more than {over}; give a smaller max_side_px, or ask for fewer times at once"
    )


MakeSink = Callable[[Sequence[int], tuple[int, int]], FrameSink]
"""Makes the sink of frames with these numbers, and that width and height in the file, before one is read for it.

Called once more where a file turns out to be numbered otherwise.
"""


class FrameStack:
    """Pictures in the order asked for, all of one size.

    Attributes:
        images: `uint8 (num_frames, height, width, 3)`, whole once every number was put.
    """

    images: Picture

    def __init__(self, path: str, limits: Limits, numbers: Sequence[int]) -> None:
        """Be ready for the frames with these numbers, which may repeat."""
        self._path, self._limits, self._num_frames = path, limits, len(numbers)
        self._has_room, self._lacking = False, set(numbers)
        self._places: dict[int, list[int]] = {}
        for place, number in enumerate(numbers):
            self._places.setdefault(number, []).append(place)

    @property
    def is_whole(self) -> bool:
        """Whether every number was put."""
        return not self._lacking

    def wants(self, number: int) -> bool:
        """Whether a frame was asked for."""
        return number in self._places

    def has(self, number: int) -> bool:
        """Whether a frame was put already."""
        return number in self._places and number not in self._lacking

    def put(self, number: int, picture: Picture) -> None:
        """Set a frame wherever its number was asked for, be it nowhere.

        Raises:
            VideoDecodeError: If it has another size than the ones before.
            VideoTooLargeError: If all at its size are more than `limits.max_result_bytes`, or than there is memory for.
        """
        if not self._has_room:
            self._make_room(picture)
        if picture.shape != self.images.shape[1:]:
            here, before = picture.shape[1::-1], self.images.shape[2:0:-1]
            raise VideoDecodeError(of_several_sizes(self._path, here, before))
        for place in self._places.get(number, ()):
            self.images[place] = picture
        self._lacking.discard(number)

    def _make_room(self, picture: Picture) -> None:
        num_frames, (height, width) = self._num_frames, picture.shape[:2]
        _check_bytes(self._path, num_frames, width, height, self._limits)
        try:
            self.images = np.empty((num_frames, *picture.shape), np.uint8)
        except MemoryError as exc:
            raise VideoTooLargeError(_too_large(self._path, num_frames, width, height)) from exc
        self._has_room = True


def of_several_sizes(path: str, *sizes: tuple[int, ...]) -> str:
    """Word that frames have several widths and heights."""
    told = sorted(f"{width}x{height}" for width, height in sizes)
    return f"the frames of {path!r} differ in size ({', '.join(told)}); bring them to one size"


def make_stack(path: str, sizing: Sizing, limits: Limits, numbers: Sequence[int], size: tuple[int, int]) -> FrameStack:
    """Make a stack, if it is not too large; raises as `check_result` does."""
    check_result(path, size, len(numbers), sizing, limits)
    return FrameStack(path, limits, numbers)
