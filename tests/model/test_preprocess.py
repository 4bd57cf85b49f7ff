from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.model.reference_frames import CASES, Case, make_frames, sample_indices, settings_of
from vreason_agent.errors import ConfigError
from vreason_agent.model.preprocess import VisionInput, frame_resize, patchify, preprocess_frames
from vreason_agent.model.vision_settings import PixelBudget, VisionSettings, fit_frames, smart_resize

RECORD = json.loads((Path(__file__).parent / "data" / "reference.json").read_text())
MEAN, STD = (0.5, 0.4, 0.3), (0.3, 0.2, 0.25)
SMALL = VisionSettings(patch_size=2, merge_size=2, image_mean=MEAN, image_std=STD)
ANY_SIZE = PixelBudget(16, 1 << 20)


def run(case: Case) -> tuple[np.ndarray, VisionInput]:
    frames = make_frames(case.num_frames, case.height, case.width)
    cut = settings_of(case.processor)
    vision = VisionSettings(
        patch_size=cut["patch_size"],
        image_mean=tuple(cut["image_mean"]),
        image_std=tuple(cut["image_std"]),
    )
    return frames, preprocess_frames(frames, vision, PixelBudget(*case.pixels))


@pytest.mark.parametrize("name", CASES)
def test_patches_equal_what_the_librarys_processor_made(name: str) -> None:
    frames, result = run(CASES[name])
    recorded = RECORD["cases"][name]
    values = result.pixel_values.numpy()
    assert hashlib.sha256(frames.tobytes()).hexdigest() == recorded["frames_sha256"]
    assert list(result.grid_thw) == recorded["grid"]
    np.testing.assert_array_equal(
        values.reshape(-1)[sample_indices(values.size)], np.asarray(recorded["sample"], dtype=np.float32)
    )
    assert hashlib.sha256(values.astype("<f4").tobytes()).hexdigest() == recorded["sha256"]


@pytest.mark.parametrize(
    ("height", "width", "has_gain"),
    [(480, 640, True), (97, 203, True), (8, 900, True), (64, 64, False), (20, 30, False), (4, 800, False)],
    ids=["large", "odd", "wide", "as large as allowed", "small", "so wide that it would be resized twice"],
)
def test_frames_resized_one_by_one_give_the_same_patches(height: int, width: int, has_gain: bool) -> None:
    frames, budget = make_frames(5, height, width), PixelBudget(16, 4096, 5 * 1000 if width == 800 else None)
    resize = frame_resize(height, width, lambda h, w: fit_frames(5, h, w, SMALL, budget))
    assert (resize is not None) == has_gain
    resized = frames if resize is None else np.stack([resize(frame) for frame in frames])
    expected, result = preprocess_frames(frames, SMALL, budget), preprocess_frames(resized, SMALL, budget)
    assert torch.equal(result.pixel_values, expected.pixel_values)
    assert result.grid_thw == expected.grid_thw


def test_a_frame_of_another_size_is_left_alone() -> None:
    resize = frame_resize(480, 640, lambda h, w: fit_frames(2, h, w, SMALL, PixelBudget(16 * 16, 64 * 64)))
    frame = np.zeros((240, 320, 3), np.uint8)
    assert resize is not None
    assert resize(frame) is frame


def test_patches_are_what_a_loop_over_blocks_cuts() -> None:
    frames = torch.arange(2 * 3 * 8 * 12, dtype=torch.float32).reshape(2, 3, 8, 12)
    patches, grid = patchify(frames, SMALL)
    expected = [
        frames[:, :, y : y + 2, x : x + 2].permute(1, 0, 2, 3).reshape(-1)  # channel, frame, y, x
        for block_y in range(0, 8, 4)
        for block_x in range(0, 12, 4)
        for y in (block_y, block_y + 2)
        for x in (block_x, block_x + 2)
    ]
    assert grid == (1, 4, 6)
    torch.testing.assert_close(patches, torch.stack(expected), rtol=0, atol=0)


