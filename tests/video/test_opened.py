"""One opened video serves all reads of a ladder: one capture, no frame decoded twice, the same frames as alone."""

from __future__ import annotations

import os
import random
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.conftest import number_of, numbered, oracle_pictures
from vreason_agent.errors import ConfigError, VideoDecodeError, VideoTooLargeError
from vreason_agent.video import Limits, find_scenes, open_video, pairs_plan, read_frames
from vreason_agent.video.capture import Capture
from vreason_agent.video.images import fit_within
from vreason_agent.video.kept import KeptFrames
from vreason_agent.video.receiving import Receiver
from vreason_agent.video.sizing import FULL_SIZE


@pytest.fixture
def calls(monkeypatch) -> dict[str, int]:
    """Count opened captures, converted frames and steps."""
    counts = {"open": 0, "retrieve": 0, "grab": 0}
    init, retrieve, grab = Capture.__init__, Capture.retrieve_rgb, Capture.grab

    def counted_grab(self):
        counts["grab"] += 1
        return grab(self)

    def counted_init(self, *args, **kwargs):
        counts["open"] += 1
        init(self, *args, **kwargs)

    def counted_retrieve(self):
        counts["retrieve"] += 1
        return retrieve(self)

    monkeypatch.setattr(Capture, "__init__", counted_init)
    monkeypatch.setattr(Capture, "grab", counted_grab)
    monkeypatch.setattr(Capture, "retrieve_rgb", counted_retrieve)
    return counts


def variable(write_av):
    rng, times = random.Random(3), [0]
    for _ in range(59):
        times.append(times[-1] + rng.choice([20, 40, 120, 400]))
    return write_av("variable.mp4", times)


def test_the_rungs_of_a_ladder_share_one_capture_and_decode_no_frame_twice(write_opencv, calls):
    with open_video(write_opencv("a.mp4", num_frames=240)) as video:
        calls.update(open=0, retrieve=0)
        seen = set()
        for num_frames in (4, 8, 16, 32):
            plan = pairs_plan(0.0, 9.6, num_frames=num_frames, max_frames=32)
            seen |= set(read_frames(video, plan.timestamps_seconds).frame_indices)
        assert (calls["open"], calls["retrieve"]) == (1, len(seen))


@pytest.mark.parametrize("how", [{}, {"backend": "av"}], ids=str)
def test_one_walk_serves_all_rungs_of_a_ladder(write_av, calls, how):
    path, rungs = variable(write_av), (4, 8, 16, 32)
    with open_video(path, **how) as video:
        stop = video.info.readable_seconds or 0.0
        plans = [pairs_plan(0.0, stop, num_frames=num_frames, max_frames=32) for num_frames in rungs]
        calls.update(open=0, retrieve=0, grab=0)
        read = [
            read_frames(video, plan.timestamps_seconds, max_side_px=32, expected=plans[-1].timestamps_seconds)
            for plan in plans
        ]
    if not how:
        assert calls == {
            "open": 1,
            "retrieve": len(set(read[-1].frame_indices)),
            "grab": read[-1].frame_indices[-1] + 2,  # the one after the last is looked at too
        }
    for plan, frames in zip(plans, read, strict=True):
        alone = read_frames(path, plan.timestamps_seconds, max_side_px=32, **how)
        assert (frames.method, frames.frame_indices) == (alone.method, alone.frame_indices)
        assert np.array_equal(frames.images, alone.images)


def test_an_isolated_walk_serves_all_rungs_too(write_av, monkeypatch):
    path, taken, put = variable(write_av), [], Receiver.put

    def noted(self: Receiver, number: int, picture: np.ndarray) -> None:
        taken.append(number)
        put(self, number, picture)

    monkeypatch.setattr(Receiver, "put", noted)
    with open_video(path, isolate=True) as video:
        stop = video.info.readable_seconds or 0.0
        plans = [pairs_plan(0.0, stop, num_frames=num_frames, max_frames=32) for num_frames in (4, 8, 16, 32)]
        for plan in plans:
            frames = read_frames(video, plan.timestamps_seconds, expected=plans[-1].timestamps_seconds)
    assert taken == sorted(set(frames.frame_indices))
    assert np.array_equal(frames.images, read_frames(path, plans[-1].timestamps_seconds).images)


