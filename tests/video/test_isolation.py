"""A decoder that dies, hangs or grows in the worker process is a typed error here, and nothing else.

What a hostile worker may answer is checked in this process; only a few tests start a real one.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.hazards import Oracle, number_of, numbered
from vreason_agent.errors import VideoDecodeError, VideoError, VideoNotFoundError, VideoTooLargeError
from vreason_agent.video import Isolation, Limits, ReadOptions, open_video, probe, read_frames, read_images
from vreason_agent.video import remote_decoder as remote
from vreason_agent.video.decoder import Watch
from vreason_agent.video.files import open_source
from vreason_agent.video.pyav_decoder import PyAVDecoder

ISOLATED = ReadOptions(isolation=Isolation())


@pytest.fixture
def clip(hazard: Callable[[str], Oracle]) -> Path:
    return hazard("B-frames").path


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every native decoder fail the test that reaches it in this process."""
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("decoded here"))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded here"))


def test_an_isolated_video_is_read_as_here_one_process_for_all_reads(clip: Path, monkeypatch) -> None:
    how: dict[str, Any] = {"max_side_px": 32, "resize": lambda picture: picture[::2]}
    here, info = read_frames(clip, [1.0, 0.0], **how), probe(clip)
    with open_video(clip) as video:
        keys = video.keyframes_seconds
    started: list[Any] = []
    start = subprocess.Popen

    def noted(*command: Any, **how: Any) -> Any:
        started.append(command)
        return start(*command, **how)

    monkeypatch.setattr(subprocess, "Popen", noted)
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("decoded here"))
    with open_video(clip, ISOLATED) as video:
        alone = read_frames(video, [1.0, 0.0], **how)
        assert np.array_equal(alone.images, here.images)
        assert (alone.timestamps_seconds, alone.frame_indices) == (here.timestamps_seconds, here.frame_indices)
        assert (video.info, alone.method) == (info, "seek")
        assert video.keyframes_seconds == keys
        later = read_frames(video, [0.0, 0.5, 1.0], expected=[0.2], **how)
        assert np.array_equal(later.images[[0, 2]], here.images[::-1])
        with pytest.raises(VideoDecodeError, match=r"no frame at 9\.000 s: its 100 frames end at 4\.000 s"):
            read_frames(video, [9.0])
        assert len(started) == 1
        video._decoder._worker._process.kill()  # type: ignore[union-attr]
        with pytest.raises(VideoDecodeError, match=r"died: .*re-encode it"):
            read_frames(video, [2.0])
        assert read_frames(video, [2.0]).frame_indices == (50,), "another process follows"
    assert len(started) == 2


def test_pictures_are_decoded_there_to_the_same_pixels(tmp_path: Path, nothing_here: None) -> None:
    pictures = [numbered(number)[..., ::-1] for number in range(3)]
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(number))
    sources: list[Any] = [tmp_path / "0.png", (tmp_path / "1.png").read_bytes()]
    for image, picture in zip(read_images(sources, ISOLATED), pictures, strict=False):
        assert np.array_equal(image, picture)
    frames = read_frames(tmp_path, [2.0, 0.0], options=ISOLATED)
    assert [number_of(image) for image in frames.images] == [2, 0]
    assert read_frames(tmp_path / "2.png", [0.0], options=ISOLATED).method == "image"
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes()[:70])
    with pytest.raises(VideoDecodeError, match=r"3\.png' cannot be decoded as a picture; give a JPEG"):
        read_images([tmp_path / "3.png"], ISOLATED)


def test_errors_of_the_process_are_those_of_this_one(tmp_path: Path, nothing_here: None, clip: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:500])
    with pytest.raises(VideoDecodeError, match=r"no video stream of .*broken\.mp4' can be opened"):
        probe(broken, ISOLATED)
    with pytest.raises(VideoNotFoundError, match="check the path"):
        probe(tmp_path / "none.mp4", ISOLATED)
    with pytest.raises(VideoTooLargeError, match="max_pixels=10; scale it down first"):
        probe(clip, ReadOptions(limits=Limits(max_pixels=10), isolation=Isolation()))