def test_an_odd_last_frame_is_repeated() -> None:
    frames = make_frames(3, 8, 8)
    repeated = np.concatenate([frames, frames[-1:]])
    odd, even = (preprocess_frames(f, SMALL, ANY_SIZE) for f in (frames, repeated))
    assert odd.grid_thw == even.grid_thw == (2, 4, 4)
    assert torch.equal(odd.pixel_values, even.pixel_values)


def test_pixels_are_rescaled_and_normalized_per_channel() -> None:
    frames = np.full((2, 4, 4, 3), (0, 51, 255), dtype=np.uint8)
    patch = preprocess_frames(frames, SMALL, ANY_SIZE).pixel_values[0].reshape(3, 2, 2, 2)
    expected = [(value - mean) / std for value, mean, std in zip((0.0, 0.2, 1.0), MEAN, STD, strict=True)]
    torch.testing.assert_close(patch.mean(dim=(1, 2, 3)), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_the_callers_frames_are_left_as_they_are() -> None:
    frames = make_frames(2, 28, 28)
    before = frames.copy()
    frames.setflags(write=False)
    preprocess_frames(frames, VisionSettings(), PixelBudget(784, 784))
    assert np.array_equal(frames, before)


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([28, 32]), st.integers(4, 40), st.integers(41, 2000))
def test_a_resized_frame_has_whole_tokens_within_the_budget(
    height: int, width: int, factor: int, low: int, high: int
) -> None:
    if max(height, width) > 200 * min(height, width):
        return
    low_px, high_px = low * factor**2, high * factor**2
    new_height, new_width = smart_resize(height, width, factor=factor, min_pixels=low_px, max_pixels=high_px)
    assert new_height % factor == new_width % factor == 0
    is_shrunk = round(height / factor) * round(width / factor) * factor**2 > high_px
    is_one_token_wide = factor in (new_height, new_width)
    # Shrinking rounds down, below a smallest size that lies close to the largest.
    assert new_height * new_width >= low_px or is_shrunk
    assert new_height * new_width <= high_px or is_one_token_wide or not is_shrunk


def test_the_total_limit_shrinks_each_frame_but_not_below_the_smallest_size() -> None:
    budget = PixelBudget(min_pixels=1000, max_pixels=50_000, max_total_pixels=60_000)
    assert budget.frame_max_pixels(2) == 50_000
    assert budget.frame_max_pixels(6) == 20_000
    assert budget.frame_max_pixels(1000) == 1050


def test_the_cost_is_known_without_touching_a_pixel() -> None:
    settings, budget = VisionSettings(), PixelBudget(3136, 50_176)
    fit = fit_frames(5, 120, 200, settings, budget)
    done = preprocess_frames(make_frames(5, 120, 200), settings, budget)
    assert (fit.grid_thw, fit.num_tokens, fit.height_px, fit.width_px) == (
        done.grid_thw,
        done.num_tokens,
        done.height_px,
        done.width_px,
    )
    assert done.pixel_values.shape == (math.prod(done.grid_thw), settings.patch_dim)
    assert done.num_tokens == math.prod(done.grid_thw) // 4


@pytest.mark.parametrize(("height", "width"), [(3, 700), (1280, 2)])
def test_an_elongated_frame_is_refused_with_what_to_do(height: int, width: int) -> None:
    frames = np.zeros((1, height, width, 3), dtype=np.uint8)
    with pytest.raises(ConfigError, match=rf"{width} x {height} px: .* crop or pad the picture first"):
        preprocess_frames(frames, VisionSettings(), PixelBudget(784, 7840))


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 8, 8, 3), dtype=np.float32),
        np.zeros((8, 8, 3), dtype=np.uint8),
        np.zeros((2, 8, 8, 4), dtype=np.uint8),
        np.zeros((0, 8, 8, 3), dtype=np.uint8),
    ],
)
def test_frames_of_another_form_are_refused_with_what_to_do(frames: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"convert with np\.asarray\(frames, dtype=np\.uint8\)"):
        preprocess_frames(frames, VisionSettings(), PixelBudget(784, 7840))


def test_a_budget_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pass PixelBudget\(min_pixels=3136"):
        PixelBudget(min_pixels=100, max_pixels=50)
    with pytest.raises(ConfigError, match="pass None for no limit"):
        PixelBudget(min_pixels=1, max_pixels=50, max_total_pixels=0)
