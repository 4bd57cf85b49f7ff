"""Long work is told of by its share, can be ended between frames, and has a limit on its time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.video.conftest import HEIGHT, WIDTH, numbered, oracle_pictures
from vreason_agent.errors import VideoDecodeError, VideoTooLargeError
from vreason_agent.video import Limits, open_video, probe, read_frames
from vreason_agent.video.capture import Capture
from vreason_agent.video.index import MAX_SOUGHT_FRAMES, SEEK_MARGIN_FRAMES
from vreason_agent.video.scan import PACKETS_PER_TELLING

WAYS: list[dict[str, Any]] = [{}, {"backend": "av"}, {"isolate": True}]


@pytest.fixture
def variable(write_av: Callable[..., Path]) -> Path:
    rng, times = random.Random(3), [0]
    for _ in range(59):
        times.append(times[-1] + rng.choice([20, 40, 120, 400]))
    return write_av("variable.mp4", times)


@pytest.fixture
def gif(tmp_path: Path) -> Path:
    """A file whose times are found by a walk."""
    with av.open(str(tmp_path / "a.gif"), "w") as container:
        stream: Any = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb8"
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(index), format="bgr24")))
        container.mux(stream.encode())
    return tmp_path / "a.gif"


@pytest.mark.parametrize("how", [{}, {"isolate": True}], ids=str)
def test_a_walk_to_a_frame_is_told_by_its_steps_and_can_be_ended_there(variable: Path, how: dict[str, Any]) -> None:
    told: list[tuple[int, int]] = []
    with open_video(variable, max_kept_bytes=0, **how) as video:
        last = (video.info.readable_seconds or 0.0) - 0.001
        frames = read_frames(video, [0.0, last], on_progress=lambda *share: told.append(share))
        assert frames.method == "walk"
        assert told == [(step, 60) for step in range(3, 61)], "beside the first frame the next one was looked at"
        with pytest.raises(VideoDecodeError, match=r"stopped after 30 of 60 frames; call it again"):
            read_frames(video, [0.0, last], on_progress=lambda done, total: done == 30)
        again = read_frames(video, [last / 2, last])
    pictures = oracle_pictures(variable)
    for image, number in zip(again.images, again.frame_indices, strict=True):
        assert np.array_equal(image, pictures[number])


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_the_walk_that_finds_the_times_is_told_of_and_can_be_ended(gif: Path, how: dict[str, Any]) -> None:
    if "isolate" not in how:  # told by another process it comes late
        with pytest.raises(VideoDecodeError, match=r"stopped after 7 of 20 frames; call it again"):
            read_frames(gif, [0.0], on_progress=lambda done, total: done == 7, **how)
    told: list[tuple[int, int]] = []
    read_frames(gif, [0.0], on_progress=lambda *share: told.append(share), **how)
    assert (20, 20) in told
    assert all(0 <= done <= total for done, total in told)


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_a_scan_of_packets_is_told_of_and_can_be_ended(write_opencv: Callable[..., Path], how: dict[str, Any]) -> None:
    path, count = write_opencv("a.mp4", num_frames=600), PACKETS_PER_TELLING
    with pytest.raises(VideoDecodeError, match=rf"stopped after {2 * count} of 600 frames; call it again"):
        open_video(path, on_progress=lambda done, total: done == 2 * count, **how)
    told: list[tuple[int, int]] = []
    read_frames(path, [0.0, 1.0], on_progress=lambda *share: told.append(share), **how)
    assert told == [(count, 600), (2 * count, 600), (0, 2), (1, 2)]


def test_a_walk_that_was_ended_leaves_the_other_backend_where_it_can_be_read(variable: Path) -> None:
    whole = read_frames(variable, [0.5, 2.0], backend="av")
    with open_video(variable, max_kept_bytes=0, backend="av") as video:
        steps: list[int] = []

        def third(done: int, total: int) -> bool:
            steps.append(done)
            return len(steps) == 2

        with pytest.raises(VideoDecodeError, match="call it again"):
            read_frames(video, [0.0, 2.0], on_progress=third)
        assert np.array_equal(read_frames(video, [0.5, 2.0]).images, whole.images)


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_time_is_limited_between_frames(
    variable: Path, gif: Path, write_opencv: Callable[..., Path], how: dict[str, Any]
) -> None:
    limits = Limits(max_wall_seconds=1e-9)
    for path in (variable, gif, write_opencv("a.mp4", num_frames=300)):
        with pytest.raises(VideoTooLargeError, match=r"max_wall_seconds=1e-09; ask for fewer frames or a shorter"):
            read_frames(path, [0.0], limits=limits, **how)
    with pytest.raises(VideoTooLargeError, match=r"or re-encode it at a constant rate: ffmpeg"):
        probe(gif, limits=limits, **how)
    assert read_frames(gif, [0.0], limits=Limits(max_wall_seconds=600.0), **how).num_decoded == 1


KEYFRAMES = {"one": 10_000, "two": 400}


@pytest.fixture(params=[(name, count) for name in ("a.mp4", "a.mkv", "a.ts") for count in KEYFRAMES], ids=str)
def sparse(request: Any, write_av: Callable[..., Path]) -> Path:
    """A file of constant rate whose keyframes lie so far apart that a seek would decode for long."""
    name, count = request.param
    options = {"g": str(KEYFRAMES[count]), "sc_threshold": "1000000000", "strict": "-2"}  # over 600 is experimental
    return write_av(name, list(range(0, 800 * 40, 40)), **options)


def test_no_seek_decodes_long_where_keyframes_are_far(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seek is native and cannot be ended: with one keyframe in 6,000 frames a limit of 1 s held after 13 s."""
    pictures, sought, true_seek = oracle_pictures(sparse), [], Capture.seek

    def noted(self: Capture, aim: int) -> bool:
        sought.append(aim)
        return true_seek(self, aim)

    monkeypatch.setattr(Capture, "seek", noted)
    with open_video(sparse, max_kept_bytes=0) as video:
        assert video.info.is_seekable
        assert len(video.keyframes_seconds) in (1, 2)
        for times in ([31.0, 1.0, 20.0], [30.9], [17.0], [16.1], [15.9], [0.0, 14.0]):
            frames = read_frames(video, times)
            assert frames.method == "seek"
            for image, time, number in zip(frames.images, times, frames.frame_indices, strict=True):
                assert number == int(time * 25 + 1e-6)
                assert np.array_equal(image, pictures[number])
        keyframes = [round(time * 25) for time in video.keyframes_seconds]
    begun = [max(number for number in keyframes if number <= max(0, aim - SEEK_MARGIN_FRAMES)) for aim in sought]
    assert all(aim - begin <= MAX_SOUGHT_FRAMES for aim, begin in zip(sought, begun, strict=True))
    assert sparse.suffix != ".ts" or not any(sought), "it lists no keyframes, and a seek may lead behind one"


