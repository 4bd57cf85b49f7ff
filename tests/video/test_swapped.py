"""A file that another one takes the place of after it was checked: what is opened is the one that was checked."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.conftest import numbered
from vreason_agent.errors import VideoDecodeError, VideoError, VideoNotFoundError
from vreason_agent.video import open_video, probe, read_frames, read_image
from vreason_agent.video.capture import Capture
from vreason_agent.video.pinned import open_pinned, pinned_name
from vreason_agent.video.source import open_source, stamp_of

Swap = Callable[[Path, Path], None]
WAYS: list[dict[str, Any]] = [{}, {"backend": "av"}, {"isolate": True}]
CHANGED = "changed while it was open; open it again"


def _a_link(path: Path, secret: Path) -> None:
    path.unlink()
    path.symlink_to(secret)


def _a_script(path: Path, secret: Path) -> None:
    status, text = path.stat(), f"ffconcat version 1.0\nfile {secret.name}\n"
    shutil.copy(secret, path.parent)
    path.unlink()
    path.write_text(text + "#" * (status.st_size - len(text) - 1) + "\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _a_folder(path: Path, secret: Path) -> None:
    os.rename(secret, secret.parent / path.name)
    os.rename(path.parent, secret.parent / "old")
    path.parent.symlink_to(secret.parent)


def _a_pipe(path: Path, secret: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SWAPS = [_a_link, _a_script, _a_folder]


@pytest.fixture
def clips(write_opencv, tmp_path: Path) -> tuple[Path, Path]:
    """A clip in `root/sub`, and one outside of equal size and time of change."""
    (tmp_path / "root" / "sub").mkdir(parents=True)
    clip, secret = tmp_path / "root" / "sub" / "clip.mp4", write_opencv("secret.mp4")
    data = secret.read_bytes()
    clip.write_bytes(data)
    os.utime(clip, ns=(secret.stat().st_atime_ns, secret.stat().st_mtime_ns))
    return clip, secret


@pytest.mark.parametrize("how", WAYS, ids=str)
@pytest.mark.parametrize("swap", SWAPS)
def test_what_takes_the_place_of_an_open_file_is_not_read(clips, how, swap: Swap):
    with open_video(clips[0], roots=[clips[0].parents[1]], **how) as video:
        swap(*clips)
        with pytest.raises(VideoDecodeError, match=CHANGED):
            video.read([0.5])


@pytest.mark.parametrize("how", [{}, {"backend": "av"}], ids=str)
@pytest.mark.parametrize("swap", [*SWAPS, _a_pipe])
def test_what_takes_the_place_of_a_file_between_check_and_opening_is_not_opened(clips, monkeypatch, how, swap: Swap):
    """A pipe would hold the process up for good."""
    source = open_source(clips[0], roots=[clips[0].parents[1]])
    swap(*clips)
    monkeypatch.setattr("vreason_agent.video.opened.open_source", lambda *_, **__: source)
    for call in (open_video, lambda path, **how: read_frames(path, [0.5], **how)):
        with pytest.raises(VideoDecodeError, match=CHANGED):
            call(clips[0], **how)
    with pytest.raises(VideoDecodeError, match=CHANGED):
        open_pinned(source)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="elsewhere a library opens by name")
def test_a_file_swapped_while_a_library_opens_it_is_still_the_one_that_was_checked(clips):
    source = open_source(clips[0])
    with pytest.raises(VideoDecodeError, match=CHANGED):
        _swap_within(pinned_name(source), *clips)


def _swap_within(opening: AbstractContextManager[str], path: Path, secret: Path) -> None:
    with opening as name:
        inode = os.stat(name).st_ino
        _a_link(path, secret)
        assert os.stat(name).st_ino == inode != path.stat().st_ino


@pytest.mark.parametrize("has_descriptors", [False, True])
def test_a_file_written_over_while_a_library_opens_it_is_not_read(clips, monkeypatch, has_descriptors: bool):
    """FFmpeg would take a script that is written into it by its content."""
    if not has_descriptors:
        monkeypatch.setattr("vreason_agent.video.pinned._DESCRIPTORS", "/none")
    open_capture = cv2.VideoCapture

    def late(name: str, *how: Any) -> cv2.VideoCapture:
        assert has_descriptors == (name != str(clips[0]))
        clips[0].write_bytes(clips[0].read_bytes())
        return open_capture(name, *how)

    source = open_source(clips[0])
    monkeypatch.setattr(cv2, "VideoCapture", late)
    with pytest.raises(VideoDecodeError, match=CHANGED):
        Capture(source)


def test_where_descriptors_have_no_names_a_file_is_opened_by_its_own_and_looked_at_again(clips, monkeypatch):
    monkeypatch.setattr("vreason_agent.video.pinned._DESCRIPTORS", "/none")
    assert read_frames(clips[0], [0.5]).frame_indices == (12,)
    with pytest.raises(VideoDecodeError, match=CHANGED):
        _swap_by_name(pinned_name(open_source(clips[0])), *clips)


def _swap_by_name(opening: AbstractContextManager[str], path: Path, secret: Path) -> None:
    with opening as name:
        assert name == str(path)
        _a_folder(path, secret)


@pytest.mark.parametrize("has_paths", [False, True])
@pytest.mark.parametrize("read", [probe, read_image, lambda path, **how: read_frames(path, [0.0], **how)])
def test_a_folder_that_becomes_a_link_after_the_roots_were_checked_leads_nowhere(
    tmp_path: Path, monkeypatch, has_paths: bool, read
):
    root, out = tmp_path / "root", tmp_path / "out"
    for folder, brightness in ((root / "sub", 1), (out, 9)):
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "a.png"), numbered(brightness))
    if not has_paths:
        monkeypatch.delattr(os, "O_PATH")
    look = os.stat

    def swapped(path: Any, **how: Any) -> os.stat_result:
        if (root / "sub").is_dir() and not (root / "sub").is_symlink():
            os.rename(root / "sub", root / "old")
            (root / "sub").symlink_to(out)
        return look(path, **how)

    for module in ("source", "picture_file"):
        monkeypatch.setattr(f"vreason_agent.video.{module}.real_path", _then(os.path.realpath, swapped))
    with pytest.raises(VideoError, match=r"check (its permissions|the path)"):
        read(root / "sub" / "a.png", roots=[root])


def _then(call: Callable[[str], str], swap: Callable[..., Any]) -> Callable[[str], str]:
    def called(path: str) -> str:
        found = call(path)
        if path.endswith(".png"):
            swap(".")
        return found

    return called


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "frames/0.png"])
def test_a_pipe_that_takes_the_place_of_a_file_at_the_last_moment_holds_nobody_up(tmp_path: Path, monkeypatch, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    regular, look = Path(__file__).stat(), os.stat
    monkeypatch.setattr(
        os,
        "stat",
        lambda given, **how: regular if str(given) in (str(path), path.name) else look(given, **how),
    )
    for call in (probe, read_image, lambda path: read_frames(path, [0.0])):
        with pytest.raises(VideoError, match=r"not a regular file; give the path|check the path"):
            call(path)


def test_a_picture_swapped_after_the_check_is_not_read(tmp_path: Path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), numbered(3))
    source = open_source(tmp_path / "a.png")
    monkeypatch.setattr("vreason_agent.video.opened.stamp_of", lambda path: source.stamp)
    with open_video(tmp_path / "a.png") as video:
        os.replace(shutil.copy(tmp_path / "a.png", tmp_path / "b.png"), tmp_path / "a.png")
        with pytest.raises(VideoDecodeError, match=CHANGED):
            video.read([0.0])


def test_pictures_of_a_folder_that_lead_out_of_the_roots_are_not_even_measured(tmp_path: Path, monkeypatch):
    (tmp_path / "frames").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), numbered(number))
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((7, 9, 3), np.uint8))
    source = open_source(tmp_path / "frames", roots=[tmp_path / "frames"])
    monkeypatch.setattr(sys.modules[probe.__module__], "open_source", lambda *_, **__: source)
    for name in ("1.png", "0.png"):
        _a_link(tmp_path / "frames" / name, tmp_path / "secret.png")
        with pytest.raises(VideoError, match="outside the allowed folders"):
            probe(tmp_path / "frames", roots=[tmp_path / "frames"])


def test_a_stamp_tells_files_of_one_size_and_time_apart_and_changes_of_one_file(clips):
    clip, secret = clips
    stamp = stamp_of(str(clip))
    assert stamp is not None
    assert stamp != stamp_of(str(secret))
    status = clip.stat()
    clip.write_bytes(bytes(status.st_size))
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (stamp_of(str(clip)) or ())[:4] == stamp[:4]
    assert stamp_of(str(clip)) != stamp


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no names of descriptors")
def test_a_descriptor_of_a_file_that_is_gone_names_none(clips):
    with clips[0].open("rb") as file:
        clips[0].unlink()
        with pytest.raises(VideoNotFoundError, match="check the path"):
            probe(f"/proc/self/fd/{file.fileno()}")


def test_a_path_that_cannot_be_resolved_is_a_typed_error(clips, monkeypatch):
    """`realpath` raises this where a link becomes a file between two of its looks."""

    def fail(path: str) -> str:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os.path, "realpath", fail)
    for call in (probe, open_video, lambda path: read_frames(path, [0.0]), lambda path: read_image(path, roots=["."])):
        with pytest.raises(VideoError, match="cannot be read; check its permissions"):
            call(clips[0])
