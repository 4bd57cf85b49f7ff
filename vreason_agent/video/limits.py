"""What a video may cost before its first frame is decoded. Knows no file and no decoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds that a request cannot raise; larger values admit larger files.

    Attributes:
        max_bytes: Size of a file.
        max_pixels: Width times height of a frame.
        max_walked_frames: Frames that are stepped through where a file has to be walked.
        max_frames: Frames that one read returns; all are in memory at once.
        max_seconds: Length of a video.
    """

    max_bytes: int = 16 * 2**30
    max_pixels: int = 7680 * 4320
    max_walked_frames: int = 1_000_000
    max_frames: int = 4096
    max_seconds: float = 24 * 3600.0


DEFAULT_LIMITS = Limits()
