"""What must never reach a demuxer does not, and every limit is checked before the first frame is decoded."""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from tests.video.hazards import Oracle, number_of, numbered
from vreason_agent.errors import (
    ConfigError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
    VReasonError,
)
from vreason_agent.video import (
    Isolation,
    Limits,
    ReadOptions,
    file_identity,
    files,
    local_path,
    open_video,
    probe,
    pyav_decoder,
    pyav_file,
    read_frames,
    read_image,
    reader,
)
from vreason_agent.video.files import open_source

Writer = Callable[..., Path]
Call = Callable[..., Any]
CALLS: list[Call] = [probe, open_video, lambda path, options: read_frames(path, [0.5], options=options)]
CHANGED = "changed while it was open; open it again"
PLAIN = ReadOptions()
PLAYLISTS = {
    "a.ffconcat": "ffconcat version 1.0\nfile sibling.mp4\n",
    "a.m3u8": "#EXTM3U\n#EXTINF:1,\nsibling.mp4\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
    "a.mpd": '<?xml version="1.0"?><MPD><Period/></MPD>',
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what reaches a decoder, which opens nothing here."""
    paths: list[str] = []

    def refuse(source: Any, options: Any) -> Any:
        paths.append(source.path)
        raise VideoDecodeError("opened")

    monkeypatch.setattr(reader, "open_decoder", refuse)
    return paths


@pytest.fixture
def clip(write_cv: Writer) -> Path:
    return write_cv("a.mp4")


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_playlists_never_reach_a_decoder_by_any_name(tmp_path: Path, opened: list[str], name: str, suffix: str) -> None:
    path = tmp_path / (name + suffix)
    path.write_text(PLAYLISTS[name])
    with pytest.raises(VideoError, match=r"its content is text\); give an mp4"):
        read_frames(path, [0.0])
    assert opened == []


@pytest.mark.parametrize("backend", ["av", "opencv"])
@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_with_a_byte_that_no_text_has_opens_no_other_file(clip: Path, backend: Any, name: str) -> None:
    """FFmpeg knows some by their words, wherever a zero byte stands; the demuxers that follow them are not allowed."""
    path = clip.with_name(name)
    path.write_bytes(PLAYLISTS[name].replace("sibling", "a").encode() + b"\0" * 100)
    with pytest.raises(VideoDecodeError, match=r"can be opened.*give an mp4"):
        probe(path, backend=backend)


@pytest.mark.parametrize("backend", ["av", "opencv"])
@pytest.mark.parametrize("name", ["clip%d.mp4", "clip%d.jpg", "clip*.png", "-i %03d", "concat:a.mp4"])
def test_a_name_means_the_file_alone(clip: Path, tmp_path: Path, backend: Any, name: str) -> None:
    """FFmpeg goes by patterns of picture files and by protocols before it looks at the content."""
    cv2.imwrite(str(tmp_path / "clip0.jpg"), np.zeros((64, 64, 3), np.uint8))
    path = clip.rename(tmp_path / name)
    assert number_of(read_frames(path, [1.0], options=ReadOptions(backend=backend)).images[0]) == 25


def test_protocol_strings_never_reach_a_decoder(clip: Path, opened: list[str]) -> None:
    for given in [
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
    ]:
        with pytest.raises(VideoError, match=r"download the video first|check the path"):
            read_frames(given.format(clip=clip), [0.0])
        assert opened == []


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero"])
def test_a_pipe_a_socket_and_a_device_are_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str], kind: str
) -> None:
    """Opening a device may do something, and opening a pipe waits for its writer."""
    path = Path(kind) if kind.startswith("/") else tmp_path / "a.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("a.mp4")  # a path of 108 bytes at most
    open_file = os.open

    def refuse(name: Any, *how: Any, **where: Any) -> int:
        assert name not in (str(path), path.name)
        return open_file(name, *how, **where)

    monkeypatch.setattr(os, "open", refuse)
    for call in (*CALLS, read_image):
        with pytest.raises(VideoError, match="not a regular file; give the path"):
            call(path, PLAIN)
    assert opened == []


def test_a_pipe_that_takes_the_place_of_a_file_at_the_last_moment_holds_nobody_up(tmp_path: Path, monkeypatch) -> None:
    path, regular, look = tmp_path / "a.mp4", Path(__file__).stat(), os.stat
    os.mkfifo(path)
    monkeypatch.setattr(
        os, "stat", lambda given, **how: regular if str(given) in (str(path), path.name) else look(given, **how)
    )
    for call in (*CALLS, read_image):
        with pytest.raises(VideoError, match="not a regular file; give the path"):
            call(path, PLAIN)


@pytest.mark.parametrize("call", CALLS)
def test_a_link_out_of_the_roots_is_refused_and_one_inside_is_read(clip: Path, tmp_path: Path, call: Call) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out.mp4").symlink_to(clip)
    for given in (root / "out.mp4", clip, root / ".." / "a.mp4"):
        with pytest.raises(VideoError, match=r"outside the allowed folders .* allow its folder"):
            call(given, ReadOptions([root]))
    with pytest.raises(VideoError, match=r"\(no folder\), links resolved; move it there"):
        call(clip, ReadOptions([]))
    with pytest.raises(VideoError, match="outside the allowed folders"):
        call(clip, ReadOptions([tmp_path / "ro"]))
    (tmp_path / "alias").symlink_to(tmp_path)
    assert call(tmp_path / "alias" / "a.mp4", ReadOptions([tmp_path])) is not None


def test_a_text_in_place_of_a_list_of_roots_is_refused_though_it_holds_a_slash() -> None:
    for roots in ["/srv", b"/srv", [7], iter(["/"]), 7]:
        with pytest.raises(ConfigError, match=r"are no list of paths; give one, e\.g\. \['/"):
            ReadOptions(roots)  # type: ignore[arg-type]


def test_options_of_another_kind_are_refused() -> None:
    odd: list[dict[str, Any]] = [{"limits": None}, {"isolation": True}]
    for given in odd:
        with pytest.raises(ConfigError, match=r"give ReadOptions\(limits=Limits\(\.\.\.\), isolation=Isolation"):
            ReadOptions(**given)
    for backend in ("decord", None):
        with pytest.raises(ConfigError, match="use one of: auto, av, opencv"):
            ReadOptions(backend=backend)  # type: ignore[arg-type]


@pytest.mark.parametrize("swap", ["link", "script", "folder"])
@pytest.mark.parametrize("backend", ["av", "opencv"])
def test_what_takes_the_place_of_a_file_after_the_check_is_never_read(
    clip: Path, tmp_path: Path, monkeypatch, backend: Any, swap: str
) -> None:
    """The descriptor that was checked is what is decoded; a swapped path is an error at the next look at it."""
    (tmp_path / "root" / "sub").mkdir(parents=True)
    path, secret = tmp_path / "root" / "sub" / "clip.mp4", tmp_path / "secret.mp4"
    shutil.copy(clip, path)
    shutil.copy(clip, secret)
    options = ReadOptions([tmp_path / "root"], backend=backend)
    source = open_source(path, options)
    if swap == "folder":
        os.rename(path.parent, tmp_path / "old")
        path.parent.symlink_to(tmp_path)
        os.rename(secret, tmp_path / "clip.mp4")
    else:
        path.unlink()
        path.symlink_to(secret) if swap == "link" else path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    opened = os.fstat(source.descriptor)
    monkeypatch.setattr(reader, "open_source", lambda *_: source)
    with pytest.raises(VideoDecodeError, match=CHANGED):
        read_frames(path, [0.5], options=options)
    assert opened.st_ino != path.stat().st_ino


def test_where_descriptors_have_no_names_opencv_opens_a_file_by_its_own_and_it_is_compared(
    clip: Path, monkeypatch
) -> None:
    monkeypatch.setattr("vreason_agent.video.opencv_decoder.DESCRIPTORS", "/none")
    options, open_capture = ReadOptions(backend="opencv"), cv2.VideoCapture
    assert read_frames(clip, [0.5], options=options).frame_indices == (12,)

    def late(name: str, *how: Any) -> cv2.VideoCapture:
        assert name == str(clip)
        clip.write_bytes(clip.read_bytes())
        return open_capture(name, *how)

    monkeypatch.setattr(cv2, "VideoCapture", late)
    with pytest.raises(VideoDecodeError, match=CHANGED):
        read_frames(clip, [0.5], options=options)


@pytest.mark.parametrize("has_paths", [False, True])
def test_a_folder_that_becomes_a_link_after_the_roots_were_checked_leads_nowhere(
    tmp_path: Path, monkeypatch, has_paths: bool
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for folder, brightness in ((root / "sub", 1), (out, 9)):
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "a.png"), numbered(brightness))
    if not has_paths:
        monkeypatch.delattr(os, "O_PATH")

    def swap(path: str, given: str, roots: Any) -> None:
        if not (root / "sub").is_symlink():
            os.rename(root / "sub", root / "old")
            (root / "sub").symlink_to(out)

    for call in (*CALLS, read_image):
        monkeypatch.setattr(files, "_check_inside", swap)
        with pytest.raises(VideoError, match=r"check (its permissions|the path)"):
            call(root / "sub" / "a.png", ReadOptions([root]))
        (root / "sub").unlink()
        os.rename(root / "old", root / "sub")


def test_pictures_of_a_folder_that_lead_out_of_the_roots_are_not_given(tmp_path: Path) -> None:
    frames, secret = tmp_path / "frames", tmp_path / "secret.png"
    frames.mkdir()
    for number in range(4):
        cv2.imwrite(str(frames / f"{number}.png"), np.full((40, 40, 3), 10, np.uint8))
    cv2.imwrite(str(secret), np.full((40, 40, 3), 200, np.uint8))
    seen: list[int] = []

    def swap(done: int, total: int) -> None:
        if done == 1:
            (frames / "3.png").unlink()
            (frames / "3.png").symlink_to(secret)

    def noted(picture: np.ndarray) -> np.ndarray:
        seen.append(int(picture.mean()))
        return picture

    with (
        open_video(frames, ReadOptions([frames])) as video,
        pytest.raises(VideoDecodeError, match=CHANGED),
    ):
        read_frames(video, [0.0, 1.0, 2.0, 3.0], resize=noted, on_progress=swap)
    assert set(seen) == {10}
    with pytest.raises(VideoError, match="outside the allowed folders"):
        probe(frames, ReadOptions([frames]))


def test_an_identity_tells_files_of_one_size_and_time_apart_and_changes_of_one_file(clip: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(clip, tmp_path / "b.mp4"))
    os.utime(other, ns=(clip.stat().st_atime_ns, clip.stat().st_mtime_ns))
    before, status = file_identity(str(clip)), clip.stat()
    assert before != file_identity(str(other))
    clip.write_bytes(bytes(status.st_size))
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert before != file_identity(str(clip))
    assert file_identity(str(tmp_path / "none")) is None


@pytest.mark.parametrize("backend", ["av", "opencv"])
@pytest.mark.parametrize(
    ("limits", "match"),
    [
        (Limits(max_bytes=10), "max_bytes=10; cut the part you need"),
        (Limits(max_pixels=10), "max_pixels=10; scale it down first"),
        (Limits(max_seconds=0.5), r"max_seconds=0\.5; cut the part you need: ffmpeg"),
        (Limits(max_frames=0), "max_frames=0; ask for fewer at a time"),
        (Limits(max_result_bytes=64 * 48 * 3 - 1), "max_result_bytes=9,215; give a smaller max_side_px"),
    ],
    ids=["bytes", "pixels", "seconds", "frames", "result"],
)
def test_every_limit_is_checked_before_a_frame_is_decoded(clip: Path, monkeypatch, limits, match, backend: Any) -> None:
    decoded: list[Any] = []
    monkeypatch.setattr(pyav_decoder, "picture_of", decoded.append)
    if "max_result" not in match:  # rotation is known by the first frame, which stays in the decoder
        monkeypatch.setattr(pyav_file.PyAVFile, "frames", lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr("vreason_agent.video.opencv_decoder.OpenCVDecoder._grab", lambda _: pytest.fail("decoded"))
    with pytest.raises(VideoTooLargeError, match=match):
        read_frames(clip, [0.0], options=ReadOptions(limits=limits, backend=backend))
    assert decoded == []


@pytest.mark.parametrize("backend", ["av", "opencv"])
def test_the_frames_that_are_decoded_to_reach_one_are_limited(hazard: Callable[[str], Oracle], backend: Any) -> None:
    options = ReadOptions(limits=Limits(max_decoded_frames=30), backend=backend)
    with pytest.raises(VideoTooLargeError, match="max_decoded_frames=30; cut the part you need"):
        read_frames(hazard("one keyframe").path, [3.0], options=options)
    with pytest.raises(VideoTooLargeError, match="max_decoded_frames=30; cut the part you need"):
        probe(hazard("MPEG-PS").path, options)


def test_a_length_that_no_header_tells_is_limited_when_it_is_found(hazard: Callable[[str], Oracle]) -> None:
    with pytest.raises(VideoTooLargeError, match="max_seconds=2; cut the part you need"):
        probe(hazard("webm without duration").path, ReadOptions(limits=Limits(max_seconds=2.0)))


def test_a_folder_of_more_seconds_than_allowed_is_refused_before_a_picture_is_read(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(VideoTooLargeError, match="max_seconds=3; cut the part you need"):
        probe(tmp_path, ReadOptions(limits=Limits(max_seconds=3.0)))


def test_what_a_resize_makes_too_large_is_refused_at_its_first_frame(write_cv: Writer) -> None:
    path, made = write_cv("a.mp4", size=(160, 120)), []

    def doubled(picture: np.ndarray) -> np.ndarray:
        made.append(picture)
        return np.repeat(picture, 2, axis=0)

    options = ReadOptions(limits=Limits(max_result_bytes=160 * 120 * 3 * 4))
    assert read_frames(path, [0.0, 1.0], resize=doubled, options=options).images.shape == (2, 240, 160, 3)
    made.clear()
    with pytest.raises(VideoTooLargeError, match=r"3 frames .* at 160x240 pixels are 345,600 bytes.*ask for fewer"):
        read_frames(path, [0.0, 1.0, 2.0], resize=doubled, options=options)
    assert len(made) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"max_wall_seconds": math.nan},
        {"max_seconds": math.nan},
        {"max_seconds": "x"},
        {"max_bytes": 1e9},
        {"max_pixels": None},
        {"max_frames": -1},
        {"max_decoded_frames": True},
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


@pytest.mark.parametrize(
    "odd", [{"max_memory_bytes": 4e9}, {"max_memory_bytes": 10**30}, {"max_seconds": 0.0}], ids=str
)
def test_limits_of_a_process_that_allow_nothing_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"use a whole number of bytes from 1 to 2.*a number of seconds above 0"):
        Isolation(**odd)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///my%20clips/a.mp4", "/my clips/a.mp4"),
        ("file://localhost/a.mp4", "/a.mp4"),
        ("100%25.mp4", "100%25.mp4"),
        ("FILE:/a%20b.mp4", "/a b.mp4"),
        ("file:///take #2?.mp4", "/take #2?.mp4"),
    ],
)
def test_a_file_url_names_the_path_it_quotes(url: str, path: str) -> None:
    assert local_path(url) == path


def test_a_url_of_another_machine_is_refused() -> None:
    for url in ["https://x/a.mp4", "file://share/a.mp4", "s3://b/a.mp4", "file://[::1/x", "http://[::1/x"]:
        with pytest.raises(ConfigError, match="nothing is fetched from a network; download the file and give its path"):
            local_path(url)


@pytest.mark.parametrize("name", ["take #2.mp4", "what?.mp4", "100%.mp4", "a b.mp4", "Ünïcode.mp4"])
def test_every_door_reads_a_file_url_and_a_bare_path_alike(tmp_path: Path, clip: Path, name: str) -> None:
    path, picture = clip.rename(tmp_path / name), tmp_path / f"{name}.png"
    picture.write_bytes(cv2.imencode(".png", numbered(3))[1].tobytes())
    for url in (path.as_uri(), f"file:{quote(str(path))}", f"file://localhost{quote(str(path))}", str(path)):
        assert probe(url).path == str(path)
        assert number_of(read_frames(url, [0.2]).images[0]) == 5
    assert number_of(read_image(picture.as_uri())) == 3


@pytest.mark.parametrize("url", ["https://u:secret@example.com/x?token=secret", "HTTP://u:secret@x/y?secret"])
@pytest.mark.parametrize("read", [probe, read_image, local_path])
def test_a_url_that_is_not_read_is_told_without_user_and_query(read: Call, url: str) -> None:
    with pytest.raises(VReasonError, match=r"://(example\.com/x|x/y)'.*(download|check the path)") as caught:
        read(url)
    assert "secret" not in str(caught.value)


def test_what_is_no_video_is_told_at_most_in_two_hundred_characters(tmp_path: Path) -> None:
    cases: list[tuple[Any, type[VReasonError], str]] = [
        (tmp_path / "none.mp4", VideoNotFoundError, "check the path"),
        ("x" * 5000, VideoNotFoundError, "check the path"),
        ("a\x00b", VideoNotFoundError, "no such file or folder: .*; check the path"),
        (7, ConfigError, "give the path of a video"),
        (b"\xff.mp4", VideoNotFoundError, "check the path"),
        (tmp_path, VideoDecodeError, "give a folder of pictures or a video file"),
    ]
    for given, kind, match in cases:
        with pytest.raises(kind, match=match) as caught:
            probe(given)
        assert len(str(caught.value)) < 700
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoDecodeError, match=r"empty \(0 bytes\); copy or download"):
        probe(tmp_path / "a.mp4")
    odd = tmp_path / os.fsdecode(b"\xff.mp4")
    odd.write_bytes(b"\0")
    with pytest.raises(ConfigError, match="has a name that is not UTF-8; rename it"):
        probe(odd)
    (tmp_path / "zip.mp4").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(VideoDecodeError, match=re.escape("of another format or holds only audio; give an mp4")):
        probe(tmp_path / "zip.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"secret")
    (tmp_path / "a.mp4").chmod(0)
    with pytest.raises(VideoError, match="check its permissions"):
        probe(tmp_path / "a.mp4")
