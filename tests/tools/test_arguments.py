"""What a model may say: names and times, never a path or a limit."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError

from tests.tools.frames import EXAMPLES, all_tools, message, tool_named


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("forbidden", ["path", "file", "files", "limits", "max_frames", "max_side_px"])
def test_there_is_no_argument_for_a_path_or_a_limit(clip: Path, name: str, forbidden: str) -> None:
    tool = tool_named(name, clip)
    assert forbidden not in convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
    result = message(tool, **EXAMPLES[name], **{forbidden: "/etc/passwd"})
    assert result.status == "error"
    assert f"there is no argument '{forbidden}': leave it out" in result.content


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_path_is_no_name_of_a_video(clip: Path, name: str) -> None:
    result = message(tool_named(name, clip), **EXAMPLES[name], video=str(clip))
    assert result.status == "error"
    assert "Input should be 'video'" in result.content


def test_several_videos_are_told_apart_by_name(clip: Path, still: Path) -> None:
    tool = tool_named("video_info", {"door": clip, "photo": still})
    assert convert_to_openai_tool(tool)["function"]["parameters"]["properties"]["video"]["enum"] == ["door", "photo"]
    assert "length 4.000 s" in message(tool, video="door").content
    assert "still image of 64x48" in message(tool, video="photo").content


def test_among_several_videos_one_must_be_named(clip: Path, still: Path) -> None:
    result = message(tool_named("video_info", {"door": clip, "photo": still}))
    assert result.status == "error"
    assert "video is missing: give it. Correct this and call video_info again" in result.content


def test_every_argument_is_described(clip: Path, still: Path) -> None:
    for tool in all_tools({"door": clip, "photo": still}):
        properties = convert_to_openai_tool(tool)["function"]["parameters"]["properties"]
        assert [name for name, schema in properties.items() if not schema.get("description")] == []


def test_all_tools_leave_a_small_context_room_for_pictures_and_an_answer(clip: Path) -> None:
    """An agent on the bundled model once failed with a prompt of 4,414 tokens in a context of 4,096."""
    from vreason_agent import ChatVReason

    schemas = [convert_to_openai_tool(tool) for tool in all_tools(clip)]
    engine = ChatVReason()
    assert engine.get_num_tokens_from_messages([HumanMessage("?")], tools=schemas) < 3300


def test_a_single_video_is_not_named_and_what_is_optional_may_be_null(clip: Path) -> None:
    tool = tool_named("sample_frames", clip)
    parameters = convert_to_openai_tool(tool)["function"]["parameters"]
    assert set(parameters["properties"]) == {"start_seconds", "stop_seconds", "num_frames", "timestamps_seconds"}
    assert "null" not in str(parameters)
    given = message(tool, video="video", timestamps_seconds=None, start_seconds=None, num_frames=2)
    assert given.artifact["frame_indices"] == [0, 20]


@pytest.mark.parametrize("moment", ["NaN", float("nan"), float("inf"), -1.0, "soon"])
def test_a_time_that_is_no_time_is_refused_with_what_was_given(clip: Path, moment: Any) -> None:
    result = message(tool_named("sample_frames", clip), start_seconds=moment)
    assert result.status == "error"
    assert f"start_seconds={moment!r}" in result.content
    assert "Correct this and call sample_frames again" in result.content


def test_negative_moments_are_refused(clip: Path) -> None:
    result = message(tool_named("sample_frames", clip), timestamps_seconds=[0.5, -0.5])
    assert result.status == "error"
    assert "timestamps_seconds.1=-0.5: Input should be greater than or equal to 0" in result.content


def test_a_huge_argument_is_not_repeated_at_length(clip: Path) -> None:
    assert len(message(tool_named("sample_frames", clip), num_frames="9" * 100_000).content) < 400


def test_refused_arguments_are_raised_when_the_caller_wants_that(clip: Path) -> None:
    tool = tool_named("sample_frames", clip)
    tool.handle_validation_error = False
    with pytest.raises(ValidationError, match="num_frames"):
        message(tool, num_frames=0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda tool: pickle.loads(pickle.dumps(tool))])
def test_copied_and_pickled_tools_work_alike(clip: Path, duplicate: Any) -> None:
    for tool in all_tools(clip):
        before = message(tool, **EXAMPLES[tool.name])
        after = message(duplicate(tool), **EXAMPLES[tool.name])
        assert (after.content, after.artifact) == (before.content, before.artifact)
        assert convert_to_openai_tool(duplicate(tool)) == convert_to_openai_tool(tool)
