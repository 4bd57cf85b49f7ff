"""What one tool call may cost: set by the caller, advertised to the model, never an argument of a tool.

This module knows nothing about video or LangChain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import ConfigError, quote


@dataclass(frozen=True)
class ToolLimits:
    """Bounds of one tool call.

    With the defaults a call puts at most `8 * 100_000` JPEG bytes (1.1 MB as base64) into the conversation, and so into
    every checkpoint of it.

    Attributes:
        max_frames: Most images of one `sample_frames` or `zoom` call, at least 1. Higher shows more, for more context.
        max_sheet_frames: Most frames on one contact sheet, at least 1. Higher makes cells smaller; never more than fit
            with 64 px each.
        max_side_px: Longer side of every image in pixels, at least 64. Higher shows finer detail.
        max_image_bytes: Most bytes of one JPEG before base64, at least 4096. Larger images are compressed harder and
            then made smaller.
        max_asked_frames: Most frames that one `ask_segment` call shows the chat model it asks, at least 2.
        max_scanned_frames: Most frames that one `find_scenes` call compares, at least 2. Higher finds shorter shots in
            long ranges and takes longer.

    Raises:
        ConfigError: A limit is no integer or is below its minimum.
    """

    max_frames: int = 8
    max_sheet_frames: int = 24
    max_side_px: int = 640
    max_image_bytes: int = 100_000
    max_asked_frames: int = 16
    max_scanned_frames: int = 600

    _MINIMA: ClassVar[dict[str, int]] = {
        "max_frames": 1,
        "max_sheet_frames": 1,
        "max_side_px": 64,
        "max_image_bytes": 4096,
        "max_asked_frames": 2,
        "max_scanned_frames": 2,
    }

    def __post_init__(self) -> None:
        """Refuse limits under which no image could be returned."""
        for field, minimum in self._MINIMA.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
                msg = f"{field}={quote(value)} is not an integer of at least {minimum}: pass {field}={minimum} or more"
                raise ConfigError(msg)
