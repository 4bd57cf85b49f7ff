"""`sample_frames` shows the frames that its words name."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.frame_numbers import needs_frame_numbers
from tests.tools.frames import NUM_FRAMES, images_of, message, shown_index, tool_named
from vreason_agent.tools.frame_requests import read_request
from vreason_agent.video import Frames


@needs_frame_numbers
def test_moments_show_the_frames_at_those_moments_in_the_order_asked(clip: Path) -> None:
    result = message(tool_named("sample_frames", clip), timestamps_seconds=[3.05, 0.55, 2.0])
    assert result.artifact["frame_indices"] == [30, 5, 20]
    assert [shown_index(image) for image in images_of(result.content)] == [30, 5, 20]
    assert result.artifact["timestamps_seconds"] == pytest.approx([3.0, 0.5, 2.0])
    assert result.artifact["requested_seconds"] == [3.05, 0.55, 2.0]


def test_a_range_is_shown_evenly(clip: Path) -> None:
    result = message(tool_named("sample_frames", clip), start_seconds=1.0, stop_seconds=3.0, num_frames=4)
    assert [shown_index(image) for image in images_of(result.content)] == [10, 15, 20, 25]


def test_without_arguments_eight_frames_of_the_whole_video_are_shown(clip: Path) -> None:
    result = message(tool_named("sample_frames", clip))
    assert [shown_index(image) for image in images_of(result.content)] == list(range(0, NUM_FRAMES, 5))
    assert result.content[0]["text"] == "8 frames of 'video', which lasts 4.000 s:"


def test_each_image_follows_its_time_and_index(clip: Path) -> None:
    blocks = message(tool_named("sample_frames", clip), timestamps_seconds=[0.5, 1.5]).content
    assert [block["type"] for block in blocks] == ["text", "text", "image", "text", "image"]
    assert [blocks[1]["text"], blocks[3]["text"]] == ["t = 0.500 s (frame 5)", "t = 1.500 s (frame 15)"]


def test_a_printed_time_asked_for_again_gives_the_same_frame(clip: Path) -> None:
    tool = tool_named("sample_frames", clip)
    first = message(tool, num_frames=7)
    printed = [float(re.findall(r"t = ([\d.]+) s", block["text"])[0]) for block in first.content[1::2]]
    assert message(tool, timestamps_seconds=printed).artifact["frame_indices"] == first.artifact["frame_indices"]


@needs_frame_numbers
def test_a_frame_is_shown_once_and_the_words_say_so(clip: Path) -> None:
    result = message(tool_named("sample_frames", clip), start_seconds=1.0, stop_seconds=1.2, num_frames=8)
    assert result.artifact["frame_indices"] == [10, 11]
    assert result.artifact["requested_seconds"] == pytest.approx([1.0, 1.1])
    assert len(images_of(result.content)) == 2
    assert "2 frames of 'video', which lasts 4.000 s (8 were asked for; the others are the same frames):" in str(
        result.content[0]["text"]
    )


async def test_ainvoke_gives_the_same_and_leaves_the_event_loop_free(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tool_named("sample_frames", clip)
    expected = message(tool, num_frames=3)
    ran_in: list[int] = []

    def recorded(*args: Any, **kwargs: Any) -> Frames:
        ran_in.append(threading.get_ident())
        return read_request(*args, **kwargs)

    monkeypatch.setattr("vreason_agent.tools.sample_frames.read_request", recorded)
    call = {"type": "tool_call", "name": tool.name, "id": "call-1", "args": {"num_frames": 3}}
    results = await asyncio.gather(tool.ainvoke(call), tool.ainvoke(call))
    assert [(result.content, result.artifact) for result in results] == [(expected.content, expected.artifact)] * 2
    assert len(ran_in) == 2
    assert threading.get_ident() not in ran_in
