"""`zoom` shows the region that was asked for, at the source's detail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from langchain_core.tools import ToolException

from tests.frame_numbers import needs_frame_numbers
from tests.tools.frames import frame_level, images_of, message, tool_named
from vreason_agent.tools import Region, ToolLimits
from vreason_agent.tools.frame_requests import read_request
from vreason_agent.video import Frames

RED_QUADRANT = {"left": 0.0, "top": 0.0, "right": 0.5, "bottom": 0.5}


@needs_frame_numbers
def test_the_region_alone_is_shown(clip: Path) -> None:
    result = message(tool_named("zoom", clip), **RED_QUADRANT, timestamps_seconds=[1.0])
    assert result.content[0]["text"].startswith("Pixels 0 to 160 across and 0 to 120 down, of 320x240. 1 frame of")
    assert result.content[1]["text"] == "t = 1.000 s (frame 10)"
    (image,) = images_of(result.content)
    assert image.mean(axis=(0, 1)) == pytest.approx((255, 0, 0), abs=12)
    assert result.artifact["region_px"] == [0, 0, 160, 120]
    assert result.artifact["region"] == [0.0, 0.0, 0.5, 0.5]
    assert result.artifact["frame_indices"] == [10]


def test_a_range_shows_the_region_over_time(clip: Path) -> None:
    region = {"left": 0.5, "top": 0.5, "right": 1.0, "bottom": 1.0}
    result = message(tool_named("zoom", clip), **region, start_seconds=1.0, stop_seconds=3.0, num_frames=2)
    assert [image.mean() for image in images_of(result.content)] == pytest.approx(
        [frame_level(10), frame_level(20)], abs=3
    )


def test_a_small_region_is_enlarged_up_to_four_times(clip: Path) -> None:
    tool = tool_named("zoom", clip)
    (image,) = images_of(message(tool, left=0, top=0, right=0.1, bottom=0.1, timestamps_seconds=[0]).content)
    assert image.shape == (24 * 4, 32 * 4, 3)


def test_detail_that_sample_frames_cannot_show_is_visible(tmp_path: Path) -> None:
    path = tmp_path / "stripes.png"
    picture = np.zeros((512, 1024, 3), np.uint8)
    picture[:, ::2] = 255
    assert cv2.imwrite(str(path), picture)
    limits = ToolLimits(max_side_px=128)
    (whole,) = images_of(message(tool_named("sample_frames", path, limits=limits)).content)
    (part,) = images_of(
        message(tool_named("zoom", path, limits=limits), left=0.5, top=0.5, right=0.5625, bottom=0.625).content
    )
    assert whole.std() < 10
    assert part.std() > 60


def test_a_region_in_which_nothing_can_be_seen_is_refused(clip: Path) -> None:
    for left, top, right, bottom, remedy in (
        (0.5, 0.0, 0.5, 1.0, "right must be greater than left"),
        (0.0, 0.9, 1.0, 0.1, "bottom greater than top"),
        (0.0, 0.0, 0.01, 1.0, r"only 4x240 of 320x240 px: make it at least 16 px"),
    ):
        with pytest.raises(ToolException, match=remedy):
            message(tool_named("zoom", clip), left=left, top=top, right=right, bottom=bottom, timestamps_seconds=[0])
    pixels = message(tool_named("zoom", clip), left=10, top=10, right=200, bottom=100)
    assert pixels.status == "error"
    assert "right=200: Input should be less than or equal to 1" in pixels.content


def test_frames_are_read_no_larger_than_the_close_up_can_show(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int | None] = []

    def recorded(*args: Any, max_side_px: int | None) -> Frames:
        sizes.append(max_side_px)
        return read_request(*args, max_side_px=max_side_px)

    monkeypatch.setattr("vreason_agent.tools.zoom.read_request", recorded)
    tool = tool_named("zoom", clip, limits=ToolLimits(max_side_px=64))
    for edge in (1.0, 0.5, 0.1):
        message(tool, left=0, top=0, right=edge, bottom=edge, timestamps_seconds=[0])
    assert sizes == [64, 128, 320]


def test_a_region_is_rounded_outward_and_stays_inside() -> None:
    assert Region(0.1, 0.1, 0.999, 1.0).box_px(25, 25) == (2, 2, 25, 25)
