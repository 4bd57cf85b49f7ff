from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.conftest import ask, make_video
from tests.model.published import CHAT_TEMPLATE
from tests.model.reference_conversations import CONVERSATIONS, FRAME_PIXELS
from tests.model.reference_frames import make_frames
from vreason_agent.model import ImagePart, PixelBudget, TextPart, Turn, VideoLanguageModel, VideoPart
from vreason_agent.model.draft import EncodedPrompt, Span, mrope_positions
from vreason_agent.model.encoding import PromptEncoder, VisionSpec
from vreason_agent.model.engine import pad_left
from vreason_agent.model.families.base import temporal_steps

pytestmark = pytest.mark.filterwarnings("ignore::vreason_agent.model.engine.VideoTimeWarning")
RECORD = json.loads((Path(__file__).parent / "data" / "reference.json").read_text())
IMAGE = ImagePart(make_frames(1, 70, 100)[0])
CONTENTS: dict[str, tuple[Any, ...]] = {
    "text alone": (TextPart("Hello"),),
    "one video": (make_video(8), TextPart("What?")),
    "one frame": (make_video(1), TextPart("What?")),
    "an odd number of frames": (make_video(5), TextPart("What?")),
    "two videos": (make_video(4), TextPart("and"), make_video(6, step=1.5, seed=1), TextPart("Which?")),
    "images and a video": (IMAGE, TextPart("is it in"), make_video(6), IMAGE, TextPart("?")),
    "an image alone": (IMAGE, TextPart("What?")),
    "a long dense video": (make_video(40, step=0.1), TextPart("What?")),
}


def library_positions(
    model: VideoLanguageModel, prompt: EncodedPrompt, seconds: Sequence[float] | None
) -> torch.Tensor:
    """The library's own positions, `(3, num_tokens)`, from a grid for every vision block of the prompt."""
    config = model.hf_model.config
    types = torch.zeros_like(prompt.input_ids)
    types[prompt.input_ids == config.image_token_id] = 1
    types[prompt.input_ids == config.video_token_id] = 2
    time = {} if seconds is None else {"second_per_grid_ts": list(seconds)}
    positions, _ = model.hf_model.model.get_rope_index(
        prompt.input_ids[None],
        types[None],
        image_grid_thw=torch.tensor(prompt.grids("image")) if prompt.grids("image") else None,
        video_grid_thw=torch.tensor(prompt.grids("video")) if prompt.grids("video") else None,
        **time,
    )
    return positions[:, 0]


@pytest.mark.parametrize("content", CONTENTS)
def test_positions_equal_the_librarys(model: VideoLanguageModel, content: str) -> None:
    prompt = model.encoder.encode((Turn("user", CONTENTS[content]),))
    steps = [part for part in CONTENTS[content] if isinstance(part, VideoPart)]
    seconds = None
    if model.family.name == "qwen2_5_vl":
        seconds = [2 * (v.timestamps_seconds[1] if len(v.timestamps_seconds) > 1 else 0.5) for v in steps]
    assert torch.equal(prompt.position_ids, library_positions(model, prompt, seconds))


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen2_5_vl dense", "qwen2_5_vl odd"])
def test_positions_equal_the_librarys_for_its_processors_own_seconds(
    name: str, models: dict[str, VideoLanguageModel]
) -> None:
    model, conversation = models["qwen2_5_vl"], CONVERSATIONS[name]
    parts = (VideoPart(make_frames(len(conversation.times), 60, 90), conversation.times), TextPart(conversation.text))
    prompt = model.encoder.encode((Turn("user", parts),))
    seconds = RECORD["conversations"][name]["second_per_grid_ts"]
    assert torch.equal(prompt.position_ids, library_positions(model, prompt, seconds))


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_prompt_tokens_equal_the_librarys_processor(name: str, models: dict[str, VideoLanguageModel]) -> None:
    conversation, recorded = CONVERSATIONS[name], RECORD["conversations"][name]
    model = models[conversation.model_type]
    video = VideoPart(make_frames(len(conversation.times), 60, 90), conversation.times)
    image = (ImagePart(make_frames(1, 70, 70)[0]),) if conversation.has_image else ()
    prompt = encoder_at(model, PixelBudget(*FRAME_PIXELS)).encode(
        (Turn("user", (*image, video, TextPart(conversation.text))),)
    )
    expected = recorded["input_ids"]
    if conversation.model_type == "qwen3_vl":
        expected = without_outer_block(expected, model)
    assert prompt.input_ids.tolist() == expected
    assert np.asarray(prompt.grids("video")).sum(axis=0)[0] == recorded["video_grid_thw"][0][0]


def encoder_at(model: VideoLanguageModel, budget: PixelBudget) -> PromptEncoder:
    """The model's encoder with the pixel limits of the record."""
    return PromptEncoder(
        model.tokenizer,
        {"default": CHAT_TEMPLATE},
        model.family,
        model.hf_model.config,
        video=VisionSpec(model.encoder.video.settings, budget),
        image=VisionSpec(model.encoder.image.settings, budget),
        source="test",
        template_file="chat_template.jinja",
    )


def without_outer_block(ids: list[int], model: VideoLanguageModel) -> list[int]:
    """Undo the one known difference: this library version leaves a vision block around all of Qwen3-VL's blocks."""
    start, end = model.hf_model.config.vision_start_token_id, model.hf_model.config.vision_end_token_id
    outer_start = next(i for i, token in enumerate(ids) if token == start and ids[i + 1] < 256)
    outer_end = next(i for i, token in enumerate(ids) if token == end and ids[i - 1] == end)
    return [token for i, token in enumerate(ids) if i not in (outer_start, outer_end)]


def test_generated_tokens_go_on_after_the_last_position_of_the_prompt(model: VideoLanguageModel) -> None:
    seen: list[torch.Tensor] = []

    def watch(module: object, args: object, kwargs: dict[str, Any]) -> None:
        seen.append(kwargs["position_ids"])

    request = replace(ask(video=make_video(40, step=0.5), max_new_tokens=3), reuse=False)
    prompt = model.encoder.encode(request.turns)
    with model.hf_model.register_forward_pre_hook(watch, with_kwargs=True):
        model.generate([request])
    last = int(prompt.position_ids[0, -1])
    assert torch.equal(seen[0][:, 0], prompt.position_ids)
    assert [int(position.unique()) for position in seen[1:]] == [last + 1, last + 2]


def test_temporal_positions_are_truncated_after_multiplying() -> None:
    assert temporal_steps(5, 0.5).tolist() == [0, 0, 1, 1, 2]
    assert temporal_steps(4, 1.5).tolist() == [0, 1, 3, 4]


def test_a_prompt_without_tokens_has_no_positions() -> None:
    assert mrope_positions([]).shape == (3, 0)


def test_text_goes_on_after_the_larger_side_of_a_segment() -> None:
    positions = mrope_positions([Span(2), Span(12, (2, 2, 3)), Span(1)])
    assert positions[:, :2].tolist() == [[0, 1]] * 3
    assert positions[0, 2:14].tolist() == [2] * 6 + [3] * 6
    assert positions[1, 2:8].tolist() == [2, 2, 2, 3, 3, 3]
    assert positions[2, 2:8].tolist() == [2, 3, 4, 2, 3, 4]
    assert positions[:, 14].tolist() == [5, 5, 5]


def test_padding_goes_to_the_left() -> None:
    padded = pad_left([torch.tensor([1, 2, 3]), torch.tensor([4])], 9)
    assert padded.tolist() == [[1, 2, 3], [9, 9, 4]]
