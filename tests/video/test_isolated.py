"""A decoder that dies, hangs or grows in the reading process is a typed error here, and nothing else."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.conftest import numbered
from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError, VideoNotFoundError, VideoTooLargeError
from vreason_agent.video import (
    IsolatedVideo,
    Isolation,
    Limits,
    open_video,
    probe,
    read_frames,
    read_image,
    read_images,
)
from vreason_agent.video.capture import Capture
from vreason_agent.video.isolated import open_request
from vreason_agent.video.isolated_process import FrameSender
from vreason_agent.video.receiving import Receiver
from vreason_agent.video.source import open_source

Fake = Callable[[str], None]
PROCESS = """
import json, os, signal, sys, time
pipe = os.fdopen(os.dup(1), "wb")
def answer(head, pixels=b""):
    pipe.write((head if isinstance(head, bytes) else json.dumps(head).encode()) + b"\\n" + pixels)
    pipe.flush()
request = json.loads(sys.stdin.readline())
INFO = {
    "path": request.get("video"), "kind": "video", "video_fps": 1.0, "num_frames": 1, "duration_seconds": 1.0,
    "width_px": 1, "height_px": 1, "codec": "x", "is_constant_rate": True, "streams": [], "backend": "opencv",
}
FRAME, START = {"frame": 0, "shape": [1, 1, 3]}, {"numbers": [0]}
DONE = {
    "timestamps_seconds": [0.0], "requested_seconds": [0.0], "frame_indices": [0], "method": "walk",
    "missing_seconds": [], "reason": "",
}
"""


@pytest.fixture
def fake_process(tmp_path: Path, monkeypatch) -> Fake:
    """Put a program of a test's own in the place of the reading process."""

    def fake(code: str) -> None:
        path = tmp_path / "reading_process.py"
        path.write_text(PROCESS + code)
        start = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", lambda command, **pipes: start([sys.executable, str(path)], **pipes))

    return fake


@pytest.fixture
def nothing_here(monkeypatch) -> None:
    """Let every native decoder fail the test that reaches it in this process."""
    monkeypatch.setattr(Capture, "__init__", lambda self, path, **options: pytest.fail("decoded here"))
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded here"))


def test_an_isolated_read_gives_what_a_read_here_gives(write_opencv):
    path = write_opencv("a.mp4")
    here = read_frames(path, [1.0, 0.0], max_side_px=32)
    alone = read_frames(path, [1.0, 0.0], max_side_px=32, isolate=True)
    assert np.array_equal(alone.images, here.images)
    assert vars(alone) | {"images": None} == vars(here) | {"images": None}


def test_an_isolated_video_tells_the_same_keyframes(write_opencv):
    path = write_opencv("a.mp4")
    with open_video(path) as here, open_video(path, isolate=True) as alone:
        assert alone.keyframes_seconds == here.keyframes_seconds != ()


def test_no_decoder_of_this_process_touches_an_isolated_file(write_opencv, tmp_path: Path, nothing_here):
    path = write_opencv("a.mp4")
    cv2.imwrite(str(tmp_path / "a.png"), numbered(3))
    assert probe(path, isolate=True).num_frames == 60
    assert read_frames(path, [1.0], isolate=True).frame_indices == (25,)
    assert read_frames(tmp_path / "a.png", [0.0], isolate=True).method == "image"
    assert read_images([tmp_path / "a.png", (tmp_path / "a.png").read_bytes()], isolate=True)[1].shape == (48, 64, 3)


def test_an_isolated_video_is_opened_once_for_many_reads_and_closed_with_its_process(write_opencv):
    with open_video(write_opencv("a.mp4"), isolate=True) as video:
        assert [read_frames(video, [time]).frame_indices for time in (0.0, 2.0, 1.0)] == [(0,), (50,), (25,)]
        with pytest.raises(VideoDecodeError, match="ask for earlier times"):
            read_frames(video, [9.0])
        assert read_frames(video, [0.5]).frame_indices == (12,)
    with pytest.raises(ConfigError, match=r"read inside `with open_video\(\.\.\.\)`"):
        read_frames(video, [0.0])


def test_a_probe_is_kept_until_the_file_changes(write_opencv, fake_process: Fake):
    path = write_opencv("a.mp4")
    assert probe(path, isolate=True).num_frames == 60
    fake_process("os._exit(1)")
    assert probe(path, isolate=True).num_frames == 60
    path.write_bytes(write_opencv("b.mp4", num_frames=90).read_bytes())
    with pytest.raises(VideoDecodeError, match="re-encode it"):
        probe(path, isolate=True)


