"""Cuts and motion peaks on clips that have them by construction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.video import find_scenes, open_video

Painter = Callable[[int], Any]


def write(path: Path, num_frames: int, paint: Painter, *, fps: float = 10.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (96, 64))
    for index in range(num_frames):
        writer.write(np.asarray(paint(index), np.uint8))
    writer.release()
    return path


def gray(level: int, square: int | None = None) -> Any:
    frame = np.full((64, 96, 3), level)
    if square is not None:
        frame[10:50, square : square + 30] = 255 - level
    return frame


def test_a_cut_is_found_at_its_frame_and_ends_the_shot_before(tmp_path: Path) -> None:
    clip = write(tmp_path / "cut.avi", 40, lambda i: gray(40 if i < 17 else 200))
    scenes = find_scenes(clip)
    assert scenes.cuts_seconds == pytest.approx((1.7,))
    assert scenes.shots == ((0.0, scenes.cuts_seconds[0]), (scenes.cuts_seconds[0], 4.0))
    assert scenes.peaks_seconds == ()


def test_motion_peaks_are_ordered_by_motion_and_a_cut_is_none(tmp_path: Path) -> None:
    def paint(index: int) -> Any:
        level = 40 if index < 20 else 180
        if 26 <= index < 32:
            return gray(level, square=4 * (index - 26))
        if 60 <= index < 66:
            return gray(level, square=10 * (index - 60))
        return gray(level)

    scenes = find_scenes(write(tmp_path / "moves.avi", 90, paint))
    assert scenes.cuts_seconds == (2.0,)
    assert len(scenes.peaks_seconds) == 2
    assert 5.8 <= scenes.peaks_seconds[0] <= 6.8
    assert 2.4 <= scenes.peaks_seconds[1] <= 3.4
    assert scenes.peak_motions[0] > scenes.peak_motions[1] > 0


def test_a_still_scene_and_even_motion_have_no_peak(tmp_path: Path) -> None:
    still = write(tmp_path / "still.avi", 30, lambda i: gray(90))
    even = write(tmp_path / "even.avi", 30, lambda i: gray(90, square=2 * i))
    assert find_scenes(still).peaks_seconds == find_scenes(even).peaks_seconds == ()
    assert find_scenes(even).cuts_seconds == ()


def test_only_the_part_that_is_asked_about_is_searched(tmp_path: Path) -> None:
    clip = write(tmp_path / "parts.avi", 60, lambda i: gray((30, 220, 120)[i // 20]))
    assert find_scenes(clip).cuts_seconds == (2.0, 4.0)
    assert find_scenes(clip, start_seconds=3.0, stop_seconds=5.0).cuts_seconds == (4.0,)


def test_long_parts_are_searched_in_steps(tmp_path: Path) -> None:
    clip = write(tmp_path / "steps.avi", 80, lambda i: gray(30 if i < 41 else 220))
    scenes = find_scenes(clip, max_frames=20)
    assert (scenes.num_frames, scenes.step_seconds) == (20, 0.4)
    (cut,) = scenes.cuts_seconds
    assert 4.1 <= cut < 4.1 + scenes.step_seconds


def test_an_opened_video_is_searched_as_its_path_is(tmp_path: Path) -> None:
    clip = write(tmp_path / "cut.avi", 40, lambda i: gray(40 if i < 17 else 200))
    with open_video(clip) as video:
        assert find_scenes(video) == find_scenes(clip)


def test_a_rewritten_file_is_searched_again(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.avi", 40, lambda i: gray(40 if i < 17 else 200))
    assert find_scenes(path).cuts_seconds == pytest.approx((1.7,))
    write(path, 42, lambda i: gray(40 if i < 25 else 200))
    assert find_scenes(path).cuts_seconds == (2.5,)


def test_plain_data_has_the_shots(tmp_path: Path) -> None:
    data = find_scenes(write(tmp_path / "plain.avi", 40, lambda i: gray(40 if i < 20 else 200))).to_dict()
    assert data["shots"] == [[0.0, 2.0], [2.0, 4.0]]
    assert isinstance(data["cuts_seconds"], list)


def test_an_image_and_too_few_frames_are_refused_with_what_to_do(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), gray(40))
    with pytest.raises(ConfigError, match="a still image: scenes are found in videos; give a video"):
        find_scenes(picture)
    with pytest.raises(ConfigError, match="use a number from 2"):
        find_scenes(picture, max_frames=1)
