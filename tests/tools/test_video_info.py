"""`video_info` says what is known, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.tools.frames import message, tool_named
from vreason_agent.tools.video_info import describe_video
from vreason_agent.video import probe


def test_it_tells_length_rate_count_and_size(clip: Path) -> None:
    result = message(tool_named("video_info", {"door": clip}))
    assert result.content == (
        "'door': length 4.000 s, frame rate 10.000 frames per second, number of frames 40, picture 320x240 px."
    )
    assert (result.artifact["video"], result.artifact["num_frames"], result.artifact["kind"]) == ("door", 40, "video")


def test_unknown_facts_are_called_unknown(clip: Path) -> None:
    unknown = replace(probe(clip), duration_seconds=None, video_fps=None, num_frames=None, is_constant_rate=None)
    assert describe_video(unknown, "door") == (
        "'door': length unknown, frame rate unknown, number of frames unknown, picture 320x240 px."
    )


def test_a_rate_that_is_not_proven_constant_is_called_an_average(clip: Path) -> None:
    assert "frames per second on average (their spacing may vary), number" in describe_video(
        replace(probe(clip), is_constant_rate=False), "door"
    )
