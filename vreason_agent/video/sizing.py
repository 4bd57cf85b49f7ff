"""What becomes of a frame's size while it is read, so that full-size frames do not pile up. Knows no file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vreason_agent.video.images import Picture, fit_within

Resize = Callable[[Picture], Picture]


@dataclass(frozen=True)
class Sizing:
    """How each frame is made smaller; equal values make equal frames.

    Attributes:
        max_side_px: Longer side to scale down to; `None` keeps the size.
        resize: Then called with the frame, `uint8 (height, width, 3)` in RGB; hashable, and the same for all frames.
    """

    max_side_px: int | None = None
    resize: Resize | None = None

    def __call__(self, picture: Picture) -> Picture:
        """Return a full-size frame as it is wanted."""
        scaled = fit_within(picture, self.max_side_px)
        return scaled if self.resize is None else self.resize(scaled)


FULL_SIZE = Sizing()