def test_pictures_are_read_alike(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), numbered(3))
    data = (tmp_path / "a.png").read_bytes()
    here = read_image(data)
    for images in (read_images([tmp_path / "a.png", data]), read_images([tmp_path / "a.png", data], isolate=True)):
        assert all(np.array_equal(image, here) for image in images)
    with pytest.raises(VideoDecodeError, match=r"3 bytes of image data cannot be decoded.*give a JPEG"):
        read_images([b"abc"], isolate=True)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"limits": Limits(max_bytes=10)}, VideoTooLargeError, "cut the part you need"),
        ({"limits": Limits(max_pixels=10)}, VideoTooLargeError, "scale it down first"),
        ({"timestamps": [9.0]}, VideoDecodeError, "ask for earlier times"),
        ({"timestamps": []}, ConfigError, "give at least one time"),
        ({"roots": []}, VideoError, "outside the allowed folders"),
        ({"video": "none.mp4"}, VideoNotFoundError, "check the path"),
        ({"isolate": Isolation(max_memory_bytes=2**20)}, VideoDecodeError, r"max_memory_bytes=1,048,576; re-encode"),
        ({"isolate": Isolation(max_seconds=0.01)}, VideoDecodeError, r"max_seconds=0\.01 and was ended; ask for"),
    ],
)
def test_an_error_keeps_its_kind_and_remedy(write_opencv, options, error, match):
    arguments = {"video": write_opencv("a.mp4"), "timestamps": [0.0], "isolate": True, **options}
    with pytest.raises(error, match=match):
        read_frames(**arguments)


@pytest.mark.parametrize(
    ("ending", "match"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"died: the file is damaged or hostile.*re-encode it: ffmpeg"),
        ("time.sleep(60)", r"took over max_seconds=1 and was ended; ask for fewer frames"),
    ],
)
def test_a_decoder_that_crashes_or_hangs_is_an_error(write_opencv, tmp_path: Path, monkeypatch, ending, match):
    decoder = tmp_path / "bad" / "cv2.py"
    decoder.parent.mkdir()
    decoder.write_text(f"import os, signal, time\n{ending}\n")
    path = write_opencv("a.mp4")
    monkeypatch.syspath_prepend(str(decoder.parent))
    start = time.monotonic()
    with pytest.raises(VideoDecodeError, match=match):
        read_frames(path, [0.0], isolate=Isolation(max_seconds=1.0 if "sleep" in ending else 60.0))
    assert time.monotonic() - start < 30


START = b'{"numbers": [0]}\n'


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON",
        b"[" * 100_000,
        b"[1, 2]",
        b'{"progress": ["x", 1]}',
        b'{"progress": [Infinity, 1]}',
        b'{"progress": [-1, 1]}',
        b'{"progress": [true, 1]}',
        b'{"numbers": [Infinity]}',
        b'{"numbers": [-1]}',
        b'{"numbers": [1e30]}',
        b'{"numbers": ["0"]}',
        START + b'{"frame": Infinity, "shape": [1, 1, 3]}\nabc',
        START + b'{"frame": -1, "shape": [1, 1, 3]}\nabc',
        START + b'{"frame": null, "shape": [1, 1, 3]}\nabc',
        START + b'{"frame": 0, "shape": [Infinity, 1, 3]}',
        START + b'{"frame": 0, "shape": [1, 3]}',
        START + b'{"frame": 0, "shape": [2, 1, 3]}\nabcabc',
        b'{"error": "SystemExit", "message": "x"}',
        b'{"error": ["VideoError"], "message": "x"}',
        b'{"error": "VideoError", "message": {"a": 1}}',
        b'{"error": "VideoError"}',
        b"null",
        b'[["numbers", [0]]]',
        START + b'{"frame": 0, "shape": [2, 2, 3]}\nab',
        START + b'{"frame": 0, "shape": [2, 1e300, 3]}',
        START + b'{"frame": 0, "shape": [100000, 100000, 3]}',
        START + b'{"frame": 0, "shape": [0, 2, 3]}',
        START + b'{"frame": 0, "shape": [2, 2, 4]}',
        START + b'{"frame": 0, "shape": "abc"}',
        START + b'{"frame": 1, "shape": [1, 1, 3]}\nabc{"timestamps_seconds": []}',
        START + b"{}",
        b'{"frame": 0, "shape": [1, 1, 3]}\nabc',
        b'{"numbers": []}',
        b'{"numbers": [0, 1]}',
        b'{"numbers": 3}',
        b"{}",
        b"",
    ],
)
def test_what_a_taken_over_process_says_is_an_error_and_never_code(write_opencv, fake_process: Fake, said: bytes):
    fake_process(f"answer(INFO)\nsys.stdin.readline()\nanswer({said!r})\n")
    with open_video(write_opencv("a.mp4"), isolate=True) as video:
        for _ in range(2):
            with pytest.raises(VideoDecodeError, match="re-encode it"):
                video.read([0.0], on_progress=lambda done, total: None)


