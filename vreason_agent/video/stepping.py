"""One capture, moved to frames by number; every landing of a seek is checked. Knows no times that were asked for."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import MAX_FAILED_GRABS, Capture
from vreason_agent.video.conversion import first_picture
from vreason_agent.video.index import SEEK_SLACK_FRAMES, TIME_TOLERANCE_SECONDS, FrameIndex, sought_frame
from vreason_agent.video.source import Source
from vreason_agent.video.watch import OnStep, unwatched


class LandedElsewhere(Exception):
    """A seek or a step did not lead where the packets said."""


class Stepper:
    """Moves a capture to frames by number, and knows where it stands; a walked file is opened anew to go back."""

    def __init__(self, source: Source, index: FrameIndex) -> None:
        self._source, self._index = source, index
        self._open()

    def picture(self, target: int, on_step: OnStep = unwatched) -> Any:
        """Return frame `target`, `uint8 (height, width, 3)` in RGB, at full size.

        Args:
            target: Its number.
            on_step: Called with the number of each frame that is stepped to; what it raises leaves the file usable.

        Raises:
            LandedElsewhere: If the file is not what its packets say: walk it.
            VideoDecodeError: If the frame cannot be decoded, or OpenCV does not convert it.
        """
        self._go(target, on_step)
        image = self._capture.retrieve_rgb() if self._is_converted else self._first_picture(target, on_step)
        if image is None:
            raise VideoDecodeError(lost(self._source, target))
        if self._index.source == "packets" and not self._index.is_seekable:
            self._check_next()
        return image

    def close(self) -> None:
        """Release the capture."""
        self._capture.close()

    def _open(self) -> None:
        self._capture, self._is_converted = Capture(self._source.path), False
        self._at = -1
        self._advance()
        self._first_seconds = self._capture.position_seconds()

    def _first_picture(self, target: int, on_step: OnStep) -> Any:
        """Retrieve from a capture that nothing was retrieved from, and see whether that is a picture."""

        @contextmanager
        def again() -> Iterator[Capture]:
            with closing(Stepper(self._source, self._index)) as other:
                other._go(target, on_step)
                yield other._capture

        image = first_picture(self._source.path, self._capture, again)
        self._is_converted = True
        return image

    def _go(self, target: int, on_step: OnStep) -> None:
        if not self._index.is_seekable:
            if target < self._at:
                self._reopen()
        elif not 0 <= target - self._at <= self._index.seek_worth_frames:
            self._approach(target)
        while self._at < target:
            self._advance()
            on_step(self._at)
        if self._at != target or not self._is_as_scanned():
            raise LandedElsewhere

    def _reopen(self) -> None:
        self.close()
        self._open()

    def _approach(self, target: int) -> None:
        """Jump near a frame; where a jump there would decode long, to the keyframe before, unless it is passed."""
        aim = max(0, target - SEEK_SLACK_FRAMES)
        begin = sought_frame(self._index, aim)
        if begin < aim and begin <= self._at <= target:
            return
        if begin == 0 < aim:
            self._reopen()
        else:
            self._at = self._jump(begin)

    def _jump(self, aim: int) -> int:
        """Seek, and return the number of the frame that it led to, told by its time."""
        if not (self._capture.seek(aim) and self._capture.grab()):
            raise LandedElsewhere
        return bisect.bisect_left(self._index.timestamps_seconds, self._seconds() - TIME_TOLERANCE_SECONDS)

    def _advance(self) -> None:
        for _ in range(MAX_FAILED_GRABS):
            if self._capture.grab():
                self._at += 1
                return
        if self._index.source == "packets":
            raise LandedElsewhere
        raise VideoDecodeError(lost(self._source, self._at + 1))

    def _check_next(self) -> None:
        """Check that no frame that no packet tells of is shown between this one and the next; a clock has no room."""
        if self._at + 1 < len(self._index.timestamps_seconds):
            self._advance()
            if not self._is_as_scanned():
                raise LandedElsewhere

    def _seconds(self) -> float:
        return self._capture.position_seconds() - self._first_seconds

    def _is_as_scanned(self) -> bool:
        """Whether the packets gave this frame the time that it has; of a file whose frames were walked it is known."""
        return (
            self._index.source == "walk"
            or abs(self._seconds() - self._index.timestamps_seconds[self._at]) <= TIME_TOLERANCE_SECONDS
        )


def lost(source: Source, target: int) -> str:
    """Word that a frame cannot be decoded."""
    return (
        f"frame {target} of {source.path!r} cannot be decoded; ask for other times, or repair the file: "
        "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )
