"""What reading gives: pictures with their true times, and where they come from. Knows no decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vreason_agent.video.info import VideoInfo

Progress = Callable[[int, int], bool | None]
Method = Literal["seek", "walk", "image", "folder"]


@dataclass(frozen=True)
class Frames:
    """Frames that were read.

    Attributes:
        images: `uint8 (num_frames, height, width, 3)` in RGB, in the order asked for.
        timestamps_seconds: Their presentation times from the first frame of the file.
        requested_seconds: The times that were asked for.
        frame_indices: Their numbers in the file, from 0.
        info: The video they come from.
        method: How they were reached: `seek` (every landing checked), `walk`, `image` or `folder`.
        missing_seconds: The times that were asked for that a cut file has no frame for; nothing stands in for it.
        reason: Why they are missing; empty where none is.
    """

    images: NDArray[np.uint8]
    timestamps_seconds: tuple[float, ...]
    requested_seconds: tuple[float, ...]
    frame_indices: tuple[int, ...]
    info: VideoInfo
    method: Method
    missing_seconds: tuple[float, ...] = ()
    reason: str = ""

    @property
    def num_requested(self) -> int:
        """How many frames were asked for."""
        return len(self.requested_seconds) + len(self.missing_seconds)

    @property
    def num_decoded(self) -> int:
        """How many of them are here."""
        return len(self.requested_seconds)

    def __repr__(self) -> str:
        """Show shape and span instead of pixels."""
        first, last = self.timestamps_seconds[0], self.timestamps_seconds[-1]
        return f"Frames(shape={self.images.shape}, {first:.2f}-{last:.2f} s, method={self.method!r})"


def stopped(path: str, done: int, total: int) -> str:
    """Word that `on_progress` ended a read."""
    return f"reading {path!r} was stopped after {done} of {total} frames; call it again"


def changed(path: str) -> str:
    """Word that a file is no longer the one that was opened."""
    return f"{path!r} changed while it was open; open it again"


def closed(path: str) -> str:
    """Word that a video was read after it was closed."""
    return f"{path!r} was closed; read inside `with open_video(...)`"
