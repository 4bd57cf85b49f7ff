"""`read_frames` gives the frame a player shows, on every kind of file, or an error."""

from __future__ import annotations

import bisect
import os
import random
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.video.conftest import HEIGHT, WIDTH, number_of, numbered, oracle_pictures, oracle_times
from vreason_agent.errors import ConfigError, VideoDecodeError, VideoTooLargeError
from vreason_agent.video import Limits, open_video, probe, read_frames
from vreason_agent.video.capture import Capture
from vreason_agent.video.cv_reading import index_frames
from vreason_agent.video.gif import is_whole_gif


def assert_equals_oracle(path: Path, *, seed: int, num_times: int = 12) -> None:
    pictures, times = oracle_pictures(path), oracle_times(path)
    rng = random.Random(seed)
    wanted = [rng.uniform(0, times[-1]) for _ in range(num_times)]
    frames = read_frames(path, wanted)
    expected = [max(0, bisect.bisect_right(times, time + 1e-6) - 1) for time in wanted]
    assert list(frames.frame_indices) == expected
    np.testing.assert_allclose(frames.timestamps_seconds, [times[i] for i in expected], atol=0.0011)
    for image, index in zip(frames.images, expected, strict=True):
        assert np.array_equal(image, pictures[index])


@pytest.mark.parametrize(
    ("name", "fourcc"),
    [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.webm", "VP80"), ("b.webm", "VP90"), ("a.mkv", "FFV1")],
)
def test_every_writable_codec_equals_a_sequential_read(write_opencv, name, fourcc):
    path = write_opencv(name, fourcc=fourcc, num_frames=100)
    assert_equals_oracle(path, seed=1)


def test_constant_rate_is_sought_and_gives_the_numbered_frames(write_opencv):
    path = write_opencv("a.mp4", num_frames=240)
    info = probe(path)
    assert (info.is_constant_rate, info.is_seekable) == (True, True)
    frames = read_frames(path, [9.0, 0.0, 4.02])
    assert frames.method == "seek"
    assert [number_of(image) for image in frames.images] == [225, 0, 100]
    assert frames.timestamps_seconds == pytest.approx([9.0, 0.0, 4.0])


def uneven(num_frames: int) -> list[int]:
    """Return times in milliseconds that lie on no clock."""
    rng, times = random.Random(3), [0]
    while len(times) < num_frames:
        times.append(times[-1] + rng.choice([20, 40, 120, 400]))
    return times


def test_variable_rate_is_walked_and_equals_the_oracle(write_av):
    path = write_av("variable.mp4", uneven(80))
    info = probe(path)
    assert (info.is_constant_rate, info.is_seekable) == (False, False)
    assert read_frames(path, [1.0]).method == "walk"
    assert_equals_oracle(path, seed=4, num_times=20)


def test_a_variable_rate_is_walked_once_where_packets_tell_its_times(write_av, monkeypatch):
    path, grabs, true_grab = write_av("variable.mp4", uneven(80)), [], Capture.grab

    def counted(self: Capture) -> bool:
        grabs.append(self)
        return true_grab(self)

    monkeypatch.setattr(Capture, "grab", counted)
    with open_video(path) as video:
        grabs.clear()
        assert read_frames(video, [0.0, 1.0, uneven(80)[79] / 1000]).frame_indices[-1] == 79
    assert len(grabs) == 80


@pytest.mark.parametrize("hidden", [25, 26])
def test_a_frame_that_no_packet_tells_of_makes_a_variable_rate_a_second_walk(write_av, monkeypatch, hidden):
    """The packets lose one of 80 frames: the one that is to be read, or the one that is shown next."""
    path, true_steps = write_av("variable.mp4", uneven(80)), Capture.steps

    def one_less(self: Capture):
        is_packets = self.get("FORMAT") == -1
        return (time for number, time in enumerate(true_steps(self)) if not (is_packets and number == hidden))

    monkeypatch.setattr(Capture, "steps", one_less)
    frames = read_frames(path, [uneven(80)[26] / 1000 - 0.001])
    assert (frames.frame_indices, number_of(frames.images[0])) == ((25,), 25)


def test_b_frames_and_long_gops_equal_the_oracle(write_av):
    path = write_av("b.mp4", list(range(0, 4000, 40)), bf="3", g="50")
    assert_equals_oracle(path, seed=5, num_times=20)


def test_late_start_counts_from_the_first_frame(write_av):
    path = write_av("late.mkv", list(range(2000, 5000, 40)))
    assert read_frames(path, [0.0, 1.0]).frame_indices == (0, 25)


def test_a_seek_that_lands_elsewhere_makes_the_rest_a_walk(write_opencv, monkeypatch):
    path = write_opencv("a.mp4", num_frames=200)
    asked = shift_seeks(monkeypatch, 5)
    frames = read_frames(path, [0.0, 4.0, 7.0])
    assert asked == [98]
    assert frames.method == "walk"
    assert [number_of(image) for image in frames.images] == [0, 100, 175]


@pytest.mark.parametrize("shift", [1, -1, -30])
def test_a_seek_that_lands_a_little_off_is_told_by_its_time(write_opencv, monkeypatch, shift):
    """Seeks count frames by a mean rate, which a container may round or a longer last frame lower."""
    path = write_opencv("a.mp4", num_frames=200)
    shift_seeks(monkeypatch, shift)
    frames = read_frames(path, [0.0, 4.0, 7.0])
    assert frames.method == "seek"
    assert [number_of(image) for image in frames.images] == [0, 100, 175]


def shift_seeks(monkeypatch: pytest.MonkeyPatch, shift: int) -> list[int]:
    """Let every seek land elsewhere, but for the look at the end of 200 frames; returns where they were to land."""
    true_seek, asked = Capture.seek, []

    def shifted(self: Capture, frame_index: int) -> bool:
        asked.append(frame_index)
        return true_seek(self, frame_index + (shift if frame_index < 197 else 0))

    monkeypatch.setattr(Capture, "seek", shifted)
    return asked


def test_an_end_that_cannot_be_reached_makes_the_file_a_walk(write_opencv, monkeypatch):
    monkeypatch.setattr(Capture, "seek", lambda self, frame_index: False)
    path = write_opencv("a.mp4", num_frames=100)
    info = probe(path)
    assert (info.is_constant_rate, info.is_seekable) == (True, False)
    frames = read_frames(path, [0.0, 3.0])
    assert (frames.method, [number_of(image) for image in frames.images]) == ("walk", [0, 75])


@pytest.mark.parametrize("constant", [True, False])
def test_a_damaged_end_is_noticed_behind_the_frames_that_are_read(write_av, constant):
    """A read looks at the end when it has its frames, and tells of the file what `probe` tells."""
    times = list(range(0, 8000, 40)) if constant else uneven(200)
    path = write_av("a.mkv", times, codec="libx264", g="20", bf="0")
    with av.open(str(path)) as container:
        last = bytes([packet for packet in container.demux(video=0) if packet.size][-1])
    before, _, after = path.read_bytes().rpartition(last)
    path.write_bytes(before + last[:8] + bytes(len(last) - 8) + after)
    frames = read_frames(path, [0.0, 1.0, 3.0])
    index_frames.cache_clear()
    assert frames.info == probe(path)
    assert (frames.method, frames.info.num_frames) == ("walk", 199)
    assert [number_of(image) for image in frames.images] == list(frames.frame_indices)


def test_a_damaged_end_of_an_mp4_is_found_by_probe_and_by_who_reads_it(write_av):
    """Its tables prove that the last frame is shown; that it can be decoded is seen where it is asked for."""
    path = write_av("a.mp4", list(range(0, 8000, 40)), codec="libx264", g="20", bf="0")
    with av.open(str(path)) as container:
        last = bytes([packet for packet in container.demux(video=0) if packet.size][-1])
    before, _, after = path.read_bytes().rpartition(last)
    path.write_bytes(before + last[:8] + bytes(len(last) - 8) + after)
    frames = read_frames(path, [3.0])
    assert (frames.method, frames.info.num_frames, number_of(frames.images[0])) == ("seek", 200, 75)
    assert probe(path).num_frames == 199
    with pytest.raises(VideoDecodeError, match=r"no frame at 7\.970 s: its 199 frames end"):
        read_frames(path, [7.97])


def test_one_read_of_a_path_opens_its_packets_and_its_frames_once(write_opencv, monkeypatch):
    """Sequential grab decodes 226 of 240 frames for these times; the next one is looked at too."""
    path, grabs, grab, opened, init = write_opencv("a.mp4", num_frames=240), [], Capture.grab, [], Capture.__init__

    def counted(self: Capture) -> bool:
        grabs.extend([self] if self.get("FORMAT") != -1 else [])
        return grab(self)

    def noted(self: Capture, *args: Any, **options: Any) -> None:
        opened.append(options)
        init(self, *args, **options)

    monkeypatch.setattr(Capture, "grab", counted)
    monkeypatch.setattr(Capture, "__init__", noted)
    frames = read_frames(path, [number * 0.3 for number in range(31)])
    assert opened == [{}, {"packets": True}]
    assert len(grabs) == 227
    index_frames.cache_clear()
    assert frames.info == probe(path)
    opened.clear()
    assert np.array_equal(read_frames(path, [1.0]).images[0], frames.images[3]) is False
    assert opened == [{}], "what the file is stays known"


def test_order_and_repeats_are_those_asked_for(write_opencv):
    frames = read_frames(write_opencv("a.mp4"), [2.0, 0.0, 2.0])
    assert frames.frame_indices == (50, 0, 50)
    assert np.array_equal(frames.images[0], frames.images[2])


def test_resizing_on_the_fly_equals_resizing_later(write_opencv):
    path = write_opencv("a.mp4")
    small, full = read_frames(path, [1.0], max_side_px=32), read_frames(path, [1.0])
    expected = cv2.resize(full.images[0], (32, 24), interpolation=cv2.INTER_AREA)
    assert np.array_equal(small.images[0], expected)


def test_a_gif_cut_anywhere_is_an_error(tmp_path: Path):
    with av.open(str(tmp_path / "a.gif"), "w") as container:
        stream: Any = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "rgb8"
        for index in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 40 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="rgb8")))
        container.mux(stream.encode())
    whole = (tmp_path / "a.gif").read_bytes()
    assert probe(tmp_path / "a.gif").num_frames == 6
    (tmp_path / "padded.gif").write_bytes(whole + b"after the trailer")
    assert probe(tmp_path / "padded.gif").num_frames == 6
    for length in range(20, len(whole), 7):
        (tmp_path / "cut.gif").write_bytes(whole[:length])
        with pytest.raises(VideoDecodeError, match=r"(get the whole file|ffmpeg)"):
            read_frames(tmp_path / "cut.gif", [0.0])


