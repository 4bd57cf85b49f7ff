"""What must never reach FFmpeg does not: asserted at the one door to it, not by how it answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vreason_agent.errors import VideoDecodeError, VideoError, VideoTooLargeError
from vreason_agent.video import Limits, open_video, probe, read_frames
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


def test_a_picture_linked_into_a_folder_from_outside_the_roots_is_refused(tmp_path: Path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "frames" / "0.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(VideoError, match="outside the allowed folders"):
        probe(tmp_path / "frames", roots=[tmp_path / "frames"])


def test_bytes_and_pixels_are_limited_before_a_frame_is_decoded(write_opencv, monkeypatch):
    path, grabs = write_opencv("a.mp4"), []
    monkeypatch.setattr(Capture, "grab", lambda self: grabs.append(1))
    for limits in (Limits(max_bytes=10), Limits(max_pixels=10)):
        with pytest.raises(VideoTooLargeError, match=r"cut the part you need|scale it down first"):
            read_frames(path, [0.0], limits=limits)
    assert grabs == []


def test_more_frames_than_a_read_may_give_are_refused_before_one_is_decoded(write_opencv, monkeypatch):
    path = write_opencv("a.mp4")
    with open_video(path, limits=Limits(max_frames=3)) as video:
        monkeypatch.setattr(Capture, "grab", lambda self: pytest.fail("a frame was decoded"))
        with pytest.raises(VideoTooLargeError, match="more than max_frames=3; ask for fewer at a time"):
            read_frames(video, [0.0] * 4)
