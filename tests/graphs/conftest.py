from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An 8 s clip of 64 frames of random noise."""
    path = tmp_path_factory.mktemp("clips") / "noise.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (32, 32))
    generator = np.random.default_rng(0)
    for _ in range(64):
        writer.write(generator.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    writer.release()
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.zeros((32, 32, 3), dtype=np.uint8))
    return path