GIF_HEAD = b"GIF89a" + bytes([48, 0, 32, 0, 0, 0, 0])
GIF_IMAGE = b"\x2c" + bytes([0, 0, 0, 0, 48, 0, 32, 0, 0]) + b"\x02\x01\x00\x00"


@pytest.mark.parametrize("content", [GIF_HEAD, GIF_HEAD + GIF_IMAGE + b"\x21\xfe" + (b"\xff" + b"c" * 255) * 2**16])
def test_a_huge_gif_is_seen_to_be_cut_without_holding_it(tmp_path: Path, content: bytes):
    path = tmp_path / "a.gif"
    path.write_bytes(content)
    if content == GIF_HEAD:
        os.truncate(path, 3 * 2**30)
    tracemalloc.start()
    try:
        with pytest.raises(VideoDecodeError, match="get the whole file"):
            probe(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_gif_of_too_many_images_is_left_before_its_end(tmp_path: Path):
    (tmp_path / "a.gif").write_bytes(GIF_HEAD + GIF_IMAGE * 100)
    with pytest.raises(VideoTooLargeError, match="max_walked_frames=50 frames; cut the part you need"):
        probe(tmp_path / "a.gif", limits=Limits(max_walked_frames=50))


def test_a_gif_of_many_blocks_is_left_when_the_time_is_over(tmp_path: Path):
    (tmp_path / "a.gif").write_bytes(GIF_HEAD + b"\x21\xfe" + b"\x01c" * 10_000 + b"\x00\x3b")
    steps: list[int] = []
    with (tmp_path / "a.gif").open("rb") as file:
        assert is_whole_gif(file, steps.append)
    assert steps == [0, 0, 0]  # the extension's beginning, and twice within it
    with pytest.raises(VideoTooLargeError, match=r"max_wall_seconds=1e-09; ask for fewer frames"):
        probe(tmp_path / "a.gif", limits=Limits(max_wall_seconds=1e-9))


def test_gif_is_read_with_its_times(tmp_path: Path):
    with av.open(str(tmp_path / "a.gif"), "w") as container:
        stream: Any = container.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb8"
        stream.codec_context.time_base = Fraction(1, 100)
        for index, time in enumerate([0, 10, 20, 60, 70, 100]):
            frame = av.VideoFrame.from_ndarray(numbered(index), format="bgr24")
            frame.pts, frame.time_base = time, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    info = probe(tmp_path / "a.gif")
    assert (info.kind, info.num_frames, info.is_constant_rate) == ("gif", 6, False)
    assert_equals_oracle(tmp_path / "a.gif", seed=6, num_times=8)


def test_a_folder_is_read_in_natural_order_one_a_second(tmp_path: Path):
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"frame{index}.png"), numbered(index))
    info, frames = probe(tmp_path), read_frames(tmp_path, [2.0, 10.5])
    assert (info.kind, info.num_frames, info.duration_seconds) == ("frames", 12, 12.0)
    assert [number_of(image) for image in frames.images] == [2, 10]