@pytest.mark.parametrize("isolate", [False, True])
def test_what_is_passed_is_kept_only_while_there_is_room_and_pushes_nothing_out(write_av, isolate):
    path, picture = variable(write_av), 64 * 48 * 3
    times, expected = [0.0, 4.0], [number / 10 for number in range(40)]
    with open_video(path, max_kept_bytes=5 * picture, isolate=isolate) as video:
        frames = read_frames(video, times, expected=expected)
        kept = [number for number, _ in video._kept._pictures]
    assert np.array_equal(frames.images, read_frames(path, times).images)
    assert frames.frame_indices[1] in kept
    assert len(kept) == 5
    with open_video(path, max_kept_bytes=0, isolate=isolate) as video:
        assert np.array_equal(read_frames(video, times, expected=expected).images, frames.images)
        with pytest.raises(ConfigError, match="give at least one time, each a number of seconds from 0"):
            read_frames(video, [-1.0], expected=[0.0])


@pytest.mark.parametrize("kind", ["constant", "variable"])
def test_reads_in_any_order_equal_a_sequential_read(write_opencv, write_av, kind):
    path = write_opencv("a.mp4", num_frames=120) if kind == "constant" else variable(write_av)
    pictures, rng = oracle_pictures(path), random.Random(5)
    with open_video(path, max_kept_bytes=0) as video:
        for _ in range(6):
            times = [rng.uniform(0, (video.info.readable_seconds or 0) - 0.001) for _ in range(3)]
            frames = read_frames(video, times)
            assert frames.method == ("seek" if kind == "constant" else "walk")
            for image, index in zip(frames.images, frames.frame_indices, strict=True):
                assert np.array_equal(image, pictures[index])


def test_a_frame_kept_whole_is_scaled_as_if_it_were_read_small(write_opencv, calls):
    path = write_opencv("a.mp4", size=(160, 120))
    alone = read_frames(path, [1.0], max_side_px=50)
    with open_video(path) as video:
        whole = read_frames(video, [1.0])
        calls.update(retrieve=0)
        small = read_frames(video, [1.0], max_side_px=50)
    assert calls["retrieve"] == 0
    assert np.array_equal(small.images, alone.images)
    assert np.array_equal(fit_within(whole.images[0], 50), alone.images[0])


