"""`find_scenes` tells cuts and motion in words, `video_info` what is known about a file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from langchain_core.tools import ToolException

from tests.tools.frames import message, tool_named
from vreason_agent.errors import DependencyError
from vreason_agent.tools import FindScenesTool, ToolLimits, video_tools
from vreason_agent.tools.find_scenes import describe_scenes
from vreason_agent.tools.video_info import describe_video
from vreason_agent.tools.video_tool import VideoFiles
from vreason_agent.video import Scenes, probe


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds at 10 per second: red, green from 2 s, blue from 4 s, where a white square moves at 5 s."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for index in range(60):
        frame = np.full((120, 160, 3), [(0, 0, 200), (0, 200, 0), (200, 0, 0)][index // 20], np.uint8)
        if 50 <= index < 56:
            frame[20:50, 10 + 15 * (index - 50) : 40 + 15 * (index - 50)] = 255
        writer.write(frame)
    writer.release()
    return path


def test_cuts_and_the_moment_of_motion_are_told_with_how_exact_they_are(film: Path) -> None:
    result = message(tool_named("find_scenes", {"film": film}))
    assert result.content.startswith("'film' has 3 shots: 0.000-2.000, 2.000-4.000, 4.000-6.000 s. Most motion")
    assert result.content.endswith("60 frames were compared; times are exact to 0.100 s.")
    assert result.artifact["cuts_seconds"] == [2.0, 4.0]
    assert 4.9 <= result.artifact["peaks_seconds"][0] <= 5.7


def test_a_range_is_searched_alone(film: Path) -> None:
    result = message(tool_named("find_scenes", film), start_seconds=1.0, stop_seconds=3.5)
    assert result.artifact["shots"] == [[1.0, 2.0], [2.0, 3.5]]
    assert "Motion is even, or there is none." in result.content


def test_the_limit_bounds_the_frames_compared_and_the_model_is_told_what_that_means(film: Path) -> None:
    result = message(tool_named("find_scenes", film, limits=ToolLimits(max_scanned_frames=30)))
    assert result.artifact["num_frames"] == 30
    assert "times are exact to 0.200 s" in result.content


def test_many_shots_are_told_up_to_a_bound() -> None:
    cuts = tuple(float(second) for second in range(1, 90))
    text = describe_scenes(Scenes(0.0, 90.0, cuts, (), (), 0.1, 900), "film")
    assert "has 90 shots" in text
    assert "39.000-40.000 and 50 more (use a smaller range) s." in text


def test_a_still_image_has_no_scenes(still: Path) -> None:
    with pytest.raises(ToolException, match="use sample_frames or zoom without times"):
        message(tool_named("find_scenes", still))


def test_without_the_library_it_is_left_out_or_names_the_install_command(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    monkeypatch.setattr("vreason_agent.tools.toolkit.find_spec", lambda name: None)
    assert "find_scenes" not in [tool.name for tool in video_tools(film)]
    with pytest.raises(DependencyError, match=r"pip install 'vreason-agent\[scenes\]'"):
        FindScenesTool(files=VideoFiles.bind(film))


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
    uneven = describe_video(replace(probe(clip), is_constant_rate=False), "door")
    assert "frames per second on average (their spacing may vary), number" in uneven
