"""Files whose container tells less than it seems to: lengths that count from 0 s, fragments, streams alike."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.video.conftest import number_of, numbered
from tests.video.test_reader import assert_equals_oracle
from vreason_agent.errors import VideoDecodeError
from vreason_agent.video import Backend, Limits, VideoStream, open_video, probe, read_frames, resolve_span
from vreason_agent.video.capture import Capture
from vreason_agent.video.source import Source, open_source, stamp_of
from vreason_agent.video.twins import has_twins

BACKENDS: tuple[Backend, ...] = ("opencv", "av")
TICK = Fraction(1, 1000)
EVEN = [40 * number for number in range(200)]


def write_streams(
    path: Path,
    streams: Sequence[Sequence[int]],
    *,
    codec: str = "libx264",
    rate: int = 25,
    options: Sequence[dict[str, str]] = ({},),
    size: tuple[int, int] = (64, 48),
    **container_options: str,
) -> Path:
    """Write a stream of numbered frames for each list of times in milliseconds; of several the last is default."""
    with av.open(str(path), "w", options=container_options) as container:
        made = []
        for number, times in enumerate(streams):
            stream: Any = container.add_stream(codec, rate=rate, options=options[number % len(options)])
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.time_base = TICK
            is_default = len(streams) > 1 and number == len(streams) - 1
            stream.disposition = av.stream.Disposition.default if is_default else av.stream.Disposition(0)
            made.append((stream, times))
        events = sorted((time, at, index) for at, (_, times) in enumerate(made) for index, time in enumerate(times))
        for time, at, index in events:
            frame = av.VideoFrame.from_ndarray(numbered(index, width=size[0], height=size[1]), format="bgr24")
            frame.pts, frame.time_base = time, TICK
            container.mux(made[at][0].encode(frame))
        for stream, _ in made:
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize("isolate", [False, True])
def test_of_two_streams_alike_the_first_is_read_though_packets_are_of_the_other(tmp_path: Path, name: str, isolate):
    """OpenCV scans the default stream; the first one has frames more, behind those that are looked at to compare."""
    more = sorted([*EVEN, *(time + 20 for time in EVEN[100:103])])
    path = write_streams(tmp_path / name, [more, EVEN], options=[{"bf": "0", "crf": "40"}, {"bf": "0"}])
    assert has_twins(open_source(path))
    info = probe(path)
    assert (info.num_frames, info.is_seekable) == (203, False)
    assert info.streams == (VideoStream(64, 48, "h264", True), VideoStream(64, 48, "h264", False))
    assert "several video streams: one is read" in info.note
    frames = read_frames(path, [4.03], isolate=isolate)
    assert (frames.timestamps_seconds[0], number_of(frames.images[0])) == (pytest.approx(4.02), 101)
    assert_equals_oracle(path, seed=3, num_times=8)


def test_streams_are_alike_though_their_tables_call_them_otherwise(tmp_path: Path):
    """OpenCV reports one codec and the true size of both."""
    path = write_streams(tmp_path / "a.mp4", [EVEN, EVEN])
    data = path.read_bytes()
    at = data.rindex(b"avc1")
    path.write_bytes(data[:at] + b"avc3" + data[at + 4 : at + 28] + struct.pack(">H", 66) + data[at + 30 :])
    info = probe(path)
    assert (len(info.streams), info.is_seekable) == (2, False)


def test_two_frames_of_which_the_last_has_no_time_are_a_usual_gap_apart(tmp_path: Path):
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=50, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(index), format="bgr24")))
        container.mux(stream.encode())
    assert probe(tmp_path / "a.avi").duration_seconds == pytest.approx(0.04)


def test_a_stream_whose_pictures_have_no_size_names_the_other_backend(tmp_path: Path, monkeypatch):
    path = write_streams(tmp_path / "a.ts", [EVEN])
    monkeypatch.setattr(Capture, "size", lambda self: (0, 0))
    with pytest.raises(VideoDecodeError, match=r"cannot be decoded: .* read it with backend='av'"):
        probe(path)


def test_keyframes_of_a_stream_alike_are_not_taken_for_those_of_the_one_that_is_read(tmp_path: Path):
    options = [{"g": "500", "x264-params": "scenecut=0:log-level=none", "crf": "40"}, {"g": "10"}]
    path = write_streams(tmp_path / "a.mkv", [EVEN, EVEN], options=options)
    with open_video(path) as video:
        assert video.keyframes_seconds == ()


def test_streams_that_differ_are_no_twins(tmp_path: Path, write_opencv: Callable[..., Path]):
    assert not has_twins(open_source(write_opencv("a.mp4")))
    for data in (b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3" + bytes(100), b"\x00\x00\x00\x18ftyp", bytes(300)):
        (tmp_path / "odd.mkv").write_bytes(data)
        path = str(tmp_path / "odd.mkv")
        assert not has_twins(Source(path, "video", (), stamp_of(path) or ()))


@pytest.mark.parametrize("hidden", [101, 102])
def test_a_frame_that_no_packet_tells_of_is_noticed_at_a_constant_rate_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: int
):
    """As if packets were of another stream than frames: that is seen by the frame behind the one that is read."""
    times = sorted([*EVEN, 4020])
    path, true_steps = write_streams(tmp_path / "a.mkv", [times], options=[{"bf": "0"}]), Capture.steps

    def one_less(self: Capture):
        is_packets = self.get("FORMAT") == -1
        return (time for number, time in enumerate(true_steps(self)) if not (is_packets and number == 101))

    monkeypatch.setattr(Capture, "steps", one_less)
    with open_video(path) as video:
        assert video.info.is_constant_rate
        frames = read_frames(video, [times[hidden] / 1000 - 0.001])
        assert (frames.method, number_of(frames.images[0])) == ("walk", hidden - 1)
        assert (frames.info, video.info.num_frames, video.info.is_seekable) == (video.info, 201, False)


UNEVEN_LATE = [13_000 + number * 125 // 3 for number in range(240)]
UNEVEN_LATE += [23_000 + number * 125 // 6 for number in range(240)]
LATE: dict[str, tuple[str, list[int], dict[str, Any]]] = {
    "variable, Matroska": ("a.mkv", UNEVEN_LATE, {"rate": 24, "options": [{"g": "30", "preset": "ultrafast"}]}),
    "constant, ASF": ("a.wmv", [5000 + time for time in EVEN], {"codec": "wmv2"}),
    "frames dropped, ASF": ("a.wmv", [5000 + time for time in EVEN if time * 7919 % 5 or time % 3], {"codec": "wmv2"}),
    "a frame a second, FLV": ("a.flv", [1000 * number for number in range(10)], {}),
    "25 frames, ASF": ("a.wmv", [20 * number for number in range(25)], {"codec": "wmv2", "rate": 50}),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LATE)
def test_a_whole_file_that_begins_late_or_is_uneven_is_not_called_cut(tmp_path: Path, name: str, backend: Backend):
    """Its length may count from 0 s, and the number of its frames be made of that by a rate that is none."""
    file_name, times, how = LATE[name]
    info = probe(write_streams(tmp_path / file_name, [times], **how), backend=backend)
    assert (info.num_frames, info.is_complete) == (len(times), True)
    assert info.duration_seconds == pytest.approx((times[-1] - times[0]) / 1000, abs=1.05 if "second" in name else 0.1)
    assert resolve_span(info)[1] == info.duration_seconds


FRAGMENTS: dict[str, Any] = {"movflags": "frag_keyframe+default_base_moof+global_sidx"}


def test_a_fragmented_file_is_walked_once_and_a_cut_one_says_how_much_is_left(tmp_path: Path, monkeypatch):
    """OpenCV counts the first fragment's frames only, and seeks no further."""
    path = write_streams(tmp_path / "a.mp4", [EVEN], options=[{"g": "10", "bf": "2"}], **FRAGMENTS)
    grabs, grab = [], Capture.grab

    def counted(self: Capture) -> bool:
        grabs.extend([self] if self.get("FORMAT") != -1 else [])
        return grab(self)

    with monkeypatch.context() as patch:
        patch.setattr(Capture, "grab", counted)
        frames = read_frames(path, [0.0, 4.0, 7.9])
    assert (frames.method, [number_of(image) for image in frames.images]) == ("walk", [0, 100, 197])
    assert len(grabs) == 201  # the last finds the end
    assert (frames.info.num_frames, frames.info.is_complete) == (200, True)
    assert_equals_oracle(path, seed=4, num_times=8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    for backend in BACKENDS:
        info = probe(path, backend=backend)
        assert not info.is_complete
        assert info.duration_seconds == pytest.approx(8.0, abs=0.5)
        with pytest.raises(VideoDecodeError, match=r"2 frames were asked for and 1 can be decoded.*get the whole file"):
            read_frames(path, [0.0, 7.0], backend=backend)
        frames = read_frames(path, [0.0, 7.0], backend=backend, allow_missing=True)
        assert (frames.missing_seconds, frames.num_decoded) == ((7.0,), 1)


def test_an_empty_edit_in_front_is_no_part_of_the_length(tmp_path: Path):
    """A stream that is muxed late waits by an edit without frames."""
    path = write_streams(tmp_path / "a.mp4", [[2000 + time for time in EVEN]], options=[{"bf": "0"}])
    for backend in BACKENDS:
        info = probe(path, backend=backend, limits=Limits())
        assert (info.num_frames, info.is_complete, info.duration_seconds) == (200, True, pytest.approx(8.0))
