"""Claims about training targets: they state what sampled frames show, in tokens placed as the model counts them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

from vreason_agent.tiny.batches import (
    CHANGE_WEIGHT,
    DERIVATION_WEIGHT,
    GRID,
    MATCH_WEIGHT,
    prompt_text,
    rope_positions,
    token_row,
)
from vreason_agent.tiny.build import MICRO, Size, build_model, load_tokenizer
from vreason_agent.tiny.pixels import patchify, see_pairs
from vreason_agent.tiny.questions import NOT_SHOWN
from vreason_agent.tiny.samples import make_sample, pair_frames, scramble
from vreason_agent.tiny.scene import COLORS, SHAPES, views_at
from vreason_agent.tiny.tokenizer import save_tokenizer
from vreason_agent.tiny.world import make_clip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """The tokenizer from a folder."""
    folder = Path(tmp_path_factory.mktemp("tokenizer"))
    save_tokenizer(folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
    """A small model with random weights."""
    return build_model(tokenizer, MICRO).eval()


def test_rungs_keep_the_pairs_of_the_rung_before() -> None:
    scene = make_clip(1, "dev").scene
    rungs = [pair_frames(scene, n) for n in (2, 4, 8, 16)]
    pairs = [{rung[i : i + 2] for i in range(0, len(rung), 2)} for rung in rungs]
    assert all(a < b for a, b in pairwise(pairs))
    assert rungs[3] == tuple(range(0, scene.num_frames, scene.num_frames // 32))


def test_the_transcript_names_each_object_that_a_sampled_frame_shows_and_no_other() -> None:
    for seed in range(90):
        sample = make_sample(make_clip(seed, "dev"), 4)
        shown = {view.name for i in sample.frame_indices for view in views_at(sample.clip.scene, i)}
        words = re.sub(r"(?<=[a-z]) \d(?= )", "", sample.transcript).split()
        named = {" ".join(words[i : i + 2]) for i in range(len(words) - 1)}
        assert shown <= named
        assert all(name in shown for name in named if tuple(name.split()) in {tuple(v.split()) for v in shown})
        assert len(sample.transcript.splitlines()) == 4


@pytest.mark.parametrize(
    ("kind", "named"),
    [("shape", "{color} 1 {shape}"), ("color", "{color} {shape} 1"), ("direction", "{color} {shape} 1")],
)
def test_a_number_follows_the_word_asked_about(kind: str, named: str) -> None:
    samples = [make_sample(make_clip(seed, "dev", kind=kind), 16) for seed in range(9)]
    for sample in samples:
        seen = {view.name for pair in sample.pairs for views in pair for view in views}
        color, shape = next(
            name for name in seen if set(sample.question.subject["asked"].split()) <= set(name.split())
        ).split()
        assert sample.transcript.count(named.format(color=color, shape=shape)) == 1
        assert len(re.findall(r"[a-z] \d ", sample.transcript)) == 1


def test_the_target_is_what_the_frames_say_unless_it_tells_the_truth() -> None:
    missed = [
        c
        for c in (make_clip(s, "dev", kind="color") for s in range(60))
        if make_sample(c, 2).derivation.startswith("so no ")
    ]
    assert missed
    for clip in missed:
        says, options = make_sample(clip, 2).answer, clip.questions[0].options
        assert says == (NOT_SHOWN if not options or NOT_SHOWN in options else clip.questions[0].answer)
        assert make_sample(clip, 2, tells_truth=True).answer == clip.questions[0].answer


def test_tokens_of_the_parts_are_tokens_of_the_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    for seed in range(45):
        sample = make_sample(make_clip(seed, "dev"), 4)
        whole = prompt_text(sample.pair_labels, sample.question.text) + "<think>" + sample.transcript
        whole += sample.derivation + "</think><answer>" + sample.answer + "</answer><|im_end|>"
        row = token_row(tokenizer.backend_tokenizer, sample, is_blind=False)
        assert row.ids == tokenizer.encode(whole)
        assert tokenizer.decode(row.ids[row.answer]) == sample.answer
        assert all(weight > 0.9 for weight in row.weights[row.answer])


def test_lines_that_repeat_the_line_before_weigh_less(tokenizer: PreTrainedTokenizerFast) -> None:
    sample = make_sample(make_clip(5, "dev", kind="after"), 16)
    row = token_row(tokenizer.backend_tokenizer, sample, is_blind=False)
    shown = [line.partition(" ")[2] for line in sample.lines]
    repeats = [now == before for before, now in pairwise([None, *shown])]
    starts = [
        row.ids.index(tokenizer.encode(label)[0], row.ids.index(tokenizer.encode("<think>")[0]))
        for label in sample.pair_labels
    ]
    assert 0 < sum(repeats) < 15
    assert [row.weights[i] for i in starts] == [1.0 if repeat else CHANGE_WEIGHT for repeat in repeats]


@pytest.mark.parametrize(("kind", "asked_about"), [("shape", COLORS), ("color", SHAPES)])
def test_in_a_changed_line_the_token_that_decides_the_match_weighs_more(
    tokenizer: PreTrainedTokenizerFast, kind: str, asked_about: Sequence[str]
) -> None:
    sample = make_sample(make_clip(5, "dev", kind=kind), 16)
    row = token_row(tokenizer.backend_tokenizer, sample, is_blind=False)
    begin, num_decided = row.ids.index(tokenizer.encode("<think>")[0]) + 1, 0
    words = [str(tokenizer.decode([token])).strip() for token in row.ids]
    for before, weight in zip(words[begin:], row.weights[begin + 1 : row.answer.start - 8], strict=False):
        assert weight in (1.0, DERIVATION_WEIGHT, CHANGE_WEIGHT, CHANGE_WEIGHT * MATCH_WEIGHT)
        assert (weight == CHANGE_WEIGHT * MATCH_WEIGHT) <= (before in asked_about)
        num_decided += weight == CHANGE_WEIGHT * MATCH_WEIGHT
    assert num_decided > 0


def test_a_scrambled_sample_reads_the_pairs_dealt_to_it_and_concludes_nothing(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    samples = [make_sample(make_clip(seed, "dev", kind="color"), 4) for seed in (0, 9)]
    dealt = scramble(samples, [4, 0, 7, 1, 2, 3, 5, 6])
    assert dealt[0].pairs == (samples[1].pairs[0], samples[0].pairs[0], samples[1].pairs[3], samples[0].pairs[1])
    for sample in dealt:
        row = token_row(tokenizer.backend_tokenizer, sample, is_blind=False)
        assert str(tokenizer.decode(row.ids)).endswith("<think>" + sample.transcript)
        assert row.ids[row.answer] == []
        for line, (first, second) in zip(sample.lines, sample.pairs, strict=True):
            assert all(re.search(rf"{view.name}( \d)? {view.cell}", line) for view in first)
            assert all(view.name in line for view in second)


def test_positions_are_those_the_model_computes(
    tokenizer: PreTrainedTokenizerFast, model: Qwen2_5_VLForConditionalGeneration
) -> None:
    ids = tokenizer.encode(prompt_text(("0.0", "3.5", "7.0"), "What appears first?"))
    input_ids = torch.tensor([ids])
    kinds = torch.where(input_ids == model.config.video_token_id, 2, 0)
    grid = torch.tensor([[1, 2 * GRID, 2 * GRID]] * 3)
    expected, _ = model.model.get_rope_index(
        input_ids,
        mm_token_type_ids=kinds,
        video_grid_thw=grid,
        second_per_grid_ts=torch.ones(3),
        attention_mask=torch.ones_like(input_ids),
    )
    assert np.array_equal(expected[-3:, 0].numpy(), rope_positions(ids, model.config.video_token_id))


def test_the_fast_tower_equals_the_models_own(tokenizer: PreTrainedTokenizerFast) -> None:
    visual = build_model(tokenizer, Size(64, 1, 2, 1, 64, 64, 2, 2, 64)).model.visual.eval()
    frames = torch.randint(0, 255, (5, 2, 84, 84, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    patches = patchify(frames)
    with torch.no_grad():
        fast = see_pairs(visual, patches)
        own = visual(patches.flatten(0, 1), grid_thw=torch.tensor([[1, 6, 6]] * 5)).pooler_output
    assert torch.allclose(fast.flatten(0, 1), own, atol=1e-5)
