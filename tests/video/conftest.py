"""Clips with known pictures: each frame's brightness is its number, so that a wrong frame is seen at once."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import Capture

WIDTH, HEIGHT = 64, 48


def numbered(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a BGR picture whose left half is bright by the frame's number modulo 16 and right half by its quotient."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = 8 + 15 * (index % 16)
    picture[:, width // 2 :] = 8 + 15 * (index // 16 % 16)
    return picture


def number_of(image: np.ndarray) -> int:
    """Return the number that `numbered` drew."""
    width = image.shape[1]
    low, high = image[:, 4 : width // 2 - 4].mean(), image[:, width // 2 + 4 : -4].mean()
    return int(round((low - 8) / 15) + 16 * round((high - 8) / 15))


@pytest.fixture
def write_opencv(tmp_path: Path) -> Callable[..., Path]:
    """Write a clip with OpenCV's writer."""

    def write(
        name: str, *, num_frames: int = 60, fps: float = 25.0, fourcc: str = "mp4v", size=(WIDTH, HEIGHT)
    ) -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), fps, size)
        for index in range(num_frames):
            writer.write(numbered(index, width=size[0], height=size[1]))
        writer.release()
        return path

    return write


@pytest.fixture
def write_av(tmp_path: Path) -> Callable[..., Path]:
    """Write a clip with PyAV at given presentation times (milliseconds), with B-frames or other options on request."""

    def write(
        name: str,
        times_ms: list[int],
        *,
        codec: str = "mpeg4",
        pix_fmt: str = "yuv420p",
        picture: Callable[[int], np.ndarray] = numbered,
        **options: str,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
            stream.codec_context.time_base = Fraction(1, 1000)
            for index, time_ms in enumerate(times_ms):
                frame = av.VideoFrame.from_ndarray(picture(index), format="bgr24")
                frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Record what reaches OpenCV, which opens nothing here."""
    paths: list[str] = []

    def refuse(self, source, *, packets=False):
        paths.append(source.path)
        raise VideoDecodeError("opened")

    monkeypatch.setattr(Capture, "__init__", refuse)
    return paths


def oracle_times(path: Path) -> list[float]:
    """Return every frame's presentation time from the first one's, as PyAV decodes them."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0) if frame.time is not None]
    return [time - times[0] for time in times]


def oracle_pictures(path: Path) -> list[np.ndarray]:
    """Return every frame of a full sequential read in RGB, over damaged places."""
    capture, pictures, num_failed = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), [], 0
    while num_failed < 64:
        is_there, image = capture.read()
        num_failed = 0 if is_there else num_failed + 1
        if is_there:
            pictures.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    capture.release()
    return pictures