@pytest.mark.parametrize(
    ("isolation", "match"),
    [
        (Isolation(max_seconds=0.01), r"took over max_seconds=0\.01 and was ended; ask for fewer frames"),
        (Isolation(max_memory_bytes=2**27), "died: the file is damaged or hostile, or needs over max_memory_bytes=134"),
    ],
)
def test_a_process_that_takes_too_much_is_ended(clip: Path, isolation: Isolation, match: str) -> None:
    with pytest.raises(VideoDecodeError, match=match):
        read_frames(clip, [1.0], options=ReadOptions(isolation=isolation))


def test_what_a_native_library_writes_reaches_nobody(clip: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text(
        "import os, sys\nos.write(1, b'native')\nos.write(2, b'native')\n"
        "sys.path.remove(os.path.dirname(os.path.dirname(__file__)))\ndel sys.modules['av']\nimport av\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert read_frames(clip, [1.0], options=ISOLATED).frame_indices == (25,)
    assert capfd.readouterr() == ("", "")


def test_a_decoder_that_hangs_is_ended_though_nobody_is_there_to_end_it(clip: Path, tmp_path: Path) -> None:
    """The alarm is set for each request: a process that waits for one is not ended."""
    (tmp_path / "av.py").write_text("import time\ntime.sleep(60)\n")
    source, path = open_source(clip, ISOLATED), [str(tmp_path), *sys.path]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "vreason_agent.video.worker", str(2**33), "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(source.descriptor,),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in path)},
    )
    assert process.stdin is not None
    with process:
        opening = {"do": "open", "path": source.path, "kind": "video", "identity": source.identity, "limits": {}}
        process.stdin.write(json.dumps({**opening, "fd": source.descriptor, "backend": "av"}).encode() + b"\n")
        process.stdin.flush()
        assert process.wait(timeout=30) == -signal.SIGALRM
    source.close()


class Hostile(remote.WorkerProcess):
    """A worker whose answers a test writes."""

    def __init__(self, *answers: Any) -> None:
        sent = [head if isinstance(head, bytes) else json.dumps(head).encode() + b"\n" for head in answers]
        self._answers, self._requests = io.BufferedReader(io.BytesIO(b"".join(sent))), io.BytesIO()
        self._process = SimpleNamespace(kill=lambda: None, wait=lambda: None)  # type: ignore[assignment]
        self._isolation, self._is_late, self.has_ended = Isolation(), False, False


INFO: dict[str, Any] = {
    "path": "/a.mp4",
    "kind": "video",
    "video_fps": 1.0,
    "num_frames": 1,
    "duration_seconds": 1.0,
    "width_px": 1,
    "height_px": 1,
    "codec": "x",
    "is_constant_rate": True,
    "streams": [],
    "backend": "av",
}
HEAD: dict[str, Any] = {"start_seconds": 0.0, "stop_seconds": 1.0, "number": 0, "shape": [1, 1, 3], "method": "seek"}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A function from what a worker answers, after its facts, to the frame at a time."""

    def answered(*answers: Any, info: Any = INFO, seconds: float = 0.5) -> Any:
        monkeypatch.setattr(remote, "WorkerProcess", lambda *_: Hostile(info, *answers))
        source: Any = SimpleNamespace(path="/a.mp4", kind="video", identity=(1,), descriptor=-1)
        decoder = remote.RemoteDecoder(source, ISOLATED, Isolation())
        return decoder.frame_at(seconds, None, Watch("/a.mp4", Limits()))

    return answered


def test_an_agreed_answer_is_taken(ask: Callable[..., Any]) -> None:
    frame = ask(HEAD, b"abc")
    assert (frame.start_seconds, frame.picture.tobytes()) == (0.0, b"abc")
    assert ask({"end": True}) is None


NOT_ASKED_FOR: list[dict[str, Any]] = [
    *({"shape": shape} for shape in ([1, 2, 3], [1, 1, 4], [10**6, 10**6, 3], [1, 1], [-1, -1, 3])),
    *({"start_seconds": time} for time in (0.6, -1.0, "0")),
    *({"stop_seconds": time} for time in (0.4, float("inf"))),
    *({"number": number} for number in (-1, 2**60, 0.5)),
    {"method": "guess"},
]
NO_ANSWERS: list[Any] = [
    *(b"", b"\n", b"[]\n", b"{", b"null\n", b"\xff\n", b"[" * 100_000 + b"\n"),
    *({}, {"error": "SystemExit"}, {"error": "VideoError", "message": [1]}),
]
NOT_OF_THE_FILE: list[dict[str, Any]] = [
    *({"path": "/etc/passwd"}, {"kind": "image"}, {"backend": "opencv"}, {"hdr": "x"}, {"extra": 1}),
    *({"width_px": 10**6, "height_px": 10**6}, {"width_px": 0}, {"num_frames": -1}, {"duration_seconds": float("nan")}),
    *({"codec": "x\x1b[2J"}, {"note": "x" * 20_000}, {"streams": [{"width_px": 1}]}),
]


def test_a_frame_that_was_not_asked_for_is_not_taken(ask: Callable[..., Any]) -> None:
    for changed in NOT_ASKED_FOR:
        with pytest.raises(VideoDecodeError, match=r"the process that read '/a\.mp4' died: .*re-encode it"):
            ask({**HEAD, **changed}, b"abc")


def test_what_is_no_answer_and_pixels_that_do_not_all_come_are_an_error(ask: Callable[..., Any]) -> None:
    for answers in (*((answer,) for answer in NO_ANSWERS), (HEAD, b"ab")):
        with pytest.raises(VideoDecodeError, match="died: the file is damaged or hostile"):
            ask(*answers)


def test_facts_that_cannot_be_of_the_file_are_not_taken(ask: Callable[..., Any]) -> None:
    for changed in NOT_OF_THE_FILE:
        with pytest.raises(VideoDecodeError, match="died"):
            ask(info={**INFO, **changed})


def test_an_error_is_of_a_kind_that_reading_raises_and_printable() -> None:
    error = remote.checked_error({"error": "VideoError", "message": "a\x1b[2Jb" + "x" * 20_000})
    assert type(error) is VideoError
    assert str(error).startswith("a?[2Jb")
    assert len(str(error)) == remote.MAX_TEXT_CHARS
    for odd in ({"error": "KeyError", "message": "x"}, {"error": "VideoError"}, {"error": "VideoError", "message": 1}):
        with pytest.raises((KeyError, TypeError)):
            remote.checked_error(odd)


@pytest.mark.parametrize("head", [{"shape": [1, 1, 3]}, {"shape": [48, 64, 4]}, {"shape": "x"}, {}], ids=str)
def test_a_picture_of_another_size_than_its_header_tells_is_not_taken(head: dict[str, Any]) -> None:
    data = cv2.imencode(".png", numbered(1))[1].tobytes()
    with pytest.raises(VideoDecodeError, match=r"damaged|died"):
        Hostile(head, bytes(48 * 64 * 4)).decode_image(data, "a.png", Limits())


def test_the_worker_is_given_the_descriptor_that_was_checked(clip: Path, tmp_path: Path, monkeypatch) -> None:
    """Whatever takes the file's place meanwhile, the process decodes what was checked here."""
    path = tmp_path / "a.mp4"
    path.write_bytes(clip.read_bytes())
    source = open_source(path, ISOLATED)
    path.unlink()
    path.write_text("ffconcat version 1.0\n")
    decoder = remote.RemoteDecoder(source, ISOLATED, Isolation())
    frame = decoder.frame_at(1.0, None, Watch(source.path, Limits()))
    assert frame is not None
    assert number_of(frame.picture) == 25
    decoder.close()
    source.close()
