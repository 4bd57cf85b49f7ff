"""Who watches a piece of work: a limit on its time, and a caller who is told its progress and may end it."""

from __future__ import annotations

import math
import time

from vreason_agent.errors import VideoDecodeError, VideoTooLargeError
from vreason_agent.video.read_options import Limits
from vreason_agent.video.types import Progress


class Watch:
    """Asked between the frames of one piece of work; the caller is told at most ten times a second."""

    def __init__(self, path: str, limits: Limits, on_progress: Progress | None = None) -> None:
        """Begin to count time; `path` names the work in messages."""
        self._path, self._max_seconds, self._on_progress = path, limits.max_wall_seconds, on_progress
        self._began = self._told = time.monotonic()
        self._done, self._total = 0, 0

    @property
    def seconds(self) -> float:
        """Time since the work began."""
        return time.monotonic() - self._began

    def check(self) -> None:
        """Check the time, and ask the caller whether to go on.

        Raises:
            VideoTooLargeError: If the time is over.
            VideoDecodeError: If the caller ends the work.
        """
        if self.seconds > (math.inf if self._max_seconds is None else self._max_seconds):
            msg = (
                f"{self._path!r} took over max_wall_seconds={self._max_seconds:g}; ask for fewer frames or "
                "a shorter file, or re-encode it with more keyframes: ffmpeg -i INPUT -g 50 -c:v libx264 OUTPUT.mp4"
            )
            raise VideoTooLargeError(msg)
        if time.monotonic() - self._told > 0.1:
            self._report()

    def tell(self, done: int, total: int) -> None:
        """Tell what is done; raises as `check` does."""
        self._done, self._total = done, total
        self.check()
        self._report()

    def _report(self) -> None:
        self._told = time.monotonic()
        if self._on_progress is not None and self._on_progress(self._done, self._total):
            msg = f"reading {self._path!r} was stopped after {self._done} of {self._total} frames; call it again"
            raise VideoDecodeError(msg)
