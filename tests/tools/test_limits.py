"""Limits are the caller's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool

from tests.tools.frames import EXAMPLES, images_of, message, tool_named
from vreason_agent.errors import ConfigError
from vreason_agent.tools import ToolLimits


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_frames", 0),
        ("max_frames", 2.5),
        ("max_frames", True),
        ("max_sheet_frames", 0),
        ("max_side_px", 63),
        ("max_image_bytes", 4095),
        ("max_asked_frames", 1),
        ("max_scanned_frames", 1),
    ],
)
def test_a_limit_below_its_minimum_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{field}=.* pass {field}=\d+ or more"):
        ToolLimits(**{field: value})


@pytest.mark.parametrize(
    ("name", "limit"), [("sample_frames", 3), ("zoom", 3), ("contact_sheet", 5), ("ask_segment", 4)]
)
def test_the_model_is_told_the_limit(clip: Path, name: str, limit: int) -> None:
    tool = tool_named(name, clip, limits=ToolLimits(max_frames=3, max_sheet_frames=5, max_asked_frames=4))
    properties = convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
    assert properties["num_frames"]["maximum"] == limit
    assert properties["num_frames"]["default"] <= limit
    assert f"At most {limit}" in properties["num_frames"]["description"]


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("sample_frames", {"num_frames": 4}),
        ("sample_frames", {"timestamps_seconds": [0, 1, 2, 3]}),
        ("zoom", {"left": 0, "top": 0, "right": 1, "bottom": 1, "num_frames": 4}),
        ("contact_sheet", {"num_frames": 6}),
    ],
)
def test_more_than_the_limit_is_an_error_that_says_how_to_go_on(clip: Path, name: str, args: dict[str, Any]) -> None:
    result = message(tool_named(name, clip, limits=ToolLimits(max_frames=3, max_sheet_frames=5)), **args)
    assert result.status == "error"
    assert f"call {name} again. If it is too much for one call, make several" in result.content


def test_images_stay_within_the_callers_size(clip: Path) -> None:
    limits = ToolLimits(max_side_px=100, max_image_bytes=4096)
    for name in ("contact_sheet", "sample_frames", "zoom"):
        content = message(tool_named(name, clip, limits=limits), **EXAMPLES[name]).content
        assert [max(image.shape) <= 100 for image in images_of(content)] == [True] * len(images_of(content))
        assert all(len(block["base64"]) <= 4096 * 4 / 3 + 4 for block in content if block["type"] == "image")
        assert images_of(content)
