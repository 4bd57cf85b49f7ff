"""OpenCV behind one door: importing it, opening a file with it, stepping through frames and packets.

The only module of the package's reading path that names OpenCV's capture. Knows no plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.limits import Limits, check_pixels
from vreason_agent.video.opencv import quiet_cv2
from vreason_agent.video.pinned import pinned_name
from vreason_agent.video.source import Source

MAX_FAILED_GRABS = 64  # damaged streams go on after a few frames that cannot be decoded


class Capture:
    """An open video file; use as a context manager.

    Attributes:
        source: The file.
    """

    def __init__(self, source: Source, *, packets: bool = False) -> None:
        """Open a checked file.

        Args:
            source: The file; no other one is opened, whatever has come into its place.
            packets: Step through raw packets, which decodes nothing, instead of frames.

        Raises:
            VideoDecodeError: If no video stream can be opened, or the file has changed.
        """
        self.source = source
        # FFmpeg writes to the process's stderr, past Python; its own level is read at the first open.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        with quiet_cv2() as self._cv2, pinned_name(source) as name:
            parameters = [self._cv2.CAP_PROP_FORMAT, -1] if packets else []
            self._capture = self._cv2.VideoCapture(name, self._cv2.CAP_FFMPEG, parameters)
        if not self._capture.isOpened():
            self._capture.release()
            msg = (
                f"no video stream of {source.path!r} can be opened: the file is truncated, damaged or holds only "
                f"audio; try to repair it: ffmpeg -i {os.path.basename(source.path)} -c copy repaired.mp4"
            )
            raise VideoDecodeError(msg)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._capture.release()

    def get(self, name: str) -> float:
        """Return the capture property `CAP_PROP_<name>`."""
        return float(self._capture.get(getattr(self._cv2, f"CAP_PROP_{name}")))

    def size(self) -> tuple[int, int]:
        """Return width and height in pixels."""
        return int(self.get("FRAME_WIDTH")), int(self.get("FRAME_HEIGHT"))

    def check_size(self, limits: Limits) -> tuple[int, int]:
        """Return width and height in pixels.

        Raises:
            VideoTooLargeError: If they exceed `limits.max_pixels`.
        """
        width, height = self.size()
        check_pixels(repr(self.source.path), width, height, limits)
        return width, height

    def grab(self) -> bool:
        """Step to the next frame or packet without converting it."""
        try:
            return bool(self._capture.grab())
        except self._cv2.error:  # its text is native: memory addresses and paths stay out of messages
            return False

    def codec(self) -> str | None:
        """Return the FourCC of the stream, as a number where it cannot be printed; `None` where there is none."""
        code = int(self.get("FOURCC"))
        text = "".join(chr(code >> 8 * i & 0xFF) for i in range(4)).strip("\x00 ")
        return (text if text.isprintable() else f"0x{code:08x}") or None

    def position_seconds(self) -> float:
        """Return the presentation time of the frame or packet that was stepped to."""
        return float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000.0  # asked at every step

    def is_keyframe(self) -> bool:
        """Whether the packet that was stepped to can be decoded without those before it."""
        return bool(self._capture.get(self._cv2.CAP_PROP_LRF_HAS_KEY_FRAME))

    def steps(self) -> Iterator[float]:
        """Step to the end, over a few damaged places; yields each step's presentation time in seconds."""
        num_failed = 0
        while num_failed < MAX_FAILED_GRABS:
            if self.grab():
                num_failed = 0
                yield self.position_seconds()
            else:
                num_failed += 1

    def seek(self, frame_index: int) -> bool:
        """Jump so that the next `grab` gives that frame; containers lie, so check where it landed."""
        return bool(self._capture.set(self._cv2.CAP_PROP_POS_FRAMES, frame_index))

    def retrieve_rgb(self) -> Any:
        """Return the frame that was stepped to, `uint8 (height, width, 3)` in RGB, or `None` if it cannot be had."""
        try:
            is_there, image = self._capture.retrieve()
            return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB) if is_there and image is not None else None
        except self._cv2.error:
            return None
