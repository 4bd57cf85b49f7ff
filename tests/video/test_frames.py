"""The frame at any time is the one of a full sequential decode, whatever the file; see `hazards`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.video.hazards import EVEN, HAZARDS, Clip, Oracle, number_of
from vreason_agent.errors import VideoDecodeError
from vreason_agent.video import (
    Frames,
    ReadOptions,
    VideoStream,
    open_video,
    probe,
    pyav_file,
    read_frames,
)

Hazard = Callable[[str], Oracle]
OPENCV = ReadOptions(backend="opencv")
NOT_BY_OPENCV = {"interlaced", "10 bit", "B-frames in avi"}  # wrong pictures, other rounding, times of the packets


def check(frames: Frames, oracle: Oracle, wanted: Sequence[float]) -> None:
    """Check that these are the frames shown at the wanted times, to the pixel, with their times and numbers."""
    numbers = [oracle.number_at(seconds) for seconds in wanted]
    np.testing.assert_allclose(frames.timestamps_seconds, [oracle.times[number] for number in numbers], atol=1e-3)
    for image, index, number in zip(frames.images, frames.frame_indices, numbers, strict=True):
        assert np.array_equal(image, oracle.pictures[number]), f"{number_of(image)} in place of {number}"
        assert index in (None, number)


@pytest.mark.parametrize("name", HAZARDS)
def test_a_frame_at_any_time_is_that_of_a_sequential_decode(hazard: Hazard, name: str) -> None:
    oracle = hazard(name)
    rng, last = random.Random(name), oracle.times[-1]
    wanted = [*oracle.times[:2], last, *(rng.uniform(0, last) for _ in range(12))]
    rng.shuffle(wanted)
    for seconds in wanted[:6]:
        check(read_frames(oracle.path, [seconds]), oracle, [seconds])
    with open_video(oracle.path, max_cache_bytes=0) as video:
        for seconds in wanted:
            check(read_frames(video, [seconds]), oracle, [seconds])
        check(read_frames(video, wanted), oracle, wanted)
        check(read_frames(video, oracle.times), oracle, oracle.times)


@pytest.mark.parametrize("name", ["open GOP", "MPEG-TS", "variable rate"])
def test_any_times_in_any_order_are_those_of_a_sequential_decode(hazard: Hazard, name: str) -> None:
    oracle = hazard(name)

    @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.floats(0, oracle.times[-1]), min_size=1, max_size=5))
    def checked(wanted: list[float]) -> None:
        check(read_frames(oracle.path, wanted), oracle, wanted)

    checked()


@pytest.mark.parametrize("name", sorted(HAZARDS.keys() - NOT_BY_OPENCV))
def test_opencv_gives_the_same_frames(hazard: Hazard, name: str) -> None:
    oracle = hazard(name)
    rng, last = random.Random(name), oracle.times[-1]
    wanted = [*oracle.times[:2], last, *(rng.uniform(0, last) for _ in range(6))]
    rng.shuffle(wanted)
    frames = read_frames(oracle.path, wanted, options=OPENCV)
    assert (frames.method, frames.info.backend) == ("sequential", "opencv")
    check(frames, oracle, wanted)


@pytest.mark.parametrize("name", HAZARDS)
def test_a_look_at_a_whole_file_finds_its_end(hazard: Hazard, name: str) -> None:
    oracle, info = hazard(name), probe(hazard(name).path)
    assert info.is_complete, info.note
    assert info.duration_seconds is not None
    assert oracle.times[-1] < info.duration_seconds <= oracle.times[-1] + 0.11
    assert info.num_frames == pytest.approx(len(oracle.times), abs=0 if info.declared_frames else 1)
    height, width = oracle.pictures[0].shape[:2]
    assert (info.width_px, info.height_px, info.backend) == (width, height, "av")


def test_evenly_spaced_frames_are_told_from_others(hazard: Hazard) -> None:
    told = {name: probe(hazard(name).path).is_constant_rate for name in HAZARDS}
    uneven = {"variable rate", "a pause and another rate"}
    assert all(told[name] is False for name in uneven)
    assert told["B-frames"] is told["negative start"] is told["fragments"] is told["rotation"] is True


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that grows with every frame that is decoded."""
    decoded: list[Any] = []
    frames = pyav_file.PyAVFile.frames

    def counted(self: Any, **how: Any) -> Any:
        for timed in frames(self, **how):
            decoded.append(timed)
            yield timed

    monkeypatch.setattr(pyav_file.PyAVFile, "frames", counted)
    return decoded


