"""`contact_sheet` puts every frame in its cell, and pictures have bounded size whatever they show."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.tools.frames import decode, images_of, message, shown_index, tool_named
from vreason_agent.tools import ToolLimits
from vreason_agent.tools.contact_sheet import best_num_columns, draw_sheet
from vreason_agent.tools.image_blocks import encode_jpeg, fit, image_block


def test_one_image_holds_every_frame_in_reading_order(clip: Path) -> None:
    result = message(tool_named("contact_sheet", clip), num_frames=6)
    (sheet,) = images_of(result.content)
    num_columns = result.artifact["num_columns"]
    num_rows = -(-6 // num_columns)
    height, width = sheet.shape[0] // num_rows, sheet.shape[1] // num_columns
    cells = [
        sheet[row * height : (row + 1) * height - 20, column * width : (column + 1) * width - 4]
        for row in range(num_rows)
        for column in range(num_columns)
    ]
    assert result.artifact["frame_indices"] == [0, 6, 13, 20, 26, 33]
    assert [shown_index(cell) for cell in cells[:6]] == pytest.approx(result.artifact["frame_indices"], abs=1)


def test_the_words_give_the_times_in_the_same_order(clip: Path) -> None:
    blocks = message(tool_named("contact_sheet", clip), start_seconds=1, stop_seconds=3, num_frames=4).content
    assert [block["type"] for block in blocks] == ["text", "image"]
    assert blocks[0]["text"].endswith("2 per row, at 1.000, 1.500, 2.000, 2.500 s")


def test_any_sheet_fits_its_side() -> None:
    shapes = [(360, 640), (640, 360), (8, 640), (640, 8)]
    for num_frames, (height, width) in itertools.product([1, 2, 5, 24, 100], shapes):
        images = np.zeros((num_frames, height, width, 3), np.uint8)
        num_columns = best_num_columns(num_frames, width / height, max_side_px=640)
        sheet = draw_sheet(images, tuple(map(float, range(num_frames))), num_columns, max_side_px=640)
        assert max(sheet.shape) <= 640
        assert 1 <= num_columns <= num_frames


def test_labels_are_drawn_below_the_frames() -> None:
    sheet = draw_sheet(np.zeros((1, 100, 200, 3), np.uint8), (1.5,), 1, max_side_px=200)
    assert sheet[:95].max() == 0
    assert sheet[-18:].max() > 200


def test_columns_make_the_cells_large() -> None:
    for num_frames, aspect, expected in ((4, 16 / 9, 2), (16, 16 / 9, 4), (3, 9 / 16, 3), (1, 1, 1)):
        assert best_num_columns(num_frames, aspect, max_side_px=640) == expected


def test_cells_never_get_too_small_to_see(clip: Path) -> None:
    for max_side_px, max_frames in ((640, 24), (256, 16), (127, 1)):
        tool = tool_named("contact_sheet", clip, limits=ToolLimits(max_side_px=max_side_px))
        result = message(tool, num_frames=max_frames + 1)
        assert result.status == "error"
        assert f"Input should be less than or equal to {max_frames}" in result.content


def test_the_sheet_has_its_own_limit(clip: Path) -> None:
    limits = ToolLimits(max_frames=1, max_sheet_frames=12)
    assert len(message(tool_named("contact_sheet", clip, limits=limits), num_frames=12).artifact["frame_indices"]) == 12


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_fit_keeps_proportions_and_enlarges_up_to_the_factor_alone() -> None:
    for height, width, *expected in ((200, 400, 50, 100), (400, 200, 100, 50), (50, 80, 50, 80), (1, 900, 1, 100)):
        assert fit(noise(height, width), 100).shape[:2] == tuple(expected)
    assert fit(noise(10, 20), 1000, max_enlargement=4).shape[:2] == (40, 80)
    assert fit(noise(10, 20), 60, max_enlargement=4).shape[:2] == (30, 60)


def test_noise_is_compressed_to_the_bound() -> None:
    for max_bytes in (4096, 20_000, 100_000):
        assert max_bytes / 4 < len(encode_jpeg(noise(640, 640), max_bytes=max_bytes)) <= max_bytes


def test_an_image_within_the_bound_keeps_its_size_and_colors() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :, 0] = 250
    shown = decode(encode_jpeg(image, max_bytes=100_000))
    assert shown.shape == image.shape
    assert np.abs(shown.astype(int) - image).max() < 8


def test_the_same_image_gives_the_same_block() -> None:
    image = noise(32, 32)
    assert image_block(image, ToolLimits()) == image_block(image.copy(), ToolLimits())