ODD_ANSWERS: list[dict[str, Any]] = [
    {"timestamps_seconds": [float("nan")]},
    {"timestamps_seconds": [float("inf")]},
    {"timestamps_seconds": [-1.0]},
    {"timestamps_seconds": ["0"]},
    {"timestamps_seconds": []},
    {"timestamps_seconds": [0.0, 0.0]},
    {"requested_seconds": [1.0]},
    {"requested_seconds": []},
    {"frame_indices": [None]},
    {"frame_indices": [1]},
    {"frame_indices": [True]},
    {"frame_indices": []},
    {"method": "<b>"},
    {"missing_seconds": [1.0]},
    {"missing_seconds": [0.0], "requested_seconds": [], "reason": "cut"},
    {"reason": "nothing is missing"},
    {"reason": {"a": 1}},
    {"reason": None},
]


@pytest.mark.parametrize("odd", ODD_ANSWERS, ids=str)
def test_what_a_taken_over_process_says_of_frames_has_to_be_of_those_that_were_asked_for(
    write_opencv, fake_process: Fake, odd: dict[str, Any]
):
    fake_process(
        f"answer(INFO)\nfor odd in ({{}}, {json.dumps(odd)!r}):\n    sys.stdin.readline()\n    answer(START)\n"
        "    answer(FRAME, b'abc')\n    answer({**DONE, **json.loads(odd or '{}')})\n"
    )
    with open_video(write_opencv("a.mp4"), isolate=True, max_kept_bytes=0) as video:
        assert bytes(video.read([0.0]).images) == b"abc"
        with pytest.raises(VideoDecodeError, match="re-encode it"):
            video.read([0.0])


def test_a_picture_of_another_size_than_the_files_is_not_taken(write_opencv, fake_process: Fake):
    fake_process(
        "answer(INFO)\nfor height in (1, 2):\n    sys.stdin.readline()\n    answer(START)\n"
        "    answer({'frame': 0, 'shape': [height, 1, 3]}, b'abc' * height)\n    answer(DONE)\n"
    )
    with open_video(write_opencv("a.mp4"), isolate=True, max_kept_bytes=0) as video:
        assert bytes(video.read([0.0]).images) == b"abc"
        with pytest.raises(VideoDecodeError, match="re-encode it"):
            video.read([0.0])


def test_a_taken_over_process_may_lack_frames_only_where_that_is_allowed_and_says_why_in_words(
    write_opencv, fake_process: Fake
):
    lack = {"missing_seconds": [1.0], "reason": "cut"}
    reasons = ["cut", "\x1b[31mred", "x" * 1001, "\ud800", ""]
    fake_process(
        f"answer(INFO)\nfor reason in {reasons!a}:\n    sys.stdin.readline()\n    answer(START)\n"
        f"    answer(FRAME, b'abc')\n    answer({{**DONE, **{lack!r}, 'reason': reason}})\n"
    )
    with open_video(write_opencv("a.mp4"), isolate=True, max_kept_bytes=0) as video:
        assert video.read([0.0, 1.0], allow_missing=True).missing_seconds == (1.0,)
        with pytest.raises(VideoDecodeError, match="re-encode it"):
            video.read([0.0, 1.0])
    for reason in reasons[1:]:
        fake_process(
            f"answer(INFO)\nsys.stdin.readline()\nanswer(START)\nanswer(FRAME, b'abc')\n"
            f"answer({{**DONE, **{lack!r}, 'reason': {reason!a}}})\n"
        )
        with pytest.raises(VideoDecodeError, match="re-encode it"):
            read_frames(write_opencv("b.mp4"), [0.0, 1.0], allow_missing=True, isolate=True)


