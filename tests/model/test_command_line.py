"""Folders in the published layout, loaded and asked through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.model.published import config_of, write_folder
from vreason_agent.cli import main

ANSWERED_OR_ABSTAINED = (0, 3)


@pytest.fixture
def clip(tmp_path: Path) -> str:
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (64, 48))
    for value in range(16):
        writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    writer.release()
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("family", "layout"),
    [
        ("qwen2_5_vl", {"template": "old", "preprocessor": "old", "num_shards": 3}),
        pytest.param("qwen2_vl", {"template": "tokenizer", "preprocessor": "old"}, marks=pytest.mark.slow),
        pytest.param("qwen3_vl", {"template": "new", "preprocessor": "new", "num_shards": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_published_folder_is_asked_through_the_command_line(
    family: str, layout: dict[str, Any], clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(family)
    config["text_config"]["max_position_embeddings"] = 448  # a short context keeps random babble short
    folder = write_folder(tmp_path / family, family, config=config, **layout)
    code = main(["ask", clip, "Which color?", "--model", str(folder), "--frames", "2", "--max-frames", "2", "--json"])
    out = json.loads(capsys.readouterr().out)
    assert code in ANSWERED_OR_ABSTAINED
    assert str(folder) in json.dumps(out["model"])
    assert out["usage"]
