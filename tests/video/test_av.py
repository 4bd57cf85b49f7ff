"""`backend="av"` gives the frame a player shows too, on what OpenCV cannot decode, and only where it is asked for."""

from __future__ import annotations

import bisect
import random
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tests.video.conftest import number_of
from tests.video.test_hazards import HAZARDS, Writer, write
from vreason_agent.errors import ConfigError, DependencyError, VideoDecodeError, VideoError, VideoTooLargeError
from vreason_agent.video import Limits, keyframes_plan, open_video, probe, read_frames
from vreason_agent.video.av_capture import AvCapture, picture_of
from vreason_agent.video.av_reading import AvStepper, walk_frames
from vreason_agent.video.capture import Capture
from vreason_agent.video.source import open_source

__all__ = ["write"]
AV1: dict[str, Any] = {"codec": "libsvtav1", "options": {"svtav1-params": "lp=1:keyint=20"}}


def sequential(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """Return times from the first frame's and pictures of all frames that PyAV decodes one after the other."""
    with av.open(str(path)) as container:
        shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time - shown[0][0] for time, _ in shown], [picture for _, picture in shown]


def assert_equals_sequential(path: Path, *, seed: int, num_times: int = 12) -> str:
    times, pictures = sequential(path)
    rng = random.Random(seed)
    wanted = [rng.uniform(0, times[-1]) for _ in range(num_times)]
    frames = read_frames(path, wanted, backend="av")
    expected = [max(0, bisect.bisect_right(times, time + 1e-6) - 1) for time in wanted]
    assert list(frames.frame_indices) == expected
    np.testing.assert_allclose(frames.timestamps_seconds, [times[i] for i in expected], atol=1e-6)
    for image, index in zip(frames.images, expected, strict=True):
        assert np.array_equal(image, pictures[index])
    assert frames.info.backend == "av"
    return frames.method


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_hazard_equals_a_sequential_read(write: Writer, hazard: str):
    name, options = HAZARDS[hazard]
    assert_equals_sequential(write(name, **options), seed=11)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_av1_is_sought_and_gives_the_numbered_frames(write: Writer, name: str):
    path = write(name, **AV1)
    assert assert_equals_sequential(path, seed=3) == "seek"
    frames = read_frames(path, [3.6, 0.0, 1.24], backend="av")
    assert [number_of(image) for image in frames.images] == [90, 0, 31]
    info = probe(path, backend="av")
    assert (info.codec, info.backend, info.num_frames, info.is_constant_rate) == ("av1", "av", 100, True)


def test_b_frames_in_an_avi_are_refused_since_their_order_is_not_told(write: Writer):
    path = write("a.avi", codec="libx264", options={"bf": "2", "g": "12"})
    with pytest.raises(VideoDecodeError, match=r"its frames do not ascend; use backend='opencv', or re-encode it"):
        read_frames(path, [1.0], backend="av")
    assert [number_of(image) for image in read_frames(path, [1.0, 1.04]).images] == [25, 26]


def test_a_variable_rate_equals_a_sequential_read(write_av):
    rng, times = random.Random(3), [0]
    for _ in range(79):
        times.append(times[-1] + rng.choice([20, 40, 120, 400]))
    path = write_av("variable.mp4", times)
    assert assert_equals_sequential(path, seed=4, num_times=20) == "seek"
    assert probe(path, backend="av").is_constant_rate is False


def test_the_backend_changes_only_where_it_is_asked_for(write: Writer, monkeypatch):
    path = write("a.mp4", **AV1, num_frames=3)
    with monkeypatch.context() as patched:
        patched.setattr(AvCapture, "__init__", lambda *args: pytest.fail("PyAV was opened"))
        with pytest.raises(VideoDecodeError, match=r"--backend av \(pip install 'vreason-agent\[av\]'\), or re-encode"):
            read_frames(path, [0.0])
    monkeypatch.setattr(Capture, "__init__", lambda *args, **options: pytest.fail("OpenCV was opened"))
    assert read_frames(path, [0.0], backend="av").info.backend == "av"


def test_opencv_says_that_it_read(write_opencv):
    assert read_frames(write_opencv("a.mp4"), [0.0]).info.backend == "opencv"


def test_an_isolated_read_uses_the_backend_too(write: Writer, monkeypatch):
    path = write("a.mp4", **AV1)
    here = read_frames(path, [1.0], backend="av")
    monkeypatch.setattr(AvCapture, "__init__", lambda *args: pytest.fail("decoded here"))
    alone = read_frames(path, [1.0], backend="av", isolate=True)
    assert np.array_equal(alone.images, here.images)
    assert alone.info == here.info == probe(path, backend="av", isolate=True)


def test_an_opened_video_reads_in_any_order(write: Writer):
    path = write("a.mp4", **AV1)
    _, pictures = sequential(path)
    with open_video(path, backend="av", max_kept_bytes=0) as video:
        for index in (80, 3, 3, 50, 51, 0, 99, 30):
            assert np.array_equal(read_frames(video, [index / 25 + 0.01]).images[0], pictures[index])