@pytest.mark.parametrize("how", [{}, {"isolate": True}], ids=str)
def test_a_way_from_a_far_keyframe_is_told_of_and_can_be_ended(sparse: Path, how: dict[str, Any]) -> None:
    if sparse.suffix != ".mp4":
        with pytest.raises(VideoDecodeError, match=r"stopped after 790 of 800 frames; call it again"):
            open_video(sparse, on_progress=lambda done, total: done == 790, **how)
    told: list[tuple[int, int]] = []
    with open_video(sparse, max_kept_bytes=0, on_progress=lambda *share: told.append(share), **how) as video:
        assert told[-1][0] < 800 if sparse.suffix == ".mp4" else told[-1] == (800, 800), "the way to the end is stepped"
        told.clear()
        with pytest.raises(VideoDecodeError, match=r"stopped after 750 of 776 frames; call it again"):
            read_frames(video, [31.0], on_progress=lambda done, total: done == 750)
        read_frames(video, [31.0, 15.0], on_progress=lambda *share: told.append(share))
    assert len(told) > 300
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_time_is_limited_on_the_way_from_a_far_keyframe(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that each frame moves on by 1 s."""
    clock, true_grab = [0.0], Capture.grab

    def slow(self: Capture) -> bool:
        clock[0] += 1.0 if self.get("FORMAT") != -1 else 0.0
        return true_grab(self)

    monkeypatch.setattr(Capture, "grab", slow)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    if sparse.suffix == ".mp4":
        assert probe(sparse, limits=Limits(max_wall_seconds=50.0)).num_frames == 800, "its tables tell its end"
    else:
        with pytest.raises(VideoTooLargeError, match=r"max_wall_seconds=50; ask for fewer frames or a shorter"):
            probe(sparse, limits=Limits(max_wall_seconds=50.0))
    assert clock[0] < 53.0
    with open_video(sparse, limits=Limits(max_wall_seconds=10_000.0)) as video:
        video._limits, clock[0] = Limits(max_wall_seconds=50.0), 0.0
        with pytest.raises(VideoTooLargeError, match=r"or re-encode it at a constant rate: ffmpeg"):
            read_frames(video, [15.0])
    assert clock[0] < 53.0


def test_frames_that_a_way_from_a_far_keyframe_passes_are_kept_for_later_reads(sparse: Path) -> None:
    with open_video(sparse) as video:
        read_frames(video, [0.0, 31.0], expected=[0.0, 7.0, 20.0, 31.0])
        steps: list[int] = []
        later = read_frames(video, [7.0, 20.0], on_progress=lambda done, total: steps.append(done))
    assert (steps, later.frame_indices) == ([], (175, 500))
