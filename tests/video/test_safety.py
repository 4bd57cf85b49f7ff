"""What must never reach FFmpeg does not: asserted at the one door to it, not by how it answers."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vreason_agent.errors import (
    ConfigError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
)
from vreason_agent.video import Isolation, Limits, local_path, make_plan, open_video, probe, read_frames, read_image
from vreason_agent.video.capture import Capture

PLAYLISTS = {
    "a.ffconcat": "ffconcat version 1.0\nfile sibling.mp4\n",
    "a.m3u8": "#EXTM3U\n#EXTINF:1,\nsibling.mp4\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
    "a.xspf": '<?xml version="1.0"?><playlist><trackList><track><location>sibling.mp4</location></track></trackList>',
    "a.mpd": '<?xml version="1.0"?><MPD><Period/></MPD>',
}


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_playlists_never_reach_the_decoder_by_any_name(tmp_path: Path, opened, name, suffix):
    path = tmp_path / (name + suffix)
    path.write_text(PLAYLISTS[name])
    with pytest.raises(VideoError, match="give an mp4"):
        read_frames(path, [0.0])
    assert opened == []


@pytest.mark.parametrize(
    "given",
    [
        "concat:{clip}|{clip}",
        "subfile,,start,0,end,9,,:{clip}",
        "async:{clip}",
        "http://127.0.0.1:1/a.mp4",
        "rtsp://127.0.0.1/a",
        "pipe:0",
        "data:video/mp4;base64,AAAA",
        "-",
        "",
        "{clip}\x00.mp4",
    ],
)
def test_protocol_strings_never_reach_the_decoder(write_opencv, opened, given):
    clip = write_opencv("a.mp4")
    with pytest.raises(VideoError, match=r"download the video first|check the path"):
        read_frames(given.format(clip=clip), [0.0])
    assert opened == []


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero", "/dev/tty"])
@pytest.mark.parametrize("call", [probe, open_video, read_image, lambda path: read_frames(path, [0.0])])
def test_a_pipe_a_socket_and_a_device_are_refused_unopened(tmp_path: Path, monkeypatch, opened, kind: str, call):
    """Opening a device may do something, and opening a pipe waits for its writer."""
    path = Path(kind) if kind.startswith("/") else tmp_path / "a.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("a.mp4")  # a path of 108 bytes at most
    elif not path.exists():
        pytest.skip("no such device here")
    open_file = os.open

    def refuse(name: Any, *how: Any, **where: Any) -> int:
        assert name not in (str(path), path.name)
        return open_file(name, *how, **where)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(VideoError, match="not a regular file; give the path"):
        call(path)
    assert opened == []


def test_the_decoder_gets_the_very_file_that_was_checked(write_opencv, tmp_path: Path, monkeypatch):
    clip, open_capture, names = write_opencv("-i %03d.mp4"), cv2.VideoCapture, []
    (tmp_path / "link.mp4").symlink_to(clip.name)
    monkeypatch.chdir(tmp_path)

    def noted(name: str, *how: Any) -> cv2.VideoCapture:
        names.append(os.path.realpath(name))
        return open_capture(name, *how)

    monkeypatch.setattr(cv2, "VideoCapture", noted)
    assert [probe(given).path for given in ("-i %03d.mp4", "link.mp4")] == [os.path.realpath(clip)] * 2
    assert set(names) == {os.path.realpath(clip)}


@pytest.mark.parametrize("name", ["clip%d.jpg", "clip*.png", "clip?.bmp", "clip[0].jpg", "clip{0}.tif", "%d"])
@pytest.mark.parametrize("how", [{}, {"backend": "av"}, {"isolate": True}], ids=str)
def test_a_name_that_is_a_pattern_of_pictures_opens_none_of_them(write_opencv, tmp_path: Path, name: str, how):
    """FFmpeg goes by such a name before it looks at the content, and the pictures may be links out of the roots."""
    clip, root = write_opencv("a.mp4"), tmp_path / "root"
    root.mkdir()
    clip.rename(root / name)
    cv2.imwrite(str(tmp_path / "secret.jpg"), np.zeros((64, 64, 3), np.uint8))
    (root / "clip0.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(VideoError, match=r"FFmpeg would take it for a pattern of file names; rename it"):
        read_frames(root / name, [0.0], roots=[root], **how)


@pytest.mark.parametrize("call", [probe, open_video, lambda path, **roots: read_frames(path, [0.0], **roots)])
def test_a_link_out_of_the_roots_is_refused_and_one_inside_is_read(write_opencv, tmp_path: Path, call):
    clip, root = write_opencv("a.mp4"), tmp_path / "root"
    root.mkdir()
    (root / "out.mp4").symlink_to(clip)
    for given in (root / "out.mp4", clip, root / ".." / "a.mp4"):
        with pytest.raises(VideoError, match=r"outside the allowed folders .* allow its folder"):
            call(given, roots=[root])
    with pytest.raises(VideoError, match=r"\(no folder\), links resolved; move it there"):
        call(clip, roots=[])
    (tmp_path / "alias").symlink_to(tmp_path)
    assert call(tmp_path / "alias" / "a.mp4", roots=[tmp_path]) is not None


def test_a_root_is_a_folder_and_no_prefix_of_a_name(write_opencv, tmp_path: Path):
    (tmp_path / "roots").mkdir()
    clip = write_opencv("roots/a.mp4")
    with pytest.raises(VideoError, match="outside the allowed folders"):
        probe(clip, roots=[tmp_path / "root"])


@pytest.mark.parametrize("call", [probe, open_video, lambda path, **roots: read_frames(path, [0.0], **roots)])
@pytest.mark.parametrize("isolate", [False, True])
def test_a_text_in_place_of_a_list_of_roots_is_refused_though_it_holds_a_slash(write_opencv, call, isolate: bool):
    clip = write_opencv("a.mp4")
    for roots in ("/srv", b"/srv", [7], iter(["/"]), 7):
        with pytest.raises(ConfigError, match=r"are no list of paths; give one, e\.g\. \['/"):
            call(clip, roots=roots, isolate=isolate)


def test_a_picture_linked_into_a_folder_from_outside_the_roots_is_refused(tmp_path: Path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "frames" / "0.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(VideoError, match="outside the allowed folders"):
        probe(tmp_path / "frames", roots=[tmp_path / "frames"])


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture outside `tmp_path/root`, where there are four others."""
    (tmp_path / "root" / "frames").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(tmp_path / "root" / "frames" / f"{number}.png"), np.full((40, 40, 3), 10, np.uint8))
    cv2.imwrite(str(tmp_path / "secret.png"), np.full((40, 40, 3), 200, np.uint8))
    return tmp_path / "secret.png"