@pytest.mark.parametrize(
    "odd",
    [
        {"path": "/etc/passwd"},
        {"kind": "image"},
        {"kind": "other"},
        {"backend": "av"},
        {"width_px": "64"},
        {"width_px": 10**9, "height_px": 10**9},
        {"width_px": 0},
        {"height_px": None},
        {"num_frames": -3},
        {"num_frames": 2**60},
        {"duration_seconds": "x"},
        {"duration_seconds": float("nan")},
        {"duration_seconds": 1e308},
        {"readable_seconds": float("inf")},
        {"video_fps": -1.0},
        {"is_constant_rate": 1},
        {"codec": "x" * 1001},
        {"note": "\x1b[31mred\x07"},
        {"streams": None},
        {"streams": ["a"]},
        {"streams": [{"width_px": -1, "height_px": 1, "codec": None, "is_read": True}]},
    ],
    ids=str,
)
def test_what_a_taken_over_process_says_of_a_file_has_to_be_of_that_file(write_opencv, fake_process: Fake, odd):
    fake_process(f"answer({{**INFO, **json.loads({json.dumps(odd)!r})}})\n")
    with pytest.raises(VideoDecodeError, match="re-encode it"):
        open_video(write_opencv("a.mp4"), isolate=True)


@pytest.mark.parametrize("said", [["0"], [None], [-1.0], [float("nan")], 3, None])
def test_keyframes_of_a_taken_over_process_are_times(write_opencv, fake_process: Fake, said):
    fake_process(
        f"answer(INFO)\nsys.stdin.readline()\nanswer(json.loads({json.dumps({'keyframes_seconds': said})!r}))\n"
    )
    with (
        open_video(write_opencv("a.mp4"), isolate=True) as video,
        pytest.raises(VideoDecodeError, match="re-encode it"),
    ):
        assert video.keyframes_seconds


def test_the_message_of_a_taken_over_process_is_bounded_and_printable(write_opencv, fake_process: Fake):
    fake_process("answer({'error': 'VideoTooLargeError', 'message': 'a\\x1b[2J\\nb\\ud800' + 'x' * 10**6})\n")
    with pytest.raises(VideoTooLargeError, match=r"^a\?\[2J\?b\?x+$") as caught:
        open_video(write_opencv("a.mp4"), isolate=True)
    assert len(str(caught.value)) == 10_000


@pytest.mark.parametrize("head", [{}, {"no": "field"}, {"numbers": [0]}, {"frame": 0, "shape": [1, 1, 3]}])
def test_an_answer_that_lacks_its_fields_is_an_error(write_opencv, fake_process: Fake, head):
    fake_process(f"answer({head!r}, b'abc')\n")
    with pytest.raises(VideoDecodeError, match="re-encode it"):
        open_video(write_opencv("a.mp4"), isolate=True)


def test_progress_is_told_across_processes_and_ends_the_reading_there(write_opencv):
    path, calls = write_opencv("a.mp4"), []
    read_frames(path, [0.0, 1.0], on_progress=lambda done, total: calls.append((done, total)), isolate=True)
    assert calls == [(0, 2), (1, 2)]
    with pytest.raises(VideoDecodeError, match="stopped after 1 of 2 frames; call it again"):
        read_frames(path, [0.0, 1.0], on_progress=lambda done, total: done == 1, isolate=True)


def test_after_a_read_that_its_caller_ended_another_process_reads_on(write_opencv):
    def fail(*args: object) -> None:
        raise OSError("the caller's")

    path = write_opencv("a.mp4")
    here = read_frames(path, [0.0, 1.0])
    with open_video(path, isolate=True) as video:
        for ending, error, match in (
            ({"on_progress": lambda done, total: done == 1}, VideoDecodeError, "call it again"),
            ({"on_progress": fail}, OSError, "the caller's"),
            ({"resize": fail}, OSError, "the caller's"),
        ):
            with pytest.raises(error, match=match):
                read_frames(video, [0.0, 1.0], **ending)
            assert np.array_equal(read_frames(video, [0.0, 1.0]).images, here.images)
        assert video.keyframes_seconds != ()


