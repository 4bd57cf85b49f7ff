from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.model.published import write_folder
from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import (
    GenerationRequest,
    SamplingParams,
    TextPart,
    Turn,
    VideoLanguageModel,
    VideoPart,
    load_model,
)
from vreason_agent.model.source import bundled_folder

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small random model folder per published family."""
    root = tmp_path_factory.mktemp("models")
    return {name: write_folder(root / name, name) for name in FAMILIES}


@pytest.fixture(scope="session")
def models(folders: dict[str, Path]) -> dict[str, VideoLanguageModel]:
    return {name: load_model(folder, device="cpu") for name, folder in folders.items()}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, models: dict[str, VideoLanguageModel]) -> VideoLanguageModel:
    """Each published family in turn."""
    return models[request.param]


@pytest.fixture(scope="session")
def bundled() -> VideoLanguageModel:
    if not (bundled_folder() / "model.safetensors").is_file():
        pytest.skip("the bundled weights are not in this checkout: python -m vreason_agent.tiny.train makes them")
    return load_model("tiny", device="cpu")


def make_video(num_frames: int = 4, *, side: int = 64, step: float = 0.5, seed: int = 0) -> VideoPart:
    images = np.random.default_rng(seed).integers(0, 256, (num_frames, side, side, 3), dtype=np.uint8)
    return VideoPart(images, tuple(step * k for k in range(num_frames)))


def ask(
    question: str = "What happens?",
    video: VideoPart | None = None,
    *,
    schedule: str = "off",
    **sampling: object,
) -> GenerationRequest:
    parts = (video or make_video(), TextPart(question))
    params = SamplingParams(**{"max_new_tokens": 12, **sampling})  # type: ignore[arg-type]
    return GenerationRequest((Turn("user", parts),), params, VReasonConfig(schedule=schedule))  # type: ignore[arg-type]


@pytest.fixture
def clip(tmp_path: Path) -> str:
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (64, 48))
    for value in range(16):
        writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    writer.release()
    return path
