"""The example of docs/own-model.md, as it stands there: a family written by a user loads a folder and answers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from vreason_agent.model import GenerationRequest, SamplingParams, TextPart, Turn, VideoPart, families, load_model
from vreason_agent.model.source import bundled_folder

PAGE = Path(__file__).parents[2] / "docs" / "own-model.md"


def test_a_family_that_a_user_registers_lays_out_the_prompt_of_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "_families", dict(families.registered_families()))
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    exec(example[1], {"__name__": "example"})
    folder = tmp_path / "model"
    shutil.copytree(bundled_folder(), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vreason_family": "numbered_pairs"}))
    model = load_model(str(folder), device="cpu")
    assert model.family.time_route == "text: the number of each frame pair"
    video = VideoPart(np.zeros((4, 84, 84, 3), np.uint8), (0.0, 0.1, 1.0, 1.1))
    turn = Turn("user", (video, TextPart("What appears first?")))
    (generation,) = model.generate([GenerationRequest((turn,), SamplingParams(max_new_tokens=4))])
    assert len(generation.token_ids) <= 4
    assert generation.video_tokens == 18
    (plain,) = load_model("tiny", device="cpu").generate([GenerationRequest((turn,), SamplingParams(max_new_tokens=4))])
    assert generation.prompt_tokens != plain.prompt_tokens
