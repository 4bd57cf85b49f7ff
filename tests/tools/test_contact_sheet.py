"""`contact_sheet` puts every frame in its cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tools.frames import images_of, message, shown_index, tool_named
from vreason_agent.tools import ToolLimits
from vreason_agent.tools.contact_sheet import best_num_columns, draw_sheet


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


@pytest.mark.parametrize("num_frames", [1, 2, 5, 24, 100])
@pytest.mark.parametrize("shape", [(360, 640), (640, 360), (8, 640), (640, 8)])
def test_any_sheet_fits_its_side(num_frames: int, shape: tuple[int, int]) -> None:
    images = np.zeros((num_frames, *shape, 3), np.uint8)
    num_columns = best_num_columns(num_frames, shape[1] / shape[0], max_side_px=640)
    sheet = draw_sheet(images, tuple(map(float, range(num_frames))), num_columns, max_side_px=640)
    assert max(sheet.shape) <= 640
    assert 1 <= num_columns <= num_frames


def test_labels_are_drawn_below_the_frames() -> None:
    sheet = draw_sheet(np.zeros((1, 100, 200, 3), np.uint8), (1.5,), 1, max_side_px=200)
    assert sheet[:95].max() == 0
    assert sheet[-18:].max() > 200


@pytest.mark.parametrize(
    ("num_frames", "aspect", "expected"), [(4, 16 / 9, 2), (16, 16 / 9, 4), (3, 9 / 16, 3), (1, 1, 1)]
)
def test_columns_make_the_cells_large(num_frames: int, aspect: float, expected: int) -> None:
    assert best_num_columns(num_frames, aspect, max_side_px=640) == expected


@pytest.mark.parametrize(("max_side_px", "max_frames"), [(640, 24), (256, 16), (127, 1)])
def test_cells_never_get_too_small_to_see(clip: Path, max_side_px: int, max_frames: int) -> None:
    tool = tool_named("contact_sheet", clip, limits=ToolLimits(max_side_px=max_side_px))
    result = message(tool, num_frames=max_frames + 1)
    assert result.status == "error"
    assert f"Input should be less than or equal to {max_frames}" in result.content


def test_the_sheet_has_its_own_limit(clip: Path) -> None:
    limits = ToolLimits(max_frames=1, max_sheet_frames=12)
    assert len(message(tool_named("contact_sheet", clip, limits=limits), num_frames=12).artifact["frame_indices"]) == 12
