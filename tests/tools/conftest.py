"""A clip whose frames say what they are: frame i is gray of level 20 + 5 i, with a red upper left quadrant."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tools.frames import FPS, HEIGHT, NUM_FRAMES, WIDTH, frame_level


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of 320x240 px at 10 per second: 4 seconds."""
    path = tmp_path_factory.mktemp("tools") / "secret-name.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for index in range(NUM_FRAMES):
        frame = np.full((HEIGHT, WIDTH, 3), frame_level(index), np.uint8)
        frame[: HEIGHT // 2, : WIDTH // 2] = (0, 0, 255)
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still image of 64x48 px."""
    path = tmp_path_factory.mktemp("tools") / "still.png"
    assert cv2.imwrite(str(path), np.full((48, 64, 3), 200, np.uint8))
    return path