def test_an_image_is_one_frame(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), numbered(7))
    frames = read_frames(tmp_path / "a.png", [0.0])
    assert (frames.method, number_of(frames.images[0])) == ("image", 7)


def test_a_time_past_the_end_is_an_error(write_opencv):
    with pytest.raises(VideoDecodeError, match=r"end at 2\.400 s; ask for earlier times"):
        read_frames(write_opencv("a.mp4"), [1.0, 2.5])


@pytest.mark.parametrize("times", [[], [-1.0], [float("nan")], [float("inf")]])
def test_times_that_are_none_are_an_error(write_opencv, times):
    with pytest.raises(ConfigError, match="each a number of seconds from 0"):
        read_frames(write_opencv("a.mp4"), times)


def test_too_many_pixels_are_refused_before_decoding(write_opencv):
    path = write_opencv("a.mp4")
    with pytest.raises(VideoTooLargeError, match="scale it down first"):
        read_frames(path, [0.0], limits=Limits(max_pixels=1000))


def test_a_long_walk_is_refused(write_av):
    path = write_av("v.mp4", [0, 40, 400, 440, 900, 1000])
    with pytest.raises(VideoTooLargeError, match="cut the part you need"):
        read_frames(path, [0.0], limits=Limits(max_walked_frames=3))


