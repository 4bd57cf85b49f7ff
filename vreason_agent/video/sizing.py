"""What becomes of a frame's size while it is read, so that full-size frames do not pile up. Knows no file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vreason_agent.errors import ConfigError
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
        """Return a full-size frame as it is wanted; raises as `resized` does."""
        return self.resized(fit_within(picture, self.max_side_px))

    def resized(self, picture: Picture) -> Picture:
        """Return what `resize` makes of a frame.

        Raises:
            ConfigError: If that is no picture.
        """
        if self.resize is None:
            return picture
        made = self.resize(picture)
        is_picture = isinstance(made, np.ndarray) and made.dtype == np.uint8 and made.ndim == 3 and made.size > 0
        if not is_picture or made.shape[2] != 3:
            what = f"{made.dtype} {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__
            msg = f"resize={self.resize!r} returned {what}; return each frame as uint8 of shape (height, width, 3)"
            raise ConfigError(msg)
        return made


FULL_SIZE = Sizing()