@pytest.mark.parametrize("isolate", [False, True])
def test_without_pyav_the_error_tells_how_to_install_it(write_opencv, monkeypatch, isolate):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DependencyError, match=r"pip install 'vreason-agent\[av\]'"):
        read_frames(write_opencv("a.mp4"), [0.0], backend="av", isolate=isolate)


def test_a_backend_that_is_none_is_refused(write_opencv):
    with pytest.raises(ConfigError, match="use 'opencv', or 'av'"):
        read_frames(write_opencv("a.mp4"), [0.0], backend="decord")


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        (Limits(max_bytes=10), "cut the part you need"),
        (Limits(max_pixels=10), "scale it down first"),
        (Limits(max_seconds=0.5), "cut the part you need: ffmpeg"),
        (Limits(max_walked_frames=3), "cut the part you need"),
        (Limits(max_frames=0), "ask for fewer at a time"),
    ],
)
def test_every_limit_is_checked_before_a_frame_is_decoded(write_opencv, monkeypatch, limits, match):
    monkeypatch.setattr(AvCapture, "frames", lambda self: pytest.fail("a frame was decoded"))
    with pytest.raises(VideoTooLargeError, match=match):
        read_frames(write_opencv("a.mp4"), [0.0], limits=limits, backend="av")


def test_a_seek_that_misleads_makes_the_file_a_walk(write_opencv, monkeypatch):
    path = write_opencv("a.mp4", num_frames=200)
    assert probe(path, backend="av").is_seekable is True
    _, pictures = sequential(path)
    seek = AvCapture.seek
    monkeypatch.setattr(AvCapture, "seek", lambda self, seconds: seek(self, seconds + 3.0))
    frames = read_frames(path, [0.0, 3.0], backend="av")
    assert (frames.method, frames.frame_indices) == ("walk", (0, 75))
    assert np.array_equal(frames.images[1], pictures[75])


def test_a_rotated_video_is_shown_upright_as_opencv_shows_it(real_videos: Path):
    path = real_videos / "nasa_13013_rotated.mp4"
    by_av, by_opencv = (read_frames(path, [0.0, 0.3], backend=backend) for backend in ("av", "opencv"))
    assert by_av.images.shape == by_opencv.images.shape
    assert (by_av.info.width_px, by_av.info.height_px) == (by_opencv.info.width_px, by_opencv.info.height_px)
    assert np.abs(by_av.images.astype(int) - by_opencv.images).mean() < 3


def test_several_streams_are_all_told(real_videos: Path):
    info = probe(real_videos / "nasa_13013.mp4", backend="av")
    assert [(stream.width_px, stream.is_read) for stream in info.streams] == [(320, True), (480, False)]


def test_a_real_av1_clip_equals_a_sequential_read(real_videos: Path):
    assert_equals_sequential(real_videos / "av1_video.mkv", seed=5, num_times=6)


@pytest.mark.parametrize("seed", range(20))
def test_a_mutant_gives_frames_or_a_typed_error(write: Writer, tmp_path: Path, seed: int):
    rng = random.Random(seed)
    data = bytearray(write("a.mp4", **AV1, num_frames=30).read_bytes())
    for _ in range(rng.choice([1, 8, 64])):
        data[rng.randrange(8, len(data))] = rng.randrange(256)
    path = tmp_path / "mutant.mp4"
    path.write_bytes(data[: rng.choice([len(data), len(data) * 3 // 4])])
    try:
        frames = read_frames(path, [0.0, 0.5], backend="av", isolate=True)
    except VideoError as error:
        assert "Errno" not in str(error)  # noqa: PT017
    else:
        assert frames.images.shape[0] == 2


def test_a_frame_that_cannot_be_converted_is_an_error(write_opencv, monkeypatch):
    monkeypatch.setattr("vreason_agent.video.av_reading.picture_of", lambda frame: None)
    path = open_source(write_opencv("a.mp4"))
    index = walk_frames(path, Limits())
    match = r"frame 3 .* ask for other times, or repair the file"
    with closing(AvStepper(path, index, Limits())) as stepper, pytest.raises(VideoDecodeError, match=match):
        stepper.picture(3)


def test_a_pixel_format_that_cannot_be_converted_gives_no_picture():
    def fail(format: str) -> None:
        raise ValueError("native text")

    rgb = SimpleNamespace(components=(), has_palette=False)
    assert picture_of(SimpleNamespace(to_ndarray=fail, rotation=0, format=rgb)) is None


@pytest.mark.parametrize(
    ("codec", "name", "pix_fmt"),
    [("libvpx-vp9", "a.webm", "yuva420p"), ("libvpx", "a.webm", "yuva420p"), ("qtrle", "a.mov", "argb")],
)
def test_transparent_video_is_composited_on_white(tmp_path: Path, codec, name, pix_fmt):
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
    images = read_frames(tmp_path / name, [0.5, 0.0, 0.7], backend="av").images
    assert (images[:, 5, 5] == 255).all()
    assert images[:, 5, 60, 0] == pytest.approx([110, 10, 150], abs=4)


@pytest.mark.parametrize(("transfer", "hdr"), [(16, "PQ"), (18, "HLG"), (1, None)])
@pytest.mark.parametrize("backend", ["opencv", "av"])
def test_hdr_is_told(write_av, transfer, hdr, backend):
    path = write_av("a.mp4", [0, 40, 80], codec="libx264", color_trc=str(transfer))
    info = probe(path, backend=backend)
    assert (info.hdr, "not tone-mapped" in info.note) == (hdr, hdr is not None)


def test_a_file_without_a_video_stream_says_how_to_repair_it(write_opencv, tmp_path: Path):
    data = write_opencv("a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoDecodeError, match=r"truncated, damaged or holds only audio; try to repair it: ffmpeg"):
        probe(tmp_path / "cut.mp4", backend="av")


@pytest.mark.parametrize(
    ("times", "match"), [([], "no frame of it can be decoded"), ([0.0, 1.0, 0.5], "do not ascend")]
)
def test_frames_that_give_no_clock_are_an_error(write_opencv, monkeypatch, times, match):
    monkeypatch.setattr(AvCapture, "frames", lambda self: iter([(time, None) for time in times]))
    with pytest.raises(VideoDecodeError, match=rf"{match}; use backend=.opencv., or re-encode it: ffmpeg"):
        walk_frames(open_source(write_opencv("a.mp4")), Limits())


def _undecodable() -> list[Any]:
    raise av.error.InvalidDataError(1, "native text")


@pytest.mark.parametrize(
    ("decode", "match"),
    [
        (lambda: [SimpleNamespace(pts=None, rotation=0)], "which backend='av' cannot read; use 'opencv'"),
        (_undecodable, "ask for other times, or re-encode it: ffmpeg"),
    ],
)
def test_packets_that_give_no_frame_are_an_error_without_native_text(write_opencv, monkeypatch, decode, match):
    monkeypatch.setattr(AvCapture, "_packets", lambda self: iter([SimpleNamespace(decode=decode)] * 70))
    with (
        AvCapture(open_source(write_opencv("a.mp4")), Limits()) as capture,
        pytest.raises(VideoDecodeError, match=match),
    ):
        list(capture.frames())


@pytest.mark.parametrize(
    ("name", "codec", "noticed"),
    [("a.ts", "libx264", range(26, 40)), ("a.mp4", "libx264", range(27, 40)), ("a.avi", "mpeg4", range(26, 29))],
)
def test_from_damage_that_is_noticed_to_the_next_keyframe_frames_are_an_error(
    tmp_path: Path, name: str, codec: str, noticed: range
):
    """The decoder conceals what it lacks and gives a frame; zeros it may take for data, as in the MP4's first one."""
    write_busy(tmp_path / name, codec)
    true, damaged = sequential(tmp_path / name)[1], range(26, 29)
    zero_packets(tmp_path / name, damaged)
    refused = set()
    with open_video(tmp_path / name, backend="av") as video:
        for number in range(len(true)):
            try:
                picture = read_frames(video, [number * 0.04 + 0.001]).images[0]
            except VideoDecodeError as exc:
                assert "cannot be decoded; ask for other times" in str(exc)  # noqa: PT017
                refused.add(number)
            else:
                assert number in damaged or np.array_equal(picture, true[number])
    assert refused == set(noticed)


def write_busy(path: Path, codec: str) -> None:
    """Write 60 frames of moving noise, a keyframe every 20."""
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"g": "20", "bf": "0", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 5 * index, axis=1), format="rgb24")))
        container.mux(stream.encode())


def zero_packets(path: Path, numbers: range) -> None:
    """Write zeros over the middle of some packets of a file."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for number in numbers:
        middle = packets[number][len(packets[number]) // 3 :][:40]
        assert data.count(middle) == 1
        data = data.replace(middle, bytes(len(middle)))
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_an_overview_by_keyframes_decodes_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    write_busy(tmp_path / name, "mpeg4" if name == "a.avi" else "libx264")
    times, pictures = sequential(tmp_path / name)
    with av.open(str(tmp_path / name)) as container:
        true = [frame.time for frame in container.decode(video=0) if frame.key_frame]
    num_decoded, frames = [], AvCapture.frames

    def counted(self: AvCapture) -> Any:
        for item in frames(self):
            num_decoded.append(item[0])
            yield item

    with open_video(tmp_path / name, backend="av") as video:
        keys = video.keyframes_seconds
        np.testing.assert_allclose(keys, [time - true[0] for time in true], atol=1e-6)
        read_frames(video, [times[-1]])
        monkeypatch.setattr(AvCapture, "frames", counted)
        plan = keyframes_plan(0.0, 2.4, keyframes_seconds=keys, num_frames=3)
        result = read_frames(video, plan.timestamps_seconds)
    assert [
        np.array_equal(image, pictures[index]) for image, index in zip(result.images, result.frame_indices, strict=True)
    ]
    if name != "a.avi":  # of noise, MPEG-4 makes nearly every frame a keyframe
        assert result.frame_indices == (0, 20, 40)
    assert len(num_decoded) == len(plan.timestamps_seconds)
