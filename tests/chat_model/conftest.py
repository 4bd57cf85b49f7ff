from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.chat_model.fakes import FakeEngine


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine that `ChatVReason` finds in place of every model; its `loads` are the arguments it was asked for by."""
    fake = FakeEngine()

    def load_model(*args: Any, **kwargs: Any) -> FakeEngine:
        fake.loads.append((args, kwargs))
        return fake

    monkeypatch.setattr("vreason_agent.chat.model.load_model", load_model)
    return fake


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An 8 s clip of 64 frames; frame k has the gray level 3 k."""
    path = tmp_path_factory.mktemp("clips") / "gray ramp.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (32, 32))
    for frame in range(64):
        writer.write(np.full((32, 32, 3), 3 * frame, dtype=np.uint8))
    writer.release()
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((32, 48, 3), (0, 0, 255), dtype=np.uint8))
    return path
