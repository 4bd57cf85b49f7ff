"""One capture, moved to frames by number; every landing of a seek is checked. Knows no times that were asked for."""

from __future__ import annotations

from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import MAX_FAILED_GRABS, Capture
from vreason_agent.video.index import TIME_TOLERANCE_SECONDS, FrameIndex
from vreason_agent.video.source import Source

SEEK_MARGIN_FRAMES = 16  # a seek decodes from a keyframe at least so many frames before
SEEK_WORTH_FRAMES = 24  # nearer targets are cheaper to step to


class LandedElsewhere(Exception):
    """A seek did not lead where the packets said."""


class Stepper:
    """Moves a capture to frames by number, and knows where it stands; a walked file is opened anew to go back."""

    def __init__(self, source: Source, index: FrameIndex) -> None:
        self._source, self._index = source, index
        self._open()

    def picture(self, target: int) -> Any:
        """Return frame `target`, `uint8 (height, width, 3)` in RGB, at full size.

        Raises:
            LandedElsewhere: If the file is not what its packets say: walk it.
            VideoDecodeError: If the frame cannot be decoded.
        """
        self._go(target)
        image = self._capture.retrieve_rgb()
        if image is None:
            raise VideoDecodeError(lost(self._source, target))
        return image

    def close(self) -> None:
        """Release the capture."""
        self._capture.close()

    def _open(self) -> None:
        self._capture = Capture(self._source.path)
        self._at = -1
        self._advance()
        self._first_seconds = self._capture.position_seconds()

    def _go(self, target: int) -> None:
        if not self._index.is_seekable:
            if target < self._at:
                self.close()
                self._open()
        elif not 0 <= target - self._at <= SEEK_WORTH_FRAMES:
            if not (self._capture.seek(target) and self._capture.grab()):
                raise LandedElsewhere
            self._at = target
        while self._at < target:
            self._advance()
        if self._index.is_seekable:
            self._check(target)

    def _advance(self) -> None:
        for _ in range(MAX_FAILED_GRABS):
            if self._capture.grab():
                self._at += 1
                return
        if self._index.is_seekable:
            raise LandedElsewhere
        raise VideoDecodeError(lost(self._source, self._at + 1))

    def _check(self, target: int) -> None:
        there = self._capture.position_seconds() - self._first_seconds
        if abs(there - self._index.timestamps_seconds[target]) > TIME_TOLERANCE_SECONDS:
            raise LandedElsewhere


def lost(source: Source, target: int) -> str:
    """Word that a frame cannot be decoded."""
    return (
        f"frame {target} of {source.path!r} cannot be decoded; ask for other times, or repair the file: "
        "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )
