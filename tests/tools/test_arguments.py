"""What a model may give: names and times within the caller's limits, never a path or a limit."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError

from tests.frame_numbers import needs_frame_numbers
from tests.tools.frames import EXAMPLES, all_tools, images_of, message, tool_named
from vreason_agent import ChatVReason
from vreason_agent.errors import ConfigError
from vreason_agent.tools import ToolLimits


def refused(tool: BaseTool, **args: Any) -> str:
    """What an agent is told about a call that it may not make."""
    result = message(tool, **{**EXAMPLES[tool.name], **args})
    assert result.status == "error"
    assert f"call {tool.name} again. If it is too much for one call, make several" in result.content
    return str(result.content)


def properties(tool: BaseTool) -> dict[str, Any]:
    """The arguments that a model is told about."""
    found: dict[str, Any] = convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
    return found


def test_there_is_no_argument_for_a_path_or_a_limit(clip: Path) -> None:
    for tool in all_tools(clip):
        for forbidden in ("path", "file", "files", "limits", "max_frames", "max_side_px"):
            assert forbidden not in properties(tool)
            assert f"there is no argument '{forbidden}': leave it out" in refused(tool, **{forbidden: "/etc/passwd"})
        assert "Input should be 'video'" in refused(tool, video=str(clip))


def test_several_videos_are_told_apart_by_name_and_one_must_be_named(clip: Path, still: Path) -> None:
    tool = tool_named("video_info", {"door": clip, "photo": still})
    assert properties(tool)["video"]["enum"] == ["door", "photo"]
    assert "length 4.000 s" in message(tool, video="door").content
    assert "still image of 64x48" in message(tool, video="photo").content
    assert "video is missing: give it. Correct this and call video_info again" in refused(tool)


def test_every_argument_is_described(clip: Path, still: Path) -> None:
    for tool in all_tools({"door": clip, "photo": still}):
        assert [name for name, schema in properties(tool).items() if not schema.get("description")] == []


def test_all_tools_leave_a_small_context_room_for_pictures_and_an_answer(clip: Path) -> None:
    """An agent on the bundled model once failed with a prompt of 4,414 tokens in a context of 4,096."""
    schemas = [convert_to_openai_tool(tool) for tool in all_tools(clip)]
    engine = ChatVReason()
    assert engine.get_num_tokens_from_messages([HumanMessage("?")], tools=schemas) < 3300


@needs_frame_numbers
def test_a_single_video_is_not_named_and_what_is_optional_may_be_null(clip: Path) -> None:
    tool = tool_named("sample_frames", clip)
    parameters = convert_to_openai_tool(tool)["function"]["parameters"]
    assert set(parameters["properties"]) == {"start_seconds", "stop_seconds", "num_frames", "timestamps_seconds"}
    assert "null" not in str(parameters)
    given = message(tool, video="video", timestamps_seconds=None, start_seconds=None, num_frames=2)
    assert given.artifact["frame_indices"] == [0, 20]


def test_what_is_no_time_is_refused_with_what_was_given_and_not_at_length(clip: Path) -> None:
    tool = tool_named("sample_frames", clip)
    moments: list[Any] = ["NaN", float("nan"), float("inf"), -1.0, "soon"]
    for moment in moments:
        assert f"start_seconds={moment!r}" in refused(tool, start_seconds=moment)
    told = refused(tool, timestamps_seconds=[0.5, -0.5])
    assert "timestamps_seconds.1=-0.5: Input should be greater than or equal to 0" in told
    assert len(refused(tool, num_frames="9" * 100_000)) < 400


def test_refused_arguments_are_raised_when_the_caller_wants_that(clip: Path) -> None:
    tool = tool_named("sample_frames", clip)
    tool.handle_validation_error = False
    with pytest.raises(ValidationError, match="num_frames"):
        message(tool, num_frames=0)


def test_copied_and_pickled_tools_work_alike(clip: Path) -> None:
    for tool in all_tools(clip):
        before = message(tool, **EXAMPLES[tool.name])
        for twin in (copy.deepcopy(tool), pickle.loads(pickle.dumps(tool))):
            after = message(twin, **EXAMPLES[tool.name])
            assert (after.content, after.artifact) == (before.content, before.artifact)
            assert convert_to_openai_tool(twin) == convert_to_openai_tool(tool)


def test_a_limit_below_its_minimum_is_refused() -> None:
    odd: list[tuple[str, Any]] = [
        *(("max_frames", value) for value in (0, 2.5, True)),
        ("max_sheet_frames", 0),
        ("max_side_px", 63),
        ("max_image_bytes", 4095),
        ("max_asked_frames", 1),
        ("max_scanned_frames", 1),
    ]
    for field, value in odd:
        with pytest.raises(ConfigError, match=rf"{field}=.* pass {field}=\d+ or more"):
            ToolLimits(**{field: value})


def test_the_model_is_told_the_limits_and_more_is_refused(clip: Path) -> None:
    limits = ToolLimits(max_frames=3, max_sheet_frames=5, max_asked_frames=4)
    for name, limit in (("sample_frames", 3), ("zoom", 3), ("contact_sheet", 5), ("ask_segment", 4)):
        tool = tool_named(name, clip, limits=limits)
        told = properties(tool)["num_frames"]
        assert (told["maximum"], told["default"] <= limit, told["description"]) == (limit, True, f"At most {limit}")
        refused(tool, num_frames=limit + 1)
    refused(tool_named("sample_frames", clip, limits=limits), timestamps_seconds=[0, 1, 2, 3])


def test_images_stay_within_the_callers_size(clip: Path) -> None:
    limits = ToolLimits(max_side_px=100, max_image_bytes=4096)
    for name in ("contact_sheet", "sample_frames", "zoom"):
        content = message(tool_named(name, clip, limits=limits), **EXAMPLES[name]).content
        assert images_of(content)
        assert all(max(image.shape) <= 100 for image in images_of(content))
        assert all(len(block["base64"]) <= 4096 * 4 / 3 + 4 for block in content if block["type"] == "image")