@pytest.mark.parametrize("has_roots", [False, True])
@pytest.mark.parametrize("video", ["root/frames", "root/frames/3.png"])
def test_a_picture_swapped_for_a_link_during_a_read_is_not_given(secret: Path, video: str, has_roots: bool):
    """With roots, and where it was opened alone, it is not even read."""
    root, read = secret.parent / "root", []

    def swap(done: int, total: int) -> None:
        if done == min(1, total - 1):
            (root / "frames" / "3.png").unlink()
            (root / "frames" / "3.png").symlink_to(secret)

    def noted(picture: np.ndarray) -> np.ndarray:
        read.append(int(picture.mean()))
        return picture

    times, roots = [0.0, 1.0, 2.0, 3.0], [root] if has_roots else None
    with open_video(secret.parent / video, roots=roots) as opened:
        with pytest.raises(VideoDecodeError, match="changed while it was open; open it again"):
            read_frames(opened, times, resize=noted, on_progress=swap)
        assert (200 in read) == (video == "root/frames" and not has_roots)
        assert not opened._kept._pictures


def test_a_picture_is_opened_by_its_real_path_and_no_link_that_came_there(secret: Path, monkeypatch):
    frames, real = secret.parent / "root" / "frames", os.path.realpath
    (frames / "inside.png").symlink_to(frames / "0.png")
    assert read_image(frames / "inside.png", roots=[frames]).mean() == 10
    (frames / "late.png").symlink_to(secret)
    monkeypatch.setattr(os.path, "realpath", lambda path: str(path) if str(path).endswith("late.png") else real(path))
    with pytest.raises(VideoError, match="cannot be read; check its permissions"):
        read_image(frames / "late.png", roots=[frames])


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Record the files of which a frame is decoded: the captures that step through packets decode nothing."""
    paths: list[str] = []
    init, grab = Capture.__init__, Capture.grab

    def opened(self, source, *, packets=False):
        init(self, source, packets=packets)
        self.decodes = None if packets else source.path

    def grabbed(self):
        paths.extend([self.decodes] if self.decodes else [])
        return grab(self)

    monkeypatch.setattr(Capture, "__init__", opened)
    monkeypatch.setattr(Capture, "grab", grabbed)
    return paths


@pytest.mark.parametrize("kind", ["constant", "variable", "GIF"])
@pytest.mark.parametrize(
    ("limits", "match"),
    [
        (Limits(max_bytes=10), "max_bytes=10; cut the part you need"),
        (Limits(max_pixels=10), "max_pixels=10; scale it down first"),
        (Limits(max_seconds=0.5), r"max_seconds=0\.5; cut the part you need: ffmpeg"),
        (Limits(max_walked_frames=3), "max_walked_frames=3 frames; cut the part you need"),
        (Limits(max_frames=0), "max_frames=0; ask for fewer at a time"),
    ],
)
def test_every_limit_is_checked_before_a_frame_is_decoded(write_opencv, write_av, decoded, kind, limits, match):
    if kind == "constant":
        path = write_opencv("a.mp4")
    elif kind == "variable":
        path = write_av("a.mp4", [0, 40, 400, 440, 900, 1000])
    else:
        path = write_av("a.gif", [0, 40, 400, 440, 900, 1000], codec="gif", pix_fmt="rgb8")
    with pytest.raises(VideoTooLargeError, match=match):
        read_frames(path, [0.0], limits=limits)
    assert decoded == []
    assert read_frames(path, [0.0]).frame_indices == (0,)
    assert set(decoded) == {str(path)}


def test_a_folder_of_more_seconds_than_allowed_is_refused_before_a_picture_is_read(tmp_path: Path):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(VideoTooLargeError, match="max_seconds=3; cut the part you need"):
        probe(tmp_path, limits=Limits(max_seconds=3.0))


def test_more_frames_than_a_read_may_give_are_refused_before_one_is_decoded(write_opencv, decoded):
    path = write_opencv("a.mp4")
    with open_video(path, limits=Limits(max_frames=3)) as video:
        decoded.clear()
        with pytest.raises(VideoTooLargeError, match="more than max_frames=3; ask for fewer at a time"):
            read_frames(video, [0.0] * 4)
        assert decoded == []


@pytest.mark.parametrize(
    "odd",
    [
        {"max_wall_seconds": math.nan},
        {"max_seconds": math.nan},
        {"max_seconds": "x"},
        {"max_bytes": math.nan},
        {"max_bytes": 1e9},
        {"max_pixels": None},
        {"max_frames": "x"},
        {"max_frames": -1},
        {"max_walked_frames": True},
    ],
    ids=str,
)
def test_a_limit_that_limits_nothing_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"give whole numbers from 0, and seconds from 0, such as Limits\("):
        Limits(**odd)


def test_limits_may_be_infinite_seconds_and_numbers_of_numpy() -> None:
    odd: Any = {"max_wall_seconds": np.float32(2.0), "max_frames": np.int64(8)}
    limits = Limits(max_seconds=math.inf, **odd)
    assert (limits.max_seconds, limits.max_frames) == (math.inf, 8)


@pytest.mark.parametrize("memory", [4e9, 10**30, math.nan, 0, True])
def test_memory_that_no_process_can_be_limited_to_is_refused(memory: Any) -> None:
    with pytest.raises(ConfigError, match="use a whole number of bytes from 1 to 2"):
        Isolation(max_memory_bytes=memory)


def test_times_beyond_any_number_are_refused(write_opencv) -> None:
    with pytest.raises(ConfigError, match="each a number of seconds from 0"):
        read_frames(write_opencv("a.mp4"), [10**400])
    plans: dict[str, Any] = {"times": {"timestamps_seconds": [10**400]}, "fps": {"sample_fps": 10**400}}
    for name, options in plans.items():
        with pytest.raises(ConfigError, match=f"plan '{name}' cannot be made .* its options are"):
            make_plan(name, 0.0, 1.0, **options)


@pytest.mark.parametrize("url", ["file://[::1/x", "http://[::1/x", "file://[x]/a"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="nothing is fetched from a network; download the file"):
        local_path(url)


@pytest.mark.parametrize("url", ["a\x00b", "file:///x%00"])
def test_a_name_with_a_nul_is_not_found(url: str) -> None:
    with pytest.raises(VideoNotFoundError, match=r"no such file or folder: .*; check the path"):
        local_path(url)


WAYS: list[dict[str, Any]] = [{}, {"backend": "av"}, {"isolate": True}]


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_more_pixels_than_a_read_may_return_are_refused_before_one_is_decoded(write_opencv, decoded, how):
    """With the limits as shipped 4,096 frames of 8K came to 380 GiB, and to a raw error of numpy's."""
    path, picture = write_opencv("a.mp4", size=(160, 120)), 160 * 120 * 3
    with open_video(path, limits=Limits(max_result_bytes=3 * picture), **how) as video:
        decoded.clear()
        match = rf"4 frames of '.*' at 160x120 pixels are {4 * picture:,} bytes, more than max_result_bytes=172,800; "
        with pytest.raises(VideoTooLargeError, match=match + "give a smaller max_side_px, or ask for fewer times at"):
            read_frames(video, [0.0] * 4)
        assert decoded == []
        assert read_frames(video, [0.0] * 3).images.nbytes == 3 * picture
        assert read_frames(video, [0.0] * 12, max_side_px=80).images.nbytes == 3 * picture
        with pytest.raises(VideoTooLargeError, match=r"at 80x60 pixels are 187,200 bytes.*give a smaller max_side_px"):
            read_frames(video, [0.0] * 13, max_side_px=80)


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_what_a_resize_makes_too_large_is_refused_at_its_first_frame(write_opencv, how):
    path, made = write_opencv("a.mp4", size=(160, 120)), []

    def doubled(picture: np.ndarray) -> np.ndarray:
        made.append(picture)
        return np.repeat(picture, 2, axis=0)

    limits = Limits(max_result_bytes=160 * 120 * 3 * 4)
    assert read_frames(path, [0.0, 1.0], resize=doubled, limits=limits, **how).images.shape == (2, 240, 160, 3)
    made.clear()
    with pytest.raises(
        VideoTooLargeError, match=r"3 frames .* at 160x240 pixels are 345,600 bytes.*ask for fewer times"
    ):
        read_frames(path, [0.0, 1.0, 2.0], resize=doubled, limits=limits, **how)
    assert len(made) == 1
    small = Limits(max_result_bytes=3 * 8 * 8 * 3)
    assert (
        read_frames(path, [0.0, 1.0, 2.0], resize=lambda picture: picture[:8, :8], limits=small, **how).num_decoded == 3
    )


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_frames_that_there_is_no_memory_for_are_an_error_of_ours(write_opencv, how):
    """More than an address can count."""
    side = 2**24
    with pytest.raises(VideoTooLargeError, match="bytes, more than there is memory for; give a smaller max_side_px"):
        read_frames(
            write_opencv("a.mp4"),
            [0.0],
            resize=lambda picture: np.broadcast_to(picture[:1, :1], (side, side, 3)),
            limits=Limits(max_result_bytes=2**62),
            **how,
        )


@pytest.mark.parametrize("isolate", [False, True])
def test_pictures_of_a_folder_and_a_still_count_too(tmp_path: Path, isolate: bool):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((40, 40, 3), np.uint8))
    for path, times in ((tmp_path, [0.0, 1.0, 2.0]), (tmp_path / "0.png", [0.0] * 3)):
        with pytest.raises(VideoTooLargeError, match="14,400 bytes, more than max_result_bytes=9,600; give a smaller"):
            read_frames(path, times, limits=Limits(max_result_bytes=9600), isolate=isolate)
        assert read_frames(path, times[:2], limits=Limits(max_result_bytes=9600), isolate=isolate).num_decoded == 2
