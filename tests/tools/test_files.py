"""Files are bound by the caller, and the model sees names only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool

from tests.tools.frames import EXAMPLES, all_tools, message, tool_named
from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError, VideoNotFoundError
from vreason_agent.tools import video_tools
from vreason_agent.tools.video_tool import VideoFiles
from vreason_agent.video import Isolation, ReadOptions
from vreason_agent.video.pyav_decoder import PyAVDecoder


def test_what_cannot_be_bound_fails_when_the_tools_are_made(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    refused: list[tuple[Any, type[Exception], str]] = [
        (tmp_path / "gone.mp4", VideoNotFoundError, "gone"),
        (tmp_path / "notes.mp4", VideoDecodeError, "notes"),
        ({"web": "https://example.com/a.mp4"}, VideoError, "only local files are read, so download the video first"),
        *(({name: clip}, ConfigError, "pass a path, or a mapping") for name in ("", " ", 3)),
        ({}, ConfigError, "pass a path, or a mapping"),
        ([clip], ConfigError, "a mapping from names to paths"),
    ]
    for video, error, remedy in refused:
        with pytest.raises(error, match=remedy):
            video_tools(video)


def test_a_relative_path_stays_bound_after_a_change_of_folder(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    tool = tool_named("video_info", clip.name)
    monkeypatch.chdir(tmp_path)
    assert message(tool).status == "success"


def test_the_caller_has_the_path_and_the_model_neither_path_nor_file_name(clip: Path) -> None:
    for tool in all_tools(clip):
        result = message(tool, **EXAMPLES[tool.name])
        read_by_model = f"{convert_to_openai_tool(tool)} {result.content}"
        assert clip.stem not in read_by_model
        assert str(clip.parent) not in read_by_model
        assert result.artifact["path"] == os.path.realpath(clip)


def test_a_file_that_vanished_is_a_message_without_its_path(
    clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "moved-away.avi"
    copy.write_bytes(clip.read_bytes())
    tool = tool_named("sample_frames", {"door": copy})
    copy.unlink()
    with pytest.raises(ToolException, match="tell the user that this video cannot be read") as caught:
        message(tool)
    assert "'door'" in str(caught.value)
    assert "moved-away" not in str(caught.value)
    assert "moved-away" in caplog.text
    assert isinstance(caught.value.__cause__, VideoNotFoundError)


def test_isolated_tools_decode_nothing_in_their_own_process(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {tool.name: message(tool, **EXAMPLES[tool.name]) for tool in all_tools(clip)}
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_, **__: pytest.fail("a file was opened in this process"))
    for tool in all_tools(clip, read_options=ReadOptions(isolation=Isolation())):
        tool.handle_tool_error = False
        shown = message(tool, **EXAMPLES[tool.name])
        assert (shown.content, shown.artifact) == (here[tool.name].content, here[tool.name].artifact)


def test_the_backend_reaches_every_tool(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("PyAV opened a file"))
    for tool in all_tools(clip, read_options=ReadOptions(backend="opencv")):
        tool.handle_tool_error = False
        assert message(tool, **EXAMPLES[tool.name]).status == "success"
    info = message(tool_named("video_info", clip, read_options=ReadOptions(backend="opencv")))
    assert info.artifact["backend"] == "opencv"


def test_a_file_outside_the_allowed_folders_is_refused(clip: Path, tmp_path: Path) -> None:
    assert video_tools(clip, read_options=ReadOptions([clip.parent]))
    with pytest.raises(VideoError, match="move it there or allow its folder"):
        video_tools(clip, read_options=ReadOptions([tmp_path]))


def test_other_errors_are_not_hidden_from_the_caller(clip: Path) -> None:
    with pytest.raises(ZeroDivisionError), VideoFiles.bind(clip).reading("video"):
        raise ZeroDivisionError
