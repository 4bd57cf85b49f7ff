"""Whether OpenCV converts a file's frames at all: of interlaced ones its wheels hand over memory that nobody wrote.

FFmpeg 8's scaler refuses frames that are marked as interlaced, and OpenCV (4.14 and 5.0) takes no note of it. glibc
can be told to fill what it allocates: a first frame that is nothing but the filling was not written. Other C libraries
cannot, and there nothing is checked. In place of a later frame that is refused OpenCV hands over the last one that was
not: pictures that repeat are suspicious.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from threading import Lock
from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import Capture
from vreason_agent.video.images import Picture

FILLINGS = (0x5A, 0xC3)  # a picture may have the color of one, but not of both
SAMPLED_VALUES = 2048  # so many tell pictures apart
_M_PERTURB = -6  # mallopt(3): allocated bytes get the complement of this value
_lock = Lock()  # the filling is one for the whole process


def first_picture(path: str, capture: Capture, again: Callable[[], AbstractContextManager[Capture]]) -> Any:
    """Return the first picture that an opened file gives; only what shows both fillings in turn was not written.

    Args:
        path: The file, for messages.
        capture: It, stepped to a frame; nothing was retrieved from it yet.
        again: Opens it once more, stepped to the same frame.

    Raises:
        VideoDecodeError: If the picture is memory that nobody wrote.
    """
    picture, is_filling = _retrieve(capture, FILLINGS[0])
    if is_filling:
        with again() as other:
            if _retrieve(other, FILLINGS[1])[1]:
                msg = (
                    f"the frames of {path!r} are interlaced, or OpenCV cannot convert them for another reason; use "
                    "backend='av' (pip install 'vreason-agent[av]'), or de-interlace the file: "
                    "ffmpeg -i INPUT -vf yadif OUTPUT.mp4"
                )
                raise VideoDecodeError(msg)
    return picture


class Repeats:
    """Notices where pictures begin to look like the one before, though they are of other frames."""

    def __init__(self) -> None:
        self._number, self._sample, self._is_still = -1, b"", False

    def begin(self, number: int, picture: Picture) -> bool:
        """Tell whether a passage that stands still begins with the picture of frame `number`."""
        if number == self._number:
            return False
        sample = picture.reshape(-1)[:: picture.size // SAMPLED_VALUES | 1].tobytes()
        was_still, self._is_still = self._is_still, sample == self._sample
        self._number, self._sample = number, sample
        return self._is_still and not was_still


def _retrieve(capture: Capture, filling: int) -> tuple[Any, bool]:
    """Return a picture, and whether nothing but the filling is there."""
    with _filled_memory(filling):
        picture = capture.retrieve_rgb()
    return picture, picture is not None and bool((picture == filling).all())


@contextmanager
def _filled_memory(filling: int) -> Iterator[None]:
    """Let memory that is allocated hold `filling`, where the C library can."""
    mallopt = _mallopt()
    with _lock:
        mallopt(_M_PERTURB, filling ^ 0xFF)
        try:
            yield
        finally:
            mallopt(_M_PERTURB, 0)


@cache
def _mallopt() -> Any:
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return lambda parameter, value: 0