def test_progress_counts_frames_and_can_end_the_reading(write_opencv):
    path, calls = write_opencv("a.mp4"), []
    read_frames(path, [0.0, 1.0], on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2)]
    with pytest.raises(VideoDecodeError, match="stopped after 1 of 2 frames; call it again"):
        read_frames(path, [0.0, 1.0], on_progress=lambda done, total: done == 1)


def test_frames_of_different_sizes_in_a_folder_are_an_error(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "0.png"), numbered(0))
    cv2.imwrite(str(tmp_path / "1.png"), numbered(1, width=32))
    with pytest.raises(VideoDecodeError, match="bring them to one size"):
        read_frames(tmp_path, [0.0, 1.0])


REAL = [
    "nasa_13013.mp4", "nasa_13013_rotated.mp4", "no_duration.webm", "testsrc2_mpeg4.mp4",
    "testsrc2_odd_height_and_width_vp9.mp4", "var_fps_video.mp4", "animated.gif",
]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_clips_equal_the_oracle(real_videos: Path, name: str):
    assert_equals_oracle(real_videos / name, seed=7, num_times=8)


def test_a_sparse_read_of_a_webm_without_duration_survives_its_broken_seek(real_videos: Path):
    frames = read_frames(real_videos / "no_duration.webm", [0.0, 4.8])
    pictures = oracle_pictures(real_videos / "no_duration.webm")
    assert np.array_equal(frames.images[1], pictures[frames.frame_indices[1]])


@pytest.mark.parametrize("name", ["corrupted.mp4", "sine_stereo_mp2.mpg"])
def test_real_damaged_and_mpeg_ps_pictures_equal_a_sequential_read(real_videos: Path, name: str):
    pictures = oracle_pictures(real_videos / name)
    duration = probe(real_videos / name).duration_seconds or 0.0
    frames = read_frames(real_videos / name, [duration * share for share in (0.0, 0.2, 0.5, 0.7, 0.99)])
    for image, index in zip(frames.images, frames.frame_indices, strict=True):
        assert np.array_equal(image, pictures[index])
