"""What must never reach FFmpeg does not: asserted at the one door to it, not by how it answers."""

from __future__ import annotations

import math
import os
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
from vreason_agent.video import Isolation, Limits, local_path, make_plan, open_video, probe, read_frames
from vreason_agent.video.capture import Capture

PLAYLISTS = {
    "a.ffconcat": "ffconcat version 1.0\nfile sibling.mp4\n",
    "a.m3u8": "#EXTM3U\n#EXTINF:1,\nsibling.mp4\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
    "a.xspf": '<?xml version="1.0"?><playlist><trackList><track><location>sibling.mp4</location></track></trackList>',
    "a.mpd": '<?xml version="1.0"?><MPD><Period/></MPD>',
}


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Record what reaches OpenCV, which opens nothing here."""
    paths: list[str] = []

    def refuse(self, path, *, packets=False):
        paths.append(path)
        raise VideoDecodeError("opened")

    monkeypatch.setattr(Capture, "__init__", refuse)
    return paths


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
        "file:{clip}",
        "file://{clip}",
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


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path, opened):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="not a regular file; give the path"):
        probe(tmp_path / "a.mp4")
    assert opened == []


def test_the_decoder_gets_the_absolute_real_path(write_opencv, tmp_path: Path, opened, monkeypatch):
    clip = write_opencv("-i %03d.mp4")
    (tmp_path / "link.mp4").symlink_to(clip.name)
    monkeypatch.chdir(tmp_path)
    for given in ("-i %03d.mp4", "link.mp4"):
        with pytest.raises(VideoDecodeError, match="opened"):
            probe(given)
    assert opened == [os.path.realpath(clip)] * 2


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
def decoded(monkeypatch) -> list[str]:
    """Record the files of which a frame is decoded: the captures that step through packets decode nothing."""
    paths: list[str] = []
    init, grab = Capture.__init__, Capture.grab

    def opened(self, path, *, packets=False):
        init(self, path, packets=packets)
        self.decodes = None if packets else path

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