def test_a_process_that_died_is_followed_by_another_one_but_not_for_a_file_that_changed(write_opencv):
    path = write_opencv("a.mp4")
    with open_video(path, isolate=True, max_kept_bytes=0) as video:
        assert isinstance(video, IsolatedVideo)
        video._process._process.kill()
        with pytest.raises(VideoDecodeError, match="re-encode it"):
            read_frames(video, [0.0])
        assert read_frames(video, [1.0]).frame_indices == (25,)
        path.write_bytes(write_opencv("b.mp4", num_frames=90).read_bytes())
        with pytest.raises(VideoDecodeError, match="changed while it was open; open it again"):
            read_frames(video, [0.0])


@pytest.mark.parametrize("isolate", [False, True])
def test_numbers_of_other_libraries_are_read_as_pythons_own(write_opencv, isolate: Any):
    how: Any = {"max_side_px": np.int64(32), "allow_missing": np.True_}
    times: Any = np.array([0.0, 1.0])
    wrong: Any
    with open_video(write_opencv("a.mp4"), isolate=isolate) as video:
        frames = read_frames(video, times, **how)
        assert frames.images.shape == (2, 24, 32, 3)
        for wrong in (32.5, "32", np.int64(0)):
            with pytest.raises(ConfigError, match=r"use a number of pixels from 1"):
                read_frames(video, [0.0], max_side_px=wrong)
        wrong = ["a"]
        with pytest.raises(ConfigError, match=r"give at least one time"):
            read_frames(video, wrong)
        assert read_frames(video, [1.0]).frame_indices == (25,)


def test_frames_come_one_at_a_time_so_that_they_do_not_pile_up_in_the_process(write_opencv):
    """400 full frames are 2.5 GB, twice what the process may have."""
    path = write_opencv("a.mp4", size=(1920, 1080), num_frames=10)
    times, isolate = [number % 10 / 25 for number in range(400)], Isolation(max_memory_bytes=1200 * 2**20)
    for how in ({"max_side_px": 32}, {"resize": lambda picture: np.ascontiguousarray(picture[::60, ::60])}):
        assert read_frames(path, times, isolate=isolate, **how).images.shape == (400, 18, 32, 3)


def test_what_a_read_gave_is_kept_for_the_next_one(write_opencv, monkeypatch):
    path, taken, put = write_opencv("a.mp4"), [], Receiver.put

    def noted(self: Receiver, number: int, picture: np.ndarray) -> None:
        taken.append(number)
        put(self, number, picture)

    monkeypatch.setattr(Receiver, "put", noted)
    with open_video(path, isolate=True) as video:
        few, many = read_frames(video, [0.0, 1.0]), read_frames(video, [0.0, 0.5, 1.0, 1.5])
        assert taken == [0, 25, 12, 37]
        with pytest.raises(VideoDecodeError, match="call it again"):
            read_frames(video, [0.0], on_progress=lambda done, total: True)
        read_frames(video, [0.0])
    assert taken == [0, 25, 12, 37, 0], "another process may number the frames otherwise"
    assert np.array_equal(many.images[[0, 2]], few.images)


def test_a_process_that_numbers_a_file_anew_voids_what_was_kept(write_opencv, fake_process: Fake):
    fake_process(
        "answer(INFO)\n"
        "sys.stdin.readline()\nanswer(START)\nanswer(FRAME, b'abc')\nanswer(DONE)\n"
        "said = json.loads(sys.stdin.readline())\nanswer(START)\nanswer(START)\n"
        "answer(FRAME, bytes(said['kept'] + [2, 2]))\nanswer(DONE)\n"
    )
    with open_video(write_opencv("a.mp4"), isolate=True) as video:
        assert bytes(read_frames(video, [0.0]).images) == b"abc"
        assert bytes(read_frames(video, [0.0]).images) == bytes([0, 2, 2])


def test_limits_that_allow_nothing_are_refused():
    with pytest.raises(ConfigError, match="a number of seconds above 0"):
        Isolation(max_seconds=0.0)


SWAPPING = """
import shutil
from vreason_agent.video import isolated_process

class Lines:
    def __init__(self):
        self.lines, self.swaps = sys.stdin.buffer, {swaps!r}

    def __iter__(self):
        for line in self.lines:
            for path, target in self.swaps:
                os.path.exists(path) and os.unlink(path)
                shutil.copy(target, path) if {is_copied} else os.symlink(target, path)
            yield line

class Standard:
    buffer = Lines()

sys.argv, sys.stdin = ["", str(2**33), "60"], Standard
isolated_process.main()
"""