@pytest.mark.parametrize("isolate", [False, True])
def test_a_resize_of_the_callers_equals_resizing_later(write_opencv, isolate):
    def halve(picture: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(picture[::2, ::2])

    path, times = write_opencv("a.mp4", size=(160, 120)), [2.0, 0.5, 2.0]
    whole = read_frames(path, times)
    small = read_frames(path, times, resize=halve, isolate=isolate)
    assert small.images.shape == (3, 60, 80, 3)
    assert np.array_equal(small.images, whole.images[:, ::2, ::2])


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize(
    ("made", "what"),
    [
        (None, "NoneType"),
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \(0, 4, 3\)"),
        (np.zeros((4, 4, 3)), r"float64 \(4, 4, 3\)"),
    ],
    ids=str,
)
def test_a_resize_that_gives_no_picture_is_an_error(write_opencv, isolate, made, what):
    """Of `None` a raw AttributeError came."""
    with open_video(write_opencv("a.mp4"), isolate=isolate) as video:
        with pytest.raises(ConfigError, match=f"returned {what}; return each frame as uint8 of shape"):
            read_frames(video, [0.0], resize=lambda picture: made)
        assert read_frames(video, [0.0]).num_decoded == 1


@pytest.mark.parametrize(
    "how", [{}, {"isolate": True}, {"max_kept_bytes": 0}, {"isolate": True, "max_kept_bytes": 0}], ids=str
)
@pytest.mark.parametrize("expected", [[float("nan")], None, [-1.0], 3.0, ["x"]], ids=str)
def test_expected_times_that_are_none_are_an_error_by_their_name(write_opencv, how, expected):
    nothing: Any = np.array([])
    path, match = write_opencv("a.mp4"), r"expected=.*: give the times of later reads, each a number of seconds from 0"
    with open_video(path, **how) as video:
        with pytest.raises(ConfigError, match=match):
            read_frames(video, [0.0], expected=expected)
        assert read_frames(video, [0.0], expected=nothing).num_decoded == 1
    with pytest.raises(ConfigError, match=match):
        read_frames(path, [0.0], expected=expected, isolate=how.get("isolate", False))
    with pytest.raises(VideoTooLargeError, match="more than max_frames=2; ask for fewer at a time"):
        read_frames(path, [0.0], expected=[0.0, 1.0, 2.0], limits=Limits(max_frames=2))


@pytest.mark.parametrize("isolate", [False, True])
def test_a_read_holds_the_frames_as_they_are_wanted_and_two_whole_ones(write_opencv, isolate):
    path, side, num_frames = write_opencv("a.mp4", size=(640, 480), num_frames=40), 64, 32
    whole, small = 640 * 480 * 3, side * 48 * 3
    with open_video(path, max_kept_bytes=0, isolate=isolate) as video:
        read_frames(video, [0.0], resize=lambda picture: fit_within(picture, side))
        tracemalloc.start()
        times = [number / 25 for number in range(num_frames)]
        read_frames(video, times, resize=lambda picture: fit_within(picture, side))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < num_frames * small + 2 * whole + 200_000


def test_a_seek_that_misleads_makes_the_opened_video_a_walk(write_opencv, monkeypatch):
    path = write_opencv("a.mp4", num_frames=100)
    pictures = oracle_pictures(path)
    with open_video(path) as video:
        assert read_frames(video, [0.0]).method == "seek"
        true_seek = Capture.seek
        monkeypatch.setattr(Capture, "seek", lambda self, index: true_seek(self, index + 9))
        frames = read_frames(video, [3.0])
        assert (frames.method, frames.frame_indices) == ("walk", (75,))
        assert np.array_equal(frames.images[0], pictures[75])
        assert read_frames(video, [0.0]).method == "walk"


def test_what_is_kept_stays_within_its_bytes_and_the_oldest_go_first():
    kept, picture = KeptFrames(250), np.zeros((10, 10, 1), np.uint8)
    kept.put(0, FULL_SIZE, picture)
    kept.put(1, FULL_SIZE, picture)
    assert kept.get(0, FULL_SIZE) is not None
    kept.put(2, FULL_SIZE, picture)
    assert [kept.get(number, FULL_SIZE) is None for number in (0, 1, 2)] == [False, True, False]
    kept.put(3, FULL_SIZE, np.zeros((20, 20, 1), np.uint8))
    assert kept.get(3, FULL_SIZE) is None


def test_threads_share_an_opened_video(write_opencv):
    path = write_opencv("a.mp4", num_frames=120)
    pictures = oracle_pictures(path)
    with open_video(path, max_kept_bytes=0) as video, ThreadPoolExecutor(4) as pool:
        for frames in pool.map(lambda index: read_frames(video, [index / 25 + 0.02]), range(0, 120, 7)):
            assert np.array_equal(frames.images[0], pictures[frames.frame_indices[0]])


def test_a_closed_video_says_how_to_read(write_opencv):
    with open_video(write_opencv("a.mp4")) as video:
        pass
    with pytest.raises(ConfigError, match=r"read inside `with open_video\(\.\.\.\)`"):
        read_frames(video, [0.0])


def test_a_file_that_changes_while_it_is_open_is_an_error(write_opencv):
    path = write_opencv("a.mp4", num_frames=60)
    with open_video(path) as video:
        shutil.copy(write_opencv("b.mp4", num_frames=90), path)
        with pytest.raises(VideoDecodeError, match="changed while it was open; open it again"):
            read_frames(video, [0.0])


@pytest.mark.parametrize("isolate", [False, True])
def test_a_picture_that_changes_in_an_open_folder_is_an_error(tmp_path, isolate):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(number))
    with open_video(tmp_path, isolate=isolate) as video:
        assert number_of(read_frames(video, [1.0]).images[0]) == 1
        cv2.imwrite(str(tmp_path / "1.png"), numbered(7))
        os.utime(tmp_path / "1.png", ns=(1, 1))
        with pytest.raises(VideoDecodeError, match="changed while it was open; open it again"):
            read_frames(video, [1.0])
    assert number_of(read_frames(tmp_path, [1.0], isolate=isolate).images[0]) == 7


def test_scenes_are_found_with_three_captures(write_opencv, calls):
    find_scenes(write_opencv("a.mp4", num_frames=100))
    assert calls["open"] == 3  # the first frame and the end, the packets, the frames that are compared