def test_a_far_frame_is_sought_and_costs_its_group_of_pictures_only(hazard: Hazard, monkeypatch) -> None:
    decoded = count_decoded(monkeypatch)
    result = read_frames(hazard("variable rate").path, [3.0])
    assert result.method == "seek"
    assert len(decoded) <= 1 + 20 + 1, "the first frame, a group of pictures, and the next frame"
    decoded.clear()
    with open_video(hazard("one keyframe").path) as video:
        decoded.clear()
        read_frames(video, [3.0, 1.0, 0.5])
    assert len(decoded) <= 1 + 77, "no seek leads anywhere but to the start: frames are passed once"


@pytest.mark.parametrize(("num_late", "method"), [(1, "seek"), (99, "sequential")])
def test_a_seek_that_lands_late_is_made_anew_earlier_and_then_from_the_start(
    hazard: Hazard, monkeypatch: pytest.MonkeyPatch, num_late: int, method: str
) -> None:
    oracle, seek, asked = hazard("open GOP"), pyav_file.PyAVFile.seek, []

    def late(self: Any, seconds: float) -> bool:
        asked.append(seconds)
        return seek(self, seconds + 3.0 if len(asked) <= num_late else seconds)

    monkeypatch.setattr(pyav_file.PyAVFile, "seek", late)
    frames = read_frames(oracle.path, [2.02])
    assert frames.method == method
    check(frames, oracle, [2.02])


def test_mpeg_program_streams_are_not_sought(hazard: Hazard) -> None:
    """Behind a seek FFmpeg may give a frame the time of the one before it."""
    info = probe(hazard("MPEG-PS").path)
    assert info.is_seekable is False
    assert "decoded sequentially" in info.note


def test_several_streams_say_which_is_read(hazard: Hazard) -> None:
    info = probe(hazard("two streams").path)
    streams = [VideoStream(64, 48, "h264", is_read=is_first) for is_first in (True, False)]
    assert list(info.streams) == streams
    assert "several video streams: one is read (64x48" in info.note


def test_a_cover_in_front_is_not_read_as_the_video(tmp_path: Path) -> None:
    import av

    from tests.video.hazards import numbered

    path = tmp_path / "cover.mkv"
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=1)
        stream: Any = container.add_stream("mpeg4", rate=25)
        cover.width, cover.height, cover.pix_fmt = 300, 300, "yuvj420p"
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(numbered(0, width=300, height=300), format="bgr24")
        for packet in (*cover.encode(picture.reformat(format="yuvj420p")), *cover.encode()):
            container.mux(packet)
        for index in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(index), format="bgr24")))
        container.mux(stream.encode())
    frames = read_frames(path, [1.0])
    assert number_of(frames.images[0]) == 25
    assert frames.info.streams == (VideoStream(300, 300, "mjpeg", False), VideoStream(64, 48, "mpeg4", is_read=True))


@pytest.mark.parametrize(
    ("codec", "name", "pix_fmt"),
    [("libvpx-vp9", "a.webm", "yuva420p"), ("libvpx", "a.webm", "yuva420p"), ("qtrle", "a.mov", "argb")],
)
def test_transparent_video_is_composited_on_white(tmp_path: Path, codec: str, name: str, pix_fmt: str) -> None:
    import av

    picture = np.zeros((64, 64, 4), np.uint8)
    picture[..., 2] = 200  # blue, where nothing is to be seen
    with av.open(str(tmp_path / name), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options={"auto-alt-ref": "0"} if codec == "libvpx" else {})
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        for number in range(8):
            picture[:, 32:] = (10 + 20 * number, 0, 0, 255)
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pix_fmt)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    images = read_frames(tmp_path / name, [0.5, 0.0, 0.7]).images
    assert (images[:, 5, 5] == 255).all()
    assert images[:, 5, 60, 0] == pytest.approx([110, 10, 150], abs=4)


@pytest.mark.parametrize(("transfer", "hdr"), [(16, "PQ"), (18, "HLG"), (1, None)])
def test_hdr_is_told(write: Callable[..., Path], transfer: int, hdr: str | None) -> None:
    info = probe(write("a.mp4", times_ms=EVEN[:3], options={"color_trc": str(transfer)}))
    assert (info.hdr, "not tone-mapped" in info.note) == (hdr, hdr is not None)


def test_keyframes_are_told_and_an_overview_by_them_decodes_nothing_else(hazard: Hazard, monkeypatch) -> None:
    oracle = hazard("variable rate")
    with open_video(oracle.path) as video:
        keys = video.keyframes_seconds
        assert len(keys) == video.info.num_keyframes == 6
        decoded = count_decoded(monkeypatch)
        check(read_frames(video, keys), oracle, keys)
    assert len(decoded) <= 2 * len(keys)


def test_frames_that_no_other_needs_are_skipped_on_the_way_but_not_the_one_shown_in_a_pause(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other frame of these is a B-frame, and before the pause of three seconds one may be the last."""
    options = {"g": "200", "bf": "1", "x264-params": "log-level=none:scenecut=0:b-adapt=0"}
    decoded = count_decoded(monkeypatch)
    for num_before in range(60, 64):
        times = (*range(0, 40 * num_before, 40), *range(40 * num_before + 3000, 40 * num_before + 4000, 40))
        oracle = Oracle(write(f"{num_before}.mp4", times_ms=times, options=options))
        with open_video(oracle.path, max_cache_bytes=0) as video:
            check(read_frames(video, [4.0]), oracle, [4.0])
            decoded.clear()
            check(read_frames(video, [2.0]), oracle, [2.0])
            assert len(decoded) < 40
            check(read_frames(video, [1.0, 4.5]), oracle, [1.0, 4.5])


def test_damage_to_the_next_keyframe_is_an_error_and_no_wrong_frame(tmp_path: Path) -> None:
    """The decoder conceals what it lacks and gives a frame; the first damaged packet it may take for data."""
    clip = Clip("a.ts", size=(128, 96), options={"g": "20", "bf": "0", "x264-params": "log-level=none:scenecut=0"})
    path = clip.write(tmp_path / clip.name)
    true = Oracle(path).pictures
    zero_packets(path, range(26, 29))
    refused = set()
    with open_video(path) as video:
        for number, picture in enumerate(true):
            try:
                image = read_frames(video, [number * 0.04 + 0.001]).images[0]
            except VideoDecodeError as error:
                assert "is damaged; ask for other times" in str(error)  # noqa: PT017
                refused.add(number)
            else:
                assert number in (26, 27, 28) or np.array_equal(image, picture), number
    assert set(range(30, 40)) <= refused <= set(range(25, 40))


def zero_packets(path: Path, numbers: range) -> None:
    """Write zeros over the middle of some packets of a file."""
    import av

    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for number in numbers:
        middle = packets[number][len(packets[number]) // 3 :][:40]
        assert data.count(middle) == 1
        data = data.replace(middle, bytes(len(middle)))
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["nasa_13013_rotated.mp4", "av1_video.mkv", "no_duration.webm", "var_fps_video.mp4"])
def test_real_clips_equal_a_sequential_decode(real_videos: Path, name: str) -> None:
    oracle = Oracle(real_videos / name)
    if name == "no_duration.webm":  # its decoder here is the one that knows transparency
        assert probe(oracle.path).num_frames == len(oracle.times)
        return
    rng = random.Random(5)
    wanted = [rng.uniform(0, oracle.times[-1]) for _ in range(6)]
    check(read_frames(oracle.path, wanted), oracle, wanted)
