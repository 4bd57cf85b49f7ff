"""Bad inputs are typed errors that say what to do, at once, and never reach the decoder's protocols."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import cv2
import pytest

from tests.video.conftest import number_of, numbered
from vreason_agent.errors import (
    ConfigError,
    DependencyError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
    VReasonError,
)
from vreason_agent.video import Limits, local_path, probe, read_frames, read_image
from vreason_agent.video.opencv import load_cv2
from vreason_agent.video.source import open_source


def test_a_missing_file_is_not_found(tmp_path: Path):
    with pytest.raises(VideoNotFoundError, match="check the path") as caught:
        probe(tmp_path / "none.mp4")
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.mp4", "rtsp://x/y", "concat:a|b", "pipe:0"])
def test_urls_and_protocols_are_refused_at_once(url):
    start = time.monotonic()
    with pytest.raises(VideoError, match="download the video first"):
        probe(url)
    assert time.monotonic() - start < 5


def test_a_file_url_names_the_path_it_quotes():
    assert local_path("file:///my%20clips/a.mp4") == "/my clips/a.mp4"
    assert local_path("file://localhost/a.mp4") == "/a.mp4"
    assert local_path("100%25.mp4") == "100%25.mp4"
    assert local_path("FILE:/a%20b.mp4") == "/a b.mp4"
    assert local_path("file:///take #2?.mp4") == "/take #2?.mp4"


@pytest.mark.parametrize("name", ["a.mp4", "take #2.mp4", "what?.mp4", "100%.mp4", "a b.mp4", "Ünïcode.mp4"])
def test_every_door_reads_a_file_url_and_a_bare_path_alike(tmp_path: Path, write_opencv, name):
    clip = write_opencv("clip.avi", fourcc="MJPG").rename(tmp_path / name)
    picture = tmp_path / f"{name}.png"
    picture.write_bytes(cv2.imencode(".png", numbered(3))[1].tobytes())
    for url in (clip.as_uri(), f"file:{quote(str(clip))}", f"file://localhost{quote(str(clip))}", str(clip)):
        assert probe(url).path == str(clip)
        assert number_of(read_frames(url, [0.2]).images[0]) == 5
    assert number_of(read_image(picture.as_uri())) == 3
    with pytest.raises(ConfigError, match="download the file and give its path"):
        probe(f"file://elsewhere{clip}")


@pytest.mark.parametrize("url", ["https://x/a.mp4", "file://share/a.mp4", "s3://bucket/a.mp4"])
def test_a_url_of_another_machine_is_refused(url):
    with pytest.raises(ConfigError, match="download the file and give its path"):
        local_path(url)


@pytest.mark.parametrize("given", ["", "-"])
def test_empty_and_dash_are_no_files(given):
    with pytest.raises(VideoNotFoundError, match="check the path"):
        probe(given)


def test_an_empty_file_says_so(tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoDecodeError, match=r"empty \(0 bytes\); copy or download"):
        probe(tmp_path / "a.mp4")


def test_text_named_mp4_and_playlists_are_refused(tmp_path: Path, write_opencv):
    write_opencv("sibling.mp4")
    (tmp_path / "a.mp4").write_text("just text, long enough to be looked at")
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile sibling.mp4\n")
    (tmp_path / "c.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nsibling.mp4\n")
    for name in ("a.mp4", "b.mp4", "c.m3u8"):
        with pytest.raises(VideoDecodeError, match=r"content is text\); give an mp4"):
            probe(tmp_path / name)


def test_a_folder_without_frames_says_so(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(VideoDecodeError, match="give a folder of pictures or a video file"):
        probe(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no device files here")
def test_what_is_no_path_is_an_argument_error():
    with pytest.raises(ConfigError, match="give the path of a video"):
        probe(7)  # type: ignore[arg-type]


def test_a_device_is_no_regular_file():
    with pytest.raises(VideoError, match="not a regular file"):
        probe("/dev/zero")


def test_a_file_over_the_byte_limit_is_refused(write_opencv):
    with pytest.raises(VideoTooLargeError, match="cut the part you need"):
        probe(write_opencv("a.mp4"), limits=Limits(max_bytes=100))


def test_an_mp4_cut_before_its_index_says_truncated(write_opencv, tmp_path: Path):
    data = write_opencv("a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoDecodeError, match=r"truncated, damaged or holds only audio.*ffmpeg"):
        probe(tmp_path / "cut.mp4")


@pytest.mark.parametrize("share", [0.6, 0.95])
def test_a_faststart_mp4_that_is_cut_says_how_much_is_left(write_av, tmp_path: Path, share: float):
    times = list(range(0, 8000, 40))
    whole = write_av("whole.mp4", times, movflags="faststart")
    data = whole.read_bytes()
    if data.find(b"moov") > data.find(b"mdat"):
        data = _faststart(whole, tmp_path / "fast.mp4")
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * share)])
    info = probe(tmp_path / "cut.mp4")
    assert info.num_frames is not None
    assert info.readable_seconds is not None
    assert (info.is_complete, info.promised_frames) == (False, 200)
    assert info.duration_seconds == pytest.approx(8.0, abs=0.1)
    assert f"{info.num_frames} of the 200 frames" in info.note
    with pytest.raises(VideoDecodeError, match=r"truncated or damaged: \d+ of 200 frames.*get the whole file"):
        info.check_readable()
    info.check_readable(info.readable_seconds)


def test_a_cut_file_is_read_where_the_plan_can_be_met_and_never_spread_anew(write_av, tmp_path: Path):
    data = _faststart(write_av("whole.mp4", list(range(0, 8000, 40))), tmp_path / "fast.mp4")
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.6)])
    assert read_frames(tmp_path / "cut.mp4", [0.0, 1.0]).frame_indices == (0, 25)
    match = r"3 frames were asked for and 2 can be decoded, because \d+ of its 200 .* ask for earlier times"
    with pytest.raises(VideoDecodeError, match=match):
        read_frames(tmp_path / "cut.mp4", [0.0, 1.0, 7.9])


def test_what_a_cut_file_lacks_is_left_out_only_on_request_and_named(write_av, tmp_path: Path):
    data = _faststart(write_av("whole.mp4", list(range(0, 8000, 40))), tmp_path / "fast.mp4")
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.6)])
    frames = read_frames(tmp_path / "cut.mp4", [0.0, 7.9, 1.0], allow_missing=True)
    assert (frames.num_requested, frames.num_decoded, frames.missing_seconds) == (3, 2, (7.9,))
    assert frames.frame_indices == (0, 25)
    assert frames.requested_seconds == (0.0, 1.0)
    assert f"{frames.info.num_frames} of its 200 frames are there, up to " in frames.reason
    with pytest.raises(VideoDecodeError, match="get the whole file"):
        read_frames(tmp_path / "cut.mp4", [7.9], allow_missing=True)


def test_a_whole_file_lacks_nothing_and_a_time_past_its_end_stays_an_error(write_opencv):
    path = write_opencv("a.mp4")
    frames = read_frames(path, [1.0], allow_missing=True)
    assert (frames.num_requested, frames.num_decoded, frames.missing_seconds, frames.reason) == (1, 1, (), "")
    with pytest.raises(VideoDecodeError, match="ask for earlier times"):
        read_frames(path, [0.0, 9.0], allow_missing=True)


def _faststart(source: Path, target: Path) -> bytes:
    import av

    with av.open(str(source)) as reader, av.open(str(target), "w", options={"movflags": "faststart"}) as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    return target.read_bytes()


def test_audio_only_says_so(tmp_path: Path):
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        import numpy as np

        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match="only audio"):
        probe(tmp_path / "a.mp4")


def test_errors_carry_no_native_text_and_stderr_stays_clean(tmp_path: Path, write_opencv):
    data = write_opencv("a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    code = (
        "import sys; from vreason_agent.video import probe; from vreason_agent.errors import VideoError\n"
        "try: probe(sys.argv[1])\nexcept VideoError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cut.mp4")], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    assert "moov" not in done.stdout


def test_the_index_is_made_anew_when_the_file_changes(write_opencv, tmp_path: Path):
    path = write_opencv("a.mp4", num_frames=60)
    assert probe(path).num_frames == 60
    shutil.copy(write_opencv("b.mp4", num_frames=90), path)
    assert probe(path).num_frames == 90


def test_a_cv2_that_cannot_load_names_the_headless_wheel(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DependencyError, match="--force-reinstall opencv-python-headless"):
        load_cv2()


@pytest.mark.parametrize("url", ["https://u:secret@example.com/x?token=secret", "HTTP://u:secret@x/y?secret"])
@pytest.mark.parametrize("read", [probe, read_image, local_path])
def test_a_url_that_is_not_read_is_told_without_user_and_query(read, url):
    with pytest.raises(VReasonError, match=r"://(example\.com/x|x/y)'.*(download|check the path)") as caught:
        read(url)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"secret")
    (tmp_path / "a.mp4").chmod(0)
    with pytest.raises(VideoError, match="check its permissions"):
        probe(tmp_path / "a.mp4")


def test_frame_names_with_other_digits_sort_too(tmp_path: Path):
    for name in ("f2.png", "f10.png", "f\u00b2.png"):
        (tmp_path / name).write_bytes(b"x")
    names = [Path(path).name for path in open_source(tmp_path).frame_paths]
    assert names == ["f2.png", "f10.png", "f\u00b2.png"]


def test_a_picture_that_is_none_is_an_error():
    with pytest.raises(VideoDecodeError, match="give a JPEG, PNG, WebP or BMP"):
        read_image(b"not a picture")


def test_a_missing_picture_is_not_found(tmp_path: Path):
    with pytest.raises(VideoNotFoundError, match="check the path"):
        read_image(tmp_path / "none.png")


def test_av1_names_the_codec_and_the_way_out(real_videos: Path):
    with pytest.raises(VideoDecodeError, match=r"AV01.*re-encode it: ffmpeg"):
        read_frames(real_videos / "av1_video.mkv", [0.0])


def test_probe_tells_float_fps_size_and_codec(write_opencv):
    info = probe(write_opencv("a.mp4", num_frames=30, fps=29.97))
    assert info.video_fps == pytest.approx(29.97, rel=1e-3)
    assert (info.num_frames, info.width_px, info.height_px, info.codec) == (30, 64, 48, "FMP4")
    assert info.duration_seconds == pytest.approx(30 / 29.97, rel=1e-3)
    assert info.to_dict()["kind"] == "video"
