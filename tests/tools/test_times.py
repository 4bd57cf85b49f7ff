"""Times outside the video are refused with the times that are allowed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import ToolException

from tests.tools.frames import message, tool_named
from vreason_agent.tools.frame_requests import TimeRequest, show_duration, show_seconds
from vreason_agent.video import VideoInfo, probe


@pytest.fixture(scope="module")
def info(clip: Path) -> VideoInfo:
    return probe(clip)


def resolve(info: VideoInfo, **fields: Any) -> tuple[float, ...]:
    request = {"timestamps_seconds": None, "start_seconds": None, "stop_seconds": None, "num_frames": 4, **fields}
    return TimeRequest(**request).resolve(info, "clip")


def test_a_range_is_sampled_evenly_from_its_start_and_without_its_end(info: VideoInfo) -> None:
    assert resolve(info) == pytest.approx((0.0, 1.0, 2.0, 3.0))
    assert resolve(info, start_seconds=2.0, stop_seconds=3.0, num_frames=2) == pytest.approx((2.0, 2.5))
    assert max(resolve(info, start_seconds=3.9, stop_seconds=4.001, num_frames=1000)) < 4.0, "rounded up to ms"


def test_times_outside_the_video_are_refused_with_what_is_allowed(info: VideoInfo) -> None:
    for fields, remedy in (
        ({"timestamps_seconds": [1.0, 4.0]}, r"has \[4.0\], outside 'clip': use times from 0 to below 4.000 seconds"),
        ({"stop_seconds": 4.5}, "stop_seconds=4.5 is after the end of 'clip': use at most 4.000"),
        ({"start_seconds": 4.0}, "start 4 s is not before the end of 'clip' at 4.00 s; give an earlier start"),
        ({"start_seconds": 2.0, "stop_seconds": 2.0}, "start 2 s, stop 2 s: no part of 'clip'; use 0 <= start < stop"),
        ({"timestamps_seconds": [1.0], "start_seconds": 0.0}, "give either timestamps_seconds, or start_seconds and"),
        ({"timestamps_seconds": [1.0], "stop_seconds": 2.0}, "give either timestamps_seconds, or start_seconds and"),
    ):
        with pytest.raises(ToolException, match=remedy):
            resolve(info, **fields)


def test_the_printed_length_is_accepted_as_the_end_of_a_range(info: VideoInfo) -> None:
    odd = replace(info, duration_seconds=3.98765)
    assert len(resolve(odd, stop_seconds=float(show_duration(3.98765)))) == 4


def test_a_cut_file_is_told_by_name_with_the_part_that_is_there(info: VideoInfo) -> None:
    cut = replace(info, readable_seconds=2.0, declared_frames=200)
    with pytest.raises(ToolException, match=r"'clip' is truncated .* ends there \(stop_seconds=2\.000\)"):
        resolve(cut)
    assert resolve(cut, stop_seconds=2.0, num_frames=2) == (0.0, 1.0)


def test_a_video_of_unknown_length_needs_an_end(info: VideoInfo) -> None:
    endless = replace(info, duration_seconds=None)
    with pytest.raises(ToolException, match="'clip' does not say how long it is; give the end of the part"):
        resolve(endless, start_seconds=1.0)
    assert resolve(endless, stop_seconds=2.0, num_frames=2) == pytest.approx((0.0, 1.0))
    assert resolve(endless, timestamps_seconds=[9.0]) == (9.0,)


def test_a_still_image_has_no_times(still: Path) -> None:
    tool = tool_named("sample_frames", still)
    with pytest.raises(ToolException, match="is a still image, which has no times: call again without times"):
        message(tool, timestamps_seconds=[1.0])
    with pytest.raises(ToolException, match="call again without times"):
        message(tool, stop_seconds=1.0)
    result = message(tool)
    assert result.artifact["frame_indices"] == [0]
    assert result.content[0]["text"] == "1 frame of 'video':"


@given(st.floats(0, 1e5), st.floats(0, 1e5))
def test_printed_frame_times_are_never_early_and_printed_lengths_never_late(moment: float, length: float) -> None:
    assert moment - 1e-8 <= float(show_seconds(moment)) < moment + 0.0011
    assert length - 0.0011 < float(show_duration(length)) <= length + 1e-8
