"""In the precision that people use, trained weights in a batch write what they write alone (method, point 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import GenerationRequest, SamplingParams, TextPart, Turn, VideoLanguageModel, VideoPart
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip
from vreason_agent.video import pairs_plan, probe, read_frames

NUM_FRAMES = (2, 4, 8, 4, 2, 8)
TOLERANCE_NATS = 1e-4
"""Fifty times what rounding came to on the CPU this was tried on, 2e-6; a row that saw another's frames is off by 0.01
and more."""


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> list[Turn]:
    """Questions about six clips, of 2 to 8 frames each: rows of different lengths."""
    return [asked(tmp_path_factory.mktemp("clips") / "clip.mp4", *row) for row in enumerate(NUM_FRAMES)]


def asked(path: Path, seed: int, num_frames: int) -> Turn:
    clip = make_clip(seed)
    write_clip(path, clip)
    duration = probe(path).duration_seconds
    assert duration is not None
    frames = read_frames(path, pairs_plan(0.0, duration, num_frames=num_frames).timestamps_seconds)
    return Turn("user", (VideoPart(frames.images, frames.timestamps_seconds), TextPart(clip.questions[0].question)))


@pytest.mark.parametrize(
    "fields",
    [{}, {"apply_to": "current"}, {"learning_rate": 0.2, "num_optim_steps": 2}, {"schedule": "off"}],
    ids=["next", "current", "strong", "off"],
)
def test_a_batch_in_float32_writes_what_each_row_writes_alone(
    bundled: VideoLanguageModel, turns: list[Turn], fields: dict[str, Any]
) -> None:
    assert bundled.dtype == torch.float32
    config = VReasonConfig(**fields)
    requests = [GenerationRequest((turn,), SamplingParams(max_new_tokens=256), config) for turn in turns]
    together = bundled.generate(requests)
    alone = [bundled.generate([request])[0] for request in requests]
    assert [answer.token_ids for answer in together] == [answer.token_ids for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.trace.entropy == pytest.approx(other.trace.entropy, abs=TOLERANCE_NATS)
        assert one.trace.switch == other.trace.switch
        assert one.trace.num_updates == 0 if fields.get("schedule") == "off" else one.trace.num_updates > 0
