"""A picture that is missing in a folder of frames is an error or told, since the times behind it move."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest

from tests.video.hazards import numbered
from vreason_agent.errors import VideoError
from vreason_agent.video import probe, read_frames
from vreason_agent.video.picture_decoder import gap_note


def _write(folder: Path, names: Sequence[str]) -> Path:
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), numbered(number))
    return folder


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path):
    """It was left out in silence, and the frames behind it came a second early."""
    _write(tmp_path, ["1.png", "2.png", "3.png", "5.png"])
    (tmp_path / "4.png").symlink_to(tmp_path / "moved.png")
    remedy = r"'4\.png' in the folder .* broken link .*remove it .*: rm 4\.png"
    with pytest.raises(VideoError, match=remedy):
        probe(tmp_path)
    with pytest.raises(VideoError, match=remedy):
        read_frames(tmp_path, [3.0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_among_the_pictures_is_an_error(tmp_path: Path):
    _write(tmp_path, ["1.png"])
    os.mkfifo(tmp_path / "2.png")
    with pytest.raises(VideoError, match=r"no regular file; put the picture there, or remove it"):
        probe(tmp_path)


def test_folders_and_other_files_are_no_frames(tmp_path: Path):
    _write(tmp_path, ["1.png", "2.png"])
    (tmp_path / "3.png").mkdir()
    (tmp_path / "notes.txt").symlink_to(tmp_path / "none")
    info = probe(tmp_path)
    assert (info.num_frames, info.note) == (2, "")


def test_a_gap_in_the_numbers_is_noted(tmp_path: Path):
    info = probe(_write(tmp_path, ["f_1.png", "f_2.png", "f_3.jpg", "f_5.png"]))
    assert (
        info.note == "a gap in the numbers of the pictures ('f_3.jpg' to 'f_5.png'): times count those that are there"
    )


GAPS = {
    "1.png 2.png 4.png 5.png 6.png 9.png 10.png": "'2.png' to '4.png' and 1 more",
    "0010.png 0020.png 0030.png 0050.png": "'0030.png' to '0050.png'",
    "a1b.png a2b.png a3b.png a5b.png": "'a3b.png' to 'a5b.png'",
}
NO_GAPS = [
    *("1.png", "1.png 5.png", "9.png 10.png 11.png", "0.png 25.png 50.png", "1032.png 1077.png 1190.png 1201.png"),
    *("a1.png a2.png b9.png", "start.png 1.png 2.png 4.png", "1.jpg 1.png 01.png 3.png"),
]


def test_gaps_are_named_and_names_that_do_not_count_on_leave_none():
    for names, gap in GAPS.items():
        assert f"({gap})" in gap_note([f"/x/{name}" for name in names.split()])
    for names in NO_GAPS:
        assert gap_note([f"/x/{name}" for name in names.split()]) == "", names
