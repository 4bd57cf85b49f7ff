"""One capture, moved to frames by number; every landing of a seek is checked. Knows no times that were asked for."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import MAX_FAILED_GRABS, Capture
from vreason_agent.video.conversion import Repeats, first_picture
from vreason_agent.video.first_frame import FirstFrame
from vreason_agent.video.index import (
    MAX_SOUGHT_FRAMES,
    SEEK_SLACK_FRAMES,
    TIME_TOLERANCE_SECONDS,
    FrameIndex,
    seek_cost_frames,
    sought_frame,
)
from vreason_agent.video.source import Source
from vreason_agent.video.watch import OnStep, Watch, unwatched

NUM_COMPARED_FRAMES = 8  # another stream of the same size and codec differs from the packets within so many


class LandedElsewhere(Exception):
    """A seek or a step did not lead where the packets said."""


class Stepper:
    """Moves a capture to frames by number, and knows where it stands; a walked file is opened anew to go back.

    Attributes:
        index: The frames.
    """

    def __init__(self, source: Source, index: FrameIndex, first: FirstFrame | None = None) -> None:
        """Be ready to open the file, or take it over at its first frame.

        Args:
            source: The file.
            index: The frames; where `first` is given, what the packets claim.
            first: The first frame of the file that is taken over.
        """
        self.index, self._source, self._repeats = index, source, Repeats()
        self._is_open, self._num_compared, self._first_picture = first is not None, NUM_COMPARED_FRAMES, None
        if first is not None:
            self._capture, self._first_seconds, self._first_picture = first.capture, first.seconds, first.picture
            self._at, self._num_compared, self._is_converted = 0, 1, True

    def picture(self, target: int, on_step: OnStep = unwatched) -> Any:
        """Return frame `target`, `uint8 (height, width, 3)` in RGB, at full size.

        Args:
            target: Its number.
            on_step: Called with the number of each frame that is stepped to; what it raises leaves the file usable.

        Raises:
            LandedElsewhere: If the file is not what its packets say: walk it.
            VideoDecodeError: If the frame cannot be decoded, or OpenCV does not convert it.
        """
        first, self._first_picture = self._first_picture, None
        image = first if target == 0 and first is not None else self._retrieved(target, on_step)
        if image is None:
            raise VideoDecodeError(lost(self._source, target))
        if self.index.source == "packets":
            self._check_next()
        if self._repeats.begin(target, image) and self._steps_to(target) <= MAX_SOUGHT_FRAMES:
            with closing(Stepper(self._source, self.index)) as other:  # what a capture retrieves first tells
                other._retrieved(target, on_step, is_sought=self.index.can_jump)
        return image

    def confirm(self, watch: Watch, *, by_tables: bool = False) -> None:
        """See, where that is not known yet, that the first frames and the last are decoded at the packets' times.

        Edit lists and damage leave packets that are never shown, and another stream may be like the one that is read.

        Args:
            watch: Watches it.
            by_tables: Believe a container that proves its last frame to be shown, though that may be damaged. Without
                it that is believed only where the frame is far from its keyframe.

        Raises:
            LandedElsewhere: If they are not: walk the file.
            VideoError: If `watch` ends it.
        """
        index, last, self._first_picture = self.index, len(self.index.timestamps_seconds) - 1, None
        is_stepped = index.has_far_keyframes or not index.can_jump
        on_step = watch.telling(last + 1) if is_stepped else watch.checking()
        self._compare_first(last, on_step)
        is_believed = index.is_end_told and (by_tables or index.has_far_keyframes)
        if not (index.is_confirmed or is_believed):
            self._go(last, on_step, is_sought=index.can_jump)
            self._check_ended()
        is_confirmed = index.is_confirmed or index.has_far_keyframes or not is_believed
        self.index, self._num_compared = replace(index, is_confirmed=is_confirmed), NUM_COMPARED_FRAMES

    def close(self) -> None:
        """Release the capture."""
        if self._is_open:
            self._capture.close()
        self._is_open = False

    def _open(self) -> None:
        self._capture, self._is_converted, self._is_open = Capture(self._source), False, True
        self._at = -1
        self._advance()
        self._first_seconds = self._capture.position_seconds()

    def _steps_to(self, target: int) -> int:
        """Return how many frames are decoded on the way to one in a file that is just opened."""
        return seek_cost_frames(self.index.keyframes, target) if self.index.can_jump else target

    def _retrieved(self, target: int, on_step: OnStep, *, is_sought: bool = False) -> Any:
        """Go to a frame and retrieve it; a capture that nothing was retrieved from is asked whether it converts."""
        self._go(target, on_step, is_sought=is_sought)
        if self._is_converted:
            return self._capture.retrieve_rgb()

        @contextmanager
        def again() -> Iterator[Capture]:
            with closing(Stepper(self._source, self.index)) as other:
                other._go(target, on_step, is_sought=is_sought)
                yield other._capture

        image = first_picture(self._source.path, self._capture, again)
        self._is_converted = True
        return image

    def _go(self, target: int, on_step: OnStep, *, is_sought: bool = False) -> None:
        if not self._is_open:
            self._open()
        self._compare_first(target, on_step)
        if not (self.index.is_seekable or is_sought):
            if target < self._at:
                self._reopen()
        elif not 0 <= target - self._at <= seek_cost_frames(self.index.keyframes, target):
            self._approach(target)
        while self._at < target:
            self._step(on_step)
        if self._at != target or not self._is_as_scanned():
            raise LandedElsewhere

    def _compare_first(self, target: int, on_step: OnStep) -> None:
        """Step through the first frames, as far as they were not compared with their packets and a target is ahead."""
        while self._num_compared < NUM_COMPARED_FRAMES and self._at < target:
            self._step(on_step)

    def _step(self, on_step: OnStep) -> None:
        self._advance()
        if self._at == self._num_compared < NUM_COMPARED_FRAMES:
            if not self._is_as_scanned():
                raise LandedElsewhere
            self._num_compared += 1
        on_step(self._at)

    def _reopen(self) -> None:
        self.close()
        self._open()

    def _approach(self, target: int) -> None:
        """Jump near a frame; where a jump there would decode long, to the keyframe before, unless it is passed."""
        aim = max(0, target - SEEK_SLACK_FRAMES)
        begin = sought_frame(self.index, aim)
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
        return bisect.bisect_left(self.index.timestamps_seconds, self._seconds() - TIME_TOLERANCE_SECONDS)

    def _advance(self) -> None:
        for _ in range(MAX_FAILED_GRABS):
            if self._capture.grab():
                self._at += 1
                return
        if self.index.source == "packets":
            raise LandedElsewhere
        raise VideoDecodeError(lost(self._source, self._at + 1))

    def _check_next(self) -> None:
        """Check that no frame that no packet tells of is shown between this one and the next."""
        if self._at + 1 < len(self.index.timestamps_seconds):
            self._step(unwatched)
            if not self._is_as_scanned():
                raise LandedElsewhere

    def _check_ended(self) -> None:
        """Check that no frame that no packet tells of is shown behind the last one."""
        if self._capture.grab():
            raise LandedElsewhere

    def _seconds(self) -> float:
        return self._capture.position_seconds() - self._first_seconds

    def _is_as_scanned(self) -> bool:
        """Whether the packets gave this frame the time that it has; of a file whose frames were walked it is known."""
        return (
            self.index.source == "walk"
            or abs(self._seconds() - self.index.timestamps_seconds[self._at]) <= TIME_TOLERANCE_SECONDS
        )


def lost(source: Source, target: int) -> str:
    """Word that a frame cannot be decoded."""
    return (
        f"frame {target} of {source.path!r} cannot be decoded; ask for other times, or repair the file: "
        "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )
