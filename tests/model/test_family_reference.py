"""Prompts and pixels of the families equal what transformers' own processors make of the same clips.

The record is made by `make_family_reference.py` where torchvision loads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.model.family_folders import write_family
from tests.model.make_family_reference import CLIPS, FAMILIES, QUESTION, TARGET, digest
from tests.model.reference_frames import make_frames
from vreason_agent.model import TextPart, Turn, VideoLanguageModel, VideoPart, families, register_family
from vreason_agent.model.families import InternVL, LlavaOneVision
from vreason_agent.model.families.smolvlm import number_in_words
from vreason_agent.model.loading import build_model
from vreason_agent.model.vision import preprocess_prompt

RECORD = json.loads(TARGET.read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A family with the prompt of its processor, which tells no time for two of them."""
    known = dict(families.registered_families())
    for plain in (InternVL(writes_times=False), LlavaOneVision(writes_times=False)):
        register_family(plain, replace=True)
    yield build_model(write_family(tmp_path_factory.mktemp("family") / "m", request.param), name="m", device="cpu")
    for family in known.values():
        register_family(family, replace=True)


@pytest.mark.parametrize("clip", CLIPS)
def test_prompt_and_pixels_equal_those_of_the_librarys_processor(model: VideoLanguageModel, clip: str) -> None:
    times, height, width = CLIPS[clip]
    turn = Turn("user", (VideoPart(make_frames(len(times), height, width), times), TextPart(QUESTION)))
    prompt = model.encoder.encode((turn,))
    recorded = RECORD[model.family.name][clip]
    expected = recorded["input_ids"]
    if model.family.name == "qwen3_5":
        expected = without_outer_block(expected, model)
    assert prompt.input_ids.tolist() == expected
    if model.family.needs_token_types:
        assert digest(prompt.token_types[None]) == recorded["tensors"]["mm_token_type_ids"]
    inputs = next(iter(preprocess_prompt(prompt, model.encoder).values()))
    for name, tensor in inputs.items():
        if (known := recorded["tensors"].get(name)) is None:
            continue
        if name == "video_grid_thw":  # one block for all pairs in the record, one for each pair here
            assert int(tensor[:, 0].sum()) == known["sample"][0]
            continue
        made = digest(tensor.reshape(known["shape"]))
        assert made["sample"] == known["sample"]
        assert made["sha256"] == known["sha256"]


def without_outer_block(ids: list[int], model: VideoLanguageModel) -> list[int]:
    """Undo the one known difference: this library version leaves a vision block around all of Qwen3.5's blocks."""
    config = model.hf_model.config
    start = ids.index(config.vision_start_token_id)
    end = len(ids) - 1 - ids[::-1].index(config.vision_end_token_id)
    assert ids[end - 1] == config.vision_end_token_id
    return [token for index, token in enumerate(ids) if index not in (start, end)]


def test_times_are_written_where_the_processor_writes_none() -> None:
    pairs = [(0.0, 0.0), (12.5, 12.5)]
    pieces = [piece for piece in InternVL().lay_out_video(pairs, None).pieces if isinstance(piece, str)]
    assert "".join(pieces) == "Frame1 (0.0 s): \nFrame2 (12.5 s): "
    told = LlavaOneVision().lay_out_video(pairs, None).pieces[1]
    assert told == "\nThe 2 frames were shown at 0.0, 12.5 seconds.\n"


def test_numbers_are_written_as_by_num2words() -> None:
    written = {8: "eight", 16: "sixteen", 20: "twenty", 64: "sixty-four", 100: "one hundred"}
    written |= {128: "one hundred and twenty-eight", 1000: "one thousand", 1024: "one thousand and twenty-four"}
    written |= {1128: "one thousand, one hundred and twenty-eight"}
    assert {number: number_in_words(number) for number in written} == written


def test_the_record_holds_every_family_and_clip() -> None:
    assert set(RECORD) == set(FAMILIES)
    assert all(set(clips) == set(CLIPS) for clips in RECORD.values())
    assert Path(TARGET).stat().st_size < 100_000