@pytest.fixture
def swapping_process(tmp_path: Path, monkeypatch) -> Callable[..., None]:
    """Let the reading process find another file than the one that was checked here."""

    def swap(path: Path, target: Path, *, is_copied: bool = False) -> None:
        program, start = tmp_path / "swapping.py", subprocess.Popen
        code = SWAPPING.format(swaps=[(str(path), str(target))], is_copied=is_copied)
        program.write_text("import os, sys\n" + code)
        monkeypatch.setattr(
            subprocess, "Popen", lambda command, **pipes: start([sys.executable, str(program)], **pipes)
        )

    return swap


def test_the_process_holds_a_video_to_the_roots_itself(write_opencv, tmp_path: Path, swapping_process):
    (tmp_path / "root").mkdir()
    path, secret = tmp_path / "root" / "a.mp4", write_opencv("secret.mp4")
    path.write_bytes(secret.read_bytes())
    swapping_process(path, secret)
    with pytest.raises(VideoError, match=r"outside the allowed folders .* allow its folder"):
        read_frames(path, [0.0], roots=[tmp_path / "root"], isolate=True)


def test_the_process_holds_pictures_to_the_roots_itself(tmp_path: Path, swapping_process):
    (tmp_path / "root").mkdir()
    for name in ("root/a.png", "secret.png"):
        cv2.imwrite(str(tmp_path / name), numbered(3))
    swapping_process(tmp_path / "root" / "a.png", tmp_path / "secret.png")
    with pytest.raises(VideoError, match=r"outside the allowed folders .* allow its folder"):
        read_images([tmp_path / "root" / "a.png"], roots=[tmp_path / "root"], isolate=True)


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_process_reads_the_very_file_that_was_checked_here(
    write_opencv, tmp_path: Path, swapping_process, is_folder: bool
):
    (tmp_path / "frames").mkdir()
    for name in ("frames/a.png", "other.png"):
        cv2.imwrite(str(tmp_path / name), numbered(3))
    path, other = write_opencv("a.mp4"), write_opencv("b.mp4")
    if is_folder:
        assert read_frames(tmp_path / "frames", [0.0], isolate=True).method == "folder"
        path, other = tmp_path / "frames" / "a.png", tmp_path / "other.png"
    swapping_process(path, other, is_copied=True)
    with pytest.raises(VideoDecodeError, match="changed while it was open; open it again"):
        open_video(path.parent if is_folder else path, isolate=True)


def test_frames_of_several_sizes_are_told_by_the_process(tmp_path: Path):
    """A folder whose pictures differ is refused at the look; a frame of another size than the file's is at its read."""
    sent = io.BytesIO()
    sender = FrameSender(sent, "a", [0, 1], (64, 48))
    sender.put(0, numbered(0))
    size = sent.tell()
    with pytest.raises(VideoDecodeError, match=r"differ in size \(32x24, 64x48\); bring them to one size"):
        sender.put(1, numbered(1, width=32, height=24))
    assert sent.tell() == size


NOISY = """
import os, sys
os.write(1, b"of a native library\\n")
os.write(2, b"of a native library\\n")
sys.path.remove(os.path.dirname(__file__))
del sys.modules["cv2"]
import cv2
"""


def test_what_a_native_library_writes_reaches_nobody(write_opencv, tmp_path: Path, monkeypatch, capfd):
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy" / "cv2.py").write_text(NOISY)
    path = write_opencv("a.mp4")
    monkeypatch.syspath_prepend(str(tmp_path / "noisy"))
    assert read_frames(path, [1.0], isolate=True).frame_indices == (25,)
    assert capfd.readouterr() == ("", "")


def test_a_decoder_that_hangs_is_ended_though_nobody_is_there_to_end_it(write_opencv, tmp_path: Path):
    """The alarm is set for each request: a process that waits for one is not ended."""
    (tmp_path / "cv2.py").write_text("import time\ntime.sleep(60)\n")
    path = [str(tmp_path), *sys.path]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "vreason_agent.video.isolated_process", str(2**33), "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in path)},
    )
    assert process.stdin is not None
    with process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        source = open_source(write_opencv("a.mp4"))
        request = {"do": "open", "video": source.path, "stamp": source.stamp, **open_request(Limits(), None, "opencv")}
        process.stdin.write(json.dumps({**request, "has_progress": False}).encode() + b"\n")
        process.stdin.flush()
        assert process.wait(timeout=30) == -signal.SIGALRM
