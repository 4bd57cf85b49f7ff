"""Who watches a long piece of work: a limit on its time, and a caller who is told its progress and may end it.

Knows no file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Protocol, TypeVar

from vreason_agent.errors import VideoDecodeError, VideoTooLargeError
from vreason_agent.video.frames import Progress, stopped
from vreason_agent.video.limits import Limits
from vreason_agent.video.source import Source

OnStep = Callable[[int], None]
"""Called with the number of each frame that is stepped to."""

_Found = TypeVar("_Found")
_Kept = TypeVar("_Kept")


class Watch:
    """Asked between the frames of one piece of work."""

    def __init__(self, path: str, limits: Limits, on_progress: Progress | None = None) -> None:
        """Begin to count time.

        Args:
            path: What is worked on, for messages.
            limits: Of them `max_wall_seconds`.
            on_progress: Told what is done, of how much; returning True ends the work.
        """
        self._path, self._seconds, self._on_progress = path, limits.max_wall_seconds, on_progress
        self._deadline = math.inf if self._seconds is None else time.monotonic() + self._seconds

    def check(self) -> None:
        """Check the time.

        Raises:
            VideoTooLargeError: If it is over.
        """
        if time.monotonic() > self._deadline:
            msg = (
                f"{self._path!r} took over max_wall_seconds={self._seconds:g}; ask for fewer frames or a shorter file, "
                "or re-encode it at a constant rate: ffmpeg -i INPUT -r 25 -c:v libx264 OUTPUT.mp4"
            )
            raise VideoTooLargeError(msg)

    def tell(self, done: int, total: int) -> None:
        """Check the time, and tell what is done.

        Raises:
            VideoTooLargeError: If the time is over.
            VideoDecodeError: If the caller ends the work.
        """
        self.check()
        if self._on_progress is not None and self._on_progress(done, max(done, total)):
            raise VideoDecodeError(stopped(self._path, done, max(done, total)))

    def telling(self, num_steps: int) -> OnStep:
        """Return what is called where steps are what takes the time: it tells each, of so many."""
        return lambda number: self.tell(min(number + 1, num_steps), num_steps)

    def checking(self) -> OnStep:
        """Return what is called at each step that takes no time to speak of: it checks the time."""
        return lambda _: self.check()


def unwatched(_: int) -> None:
    """Watch nothing."""


class Find(Protocol[_Kept]):
    """What is found out about a file, once."""

    def __call__(self, source: Source, limits: Limits, watch: Watch | None = None) -> _Kept:
        """Find it out, or tell what is known."""

    def known(self, source: Source, limits: Limits) -> _Kept | None:
        """Tell what is known, if anything is."""

    def keep(self, source: Source, limits: Limits, what: _Kept) -> None:
        """Know what was found on the way to something else."""

    def cache_clear(self) -> None:
        """Forget what is known."""


def once(
    find: Callable[[Source, Limits, Watch], _Found], *, is_all: Callable[[_Found], bool] = lambda _: True
) -> Find[_Found]:
    """Keep what is found about the last 64 files; who watches makes no difference to it.

    Args:
        find: Finds it.
        is_all: Whether what is known is all that `find` finds; otherwise it is called all the same.
    """

    @lru_cache(maxsize=64)
    def place(source: Source, limits: Limits) -> list[_Found]:
        return []

    @wraps(find)
    def found(source: Source, limits: Limits, watch: Watch | None = None) -> _Found:
        known = place(source, limits)
        if not (known and is_all(known[0])):
            keep(source, limits, find(source, limits, watch or Watch(source.path, limits)))
        return known[0]

    def keep(source: Source, limits: Limits, what: _Found) -> None:
        place(source, limits)[:] = [what]

    found.known = lambda source, limits: next(iter(place(source, limits)), None)  # type: ignore[attr-defined]
    found.keep, found.cache_clear = keep, place.cache_clear  # type: ignore[attr-defined]
    return found  # type: ignore[return-value]
