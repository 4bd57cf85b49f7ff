"""Every hazard of real files has a generated clip here: the frames equal a sequential read, the times PyAV's."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.video.conftest import number_of, numbered, oracle_pictures, oracle_times
from tests.video.test_reader import assert_equals_oracle
from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError, VideoTooLargeError
from vreason_agent.video import Backend, Limits, VideoStream, open_video, probe, read_frames, resolve_span
from vreason_agent.video.capture import Capture
from vreason_agent.video.conversion import FILLINGS
from vreason_agent.video.edit_list import shown_seconds
from vreason_agent.video.source import open_source

Writer = Callable[..., Path]
BACKENDS: tuple[Backend, ...] = ("opencv", "av")


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write numbered frames at 25 a second with any codec, pixel format, size and container option."""

    def write_clip(
        name: str,
        *,
        codec: str,
        num_frames: int = 100,
        pix_fmt: str = "yuv420p",
        size: tuple[int, int] = (64, 48),
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
        first_ms: int = 0,
    ) -> Path:
        if codec not in av.codecs_available:
            pytest.skip(f"this PyAV build has no {codec} encoder")
        path = tmp_path / name
        with av.open(str(path), "w", options=container_options or {}) as container:
            stream: Any = container.add_stream(codec, rate=25, options=options or {})
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            if first_ms:
                stream.codec_context.time_base = Fraction(1, 1000)
            for index in range(num_frames):
                frame = av.VideoFrame.from_ndarray(numbered(index, width=size[0], height=size[1]), format="bgr24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                if first_ms:
                    frame.pts, frame.time_base = first_ms + 40 * index, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write_clip


X264_OPEN = {"x264-params": "open-gop=1:keyint=30:bframes=3:scenecut=0:log-level=none"}
X264_REFRESH = {"x264-params": "intra-refresh=1:keyint=30:bframes=0:scenecut=0:log-level=none"}
X265_OPEN = {"x265-params": "open-gop=1:keyint=30:log-level=none"}
HAZARDS: dict[str, tuple[str, dict[str, Any]]] = {
    "open GOP in mp4": ("a.mp4", {"codec": "libx264", "options": X264_OPEN}),
    "open GOP in ts": ("a.ts", {"codec": "libx264", "options": X264_OPEN}),
    "intra refresh": ("a.mkv", {"codec": "libx264", "options": X264_REFRESH}),
    "fragmented mp4": ("a.mp4", {"codec": "libx264", "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "HEVC 10 bit": ("a.mp4", {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": X265_OPEN}),
    "MPEG-PS": ("a.mpg", {"codec": "mpeg2video", "options": {"bf": "2", "g": "18"}}),
    "MPEG-TS": ("a.ts", {"codec": "mpeg2video", "options": {"bf": "2", "g": "18"}}),
    "webm without duration": ("a.webm", {"codec": "libvpx-vp9", "container_options": {"live": "1"}}),
    "odd size": ("a.mp4", {"codec": "libvpx-vp9", "size": (65, 49), "num_frames": 30}),
    "FLV": ("a.flv", {"codec": "flv", "num_frames": 60}),
    "WMV": ("a.wmv", {"codec": "wmv2", "num_frames": 60}),
    "late start": ("a.mkv", {"codec": "mpeg4", "first_ms": 2000}),
    "edit list that hides the first frames": ("a.mp4", {"codec": "libx264", "first_ms": -200}),
}


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_hazard_equals_the_oracle(write: Writer, hazard: str):
    name, options = HAZARDS[hazard]
    path = write(name, **options)
    assert_equals_oracle(path, seed=11)
    assert probe(path).num_frames == len(oracle_pictures(path))


@pytest.mark.parametrize("hazard", ["open GOP in mp4", "intra refresh", "MPEG-TS"])
def test_a_single_far_frame_is_sought_and_equals_the_oracle(write: Writer, hazard: str):
    name, options = HAZARDS[hazard]
    path = write(name, **options)
    pictures = oracle_pictures(path)
    for index in (40, 61, 97):
        frames = read_frames(path, [index / 25 + 0.02])
        assert frames.frame_indices == (index,)
        assert np.array_equal(frames.images[0], pictures[index])


@pytest.mark.parametrize("hazard", ["open GOP in mp4", "MPEG-PS"])
def test_any_times_in_any_order_equal_the_oracle(write: Writer, hazard: str):
    name, options = HAZARDS[hazard]
    path = write(name, **options)
    pictures, times = oracle_pictures(path), oracle_times(path)

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.floats(0, times[-1]), min_size=1, max_size=5))
    def check(wanted: list[float]) -> None:
        frames = read_frames(path, wanted)
        expected = [max(i for i, at in enumerate(times) if at <= time + 1e-6) for time in wanted]
        assert list(frames.frame_indices) == expected
        assert all(np.array_equal(image, pictures[i]) for image, i in zip(frames.images, expected, strict=True))

    check()


def test_a_change_of_rate_is_not_called_constant(write_av):
    times = [round(1000 * i / 24) for i in range(60)] + [2500 + round(1000 * i / 30) for i in range(60)]
    path = write_av("film.mp4", times)
    assert probe(path).is_constant_rate is False
    assert_equals_oracle(path, seed=12)


def test_several_streams_say_which_is_read(tmp_path: Path):
    path, noise = tmp_path / "two.mp4", np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("mpeg4", rate=rate) for rate in (25, 10)]
        for stream, (width, height) in zip(streams, [(64, 48), (128, 96)], strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        streams[1].disposition = Disposition.default
        for index in range(50):
            for stream in streams:
                picture = numbered(index, width=stream.width, height=stream.height)
                if stream is streams[1]:  # bit rate and default flag: a packet scan takes it
                    picture = noise.integers(0, 256, picture.shape, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        for stream in streams:
            container.mux(stream.encode())
    info = probe(path)
    assert "several video streams: one is read (64x48" in info.note
    assert info.streams == (VideoStream(64, 48, "FMP4", is_read=True), VideoStream(128, 96, "FMP4", is_read=False))
    assert (info.width_px, info.num_frames, info.is_seekable) == (64, 50, False)
    assert_equals_oracle(path, seed=13)


def test_a_second_stream_of_the_same_kind_is_not_taken_for_the_first(tmp_path: Path):
    """A packet scan takes the second one, whose frames come twice as fast; the container's length is that of both."""
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"}) for _ in "12"]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
        streams[1].codec_context.bit_rate = 4_000_000
        for index in range(100):
            for stream in streams[index % 2 :]:
                number = index // 2 if stream is streams[0] else index
                frame = av.VideoFrame.from_ndarray(numbered(number), format="bgr24")
                frame.pts, frame.time_base = 40 * index, Fraction(1, 1000)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    for backend in BACKENDS:
        info = probe(path, backend=backend)
        assert (info.num_frames, info.is_complete) == (50, True)
        assert info.duration_seconds == pytest.approx(4.0, abs=0.05)
    assert_equals_oracle(path, seed=17)


def stream_copied(source: Path, target: Path, start_seconds: float) -> Path:
    """Cut a clip as `ffmpeg -ss START -i SOURCE -c copy TARGET`: an edit list hides what leads to the first frame."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options={"movflags": "faststart"}) as writer:
        taken, given = reader.streams.video[0], writer.add_stream_from_template(reader.streams.video[0])
        assert taken.time_base is not None
        start = round(start_seconds / taken.time_base)
        reader.seek(start, stream=taken)
        for packet in reader.demux(taken):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, given
                writer.mux(packet)
    return target


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("start", "num_shown"), [(1.0, 225), (1.5, 212), (5.9, 102), (9.0, 25)])
def test_a_clip_cut_by_stream_copy_is_whole(write: Writer, tmp_path: Path, start, num_shown, backend: Backend):
    """The container counts the frames that its edit list hides; 1.5 s and 5.9 s lie within a frame."""
    whole = write("whole.mp4", codec="libx264", num_frames=250, options={"g": "50", "bf": "2"})
    path = stream_copied(whole, tmp_path / "cut.mp4", start)
    info = probe(path, backend=backend)
    assert (info.num_frames, info.promised_frames, info.is_complete) == (num_shown, num_shown, True)
    assert info.duration_seconds == pytest.approx(num_shown / 25)
    assert resolve_span(info, None, None) == (0.0, info.duration_seconds)
    assert "that the file announces" not in info.note
    frames = read_frames(path, [0.0, (num_shown - 1) / 25], backend=backend)
    assert [number_of(image) for image in frames.images] == [250 - num_shown, 249]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clip_cut_by_stream_copy_that_is_truncated_is_told_by_what_it_would_show(
    write: Writer, tmp_path: Path, backend: Backend
):
    whole = write("whole.mp4", codec="libx264", num_frames=250, options={"g": "50", "bf": "2"})
    path = stream_copied(whole, tmp_path / "cut.mp4", 1.0)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    info = probe(path, backend=backend)
    assert (info.is_complete, info.promised_frames) == (False, 225)
    assert info.duration_seconds == pytest.approx(9.0, abs=0.1)
    with pytest.raises(VideoDecodeError, match=r"truncated or damaged: \d+ of 225 frames.*get the whole file"):
        info.check_readable()


@pytest.mark.parametrize("version", [0, 1])
def test_an_edit_list_tells_what_is_shown_and_not_what_waits(tmp_path: Path, version: int):
    """Three edits at 1000 a second: 2 s of waiting, 3 s and 1 s."""
    layout = ">QqI" if version else ">IiI"
    entries = b"".join(struct.pack(layout, *edit, 1 << 16) for edit in [(2000, -1), (3000, 500), (1000, 9000)])
    edits = _box(b"elst", bytes([version, 0, 0, 0]), struct.pack(">I", 3), entries)
    header = _box(b"mvhd", bytes([version, 0, 0, 0]), bytes(16 if version else 8), struct.pack(">I", 1000))
    tracks = [
        _box(b"trak", _box(b"edts", edit), _box(b"mdia", _box(b"hdlr", bytes(8), kind)))
        for kind, edit in ((b"soun", b""), (b"vide", edits))
    ]
    path = tmp_path / "a.mp4"
    path.write_bytes(_box(b"ftyp", b"isom") + b"\0\0\0\1free" + struct.pack(">Q", 16) + _box(b"moov", header, *tracks))
    assert shown_seconds(open_source(path)) == 4.0
    path.write_bytes(path.read_bytes()[:-40])
    assert shown_seconds(open_source(path)) is None


def _box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_a_video_that_starts_late_is_as_long_as_its_frames(write: Writer, name: str, backend: Backend):
    """Matroska announces where the last frame ends, and not how long it lasts to there from the first."""
    info = probe(write(name, codec="mpeg4", first_ms=2000), backend=backend)
    assert (info.num_frames, info.promised_frames, info.is_complete) == (100, 100, True)
    assert info.duration_seconds == pytest.approx(4.0, abs=0.002)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_video_that_starts_late_and_is_cut_is_told_by_what_it_lacks(write: Writer, backend: Backend):
    path = write("a.mkv", codec="mpeg4", first_ms=2000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    info = probe(path, backend=backend)
    assert (info.is_complete, info.promised_frames) == (False, 100)
    assert info.duration_seconds == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_that_begins_within_a_group_of_pictures_lacks_nothing_after_its_first_frame(
    write: Writer, backend: Backend
):
    """The length counts from the first packet, which cannot be decoded."""
    path = write(
        "a.ts",
        codec="libx264",
        num_frames=200,
        options={"g": "50", "bf": "0", "x264-params": "scenecut=0:log-level=none"},
    )
    with av.open(str(path)) as container:
        begin = [packet.pos for packet in container.demux(video=0) if packet.dts is not None][20]
    assert begin is not None
    path.write_bytes(path.read_bytes()[begin:])
    info = probe(path, backend=backend)
    assert (info.num_frames, info.is_complete) == (150, True)
    assert info.duration_seconds == pytest.approx(6.0)
    assert number_of(read_frames(path, [0.0], backend=backend).images[0]) == 50


def test_a_cover_in_front_is_not_read_as_the_video(tmp_path: Path):
    path = tmp_path / "cover.mkv"
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 300, 300, "yuvj420p"
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(numbered(0, width=300, height=300), format="bgr24")
        for packet in (*cover.encode(picture.reformat(format="yuvj420p")), *cover.encode()):
            container.mux(packet)
        for index in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(index), format="bgr24")))
        container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match=r"a single picture, such as a cover.*use backend='av'.*-map 0:v:1"):
        read_frames(path, [0.0])
    frames = read_frames(path, [1.0], backend="av")
    assert number_of(frames.images[0]) == 25
    assert frames.info.streams == (VideoStream(64, 48, "mpeg4", is_read=True), VideoStream(300, 300, "mjpeg", False))
    assert "several video streams: one is read (64x48" in frames.info.note


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_pictures_that_grow_midway_are_held_at_the_first_ones_size(tmp_path: Path, codec: str):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV build has no {codec} encoder")
    path, options = tmp_path / "grow.webm", {"g": "10", "lag-in-frames": "0", "cpu-used": "8"}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        grown: Any = av.CodecContext.create(codec, "w")
        grown.options = options
        for context, size in ((stream.codec_context, (64, 48)), (grown, (640, 480))):
            context.width, context.height, context.pix_fmt, context.time_base = *size, "yuv420p", Fraction(1, 1000)
        for index in range(40):
            context = stream if index < 30 else grown
            picture = numbered(index, width=context.width, height=context.height)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = 40 * index, Fraction(1, 1000)
            for packet in context.encode(frame):
                packet.stream, packet.pts, packet.dts = stream, 40 * index, 40 * index
                packet.time_base = Fraction(1, 1000)
                container.mux(packet)
    limits = Limits(max_pixels=64 * 48)
    frames = read_frames(path, [0.0, 1.4], limits=limits)
    assert frames.images.shape == (2, 48, 64, 3)
    assert number_of(frames.images[1]) == 35
    with pytest.raises(
        VideoDecodeError, match=r"re-encode it: ffmpeg|30 of its 40 frames are there.*get the whole file"
    ):
        read_frames(path, [1.4], limits=limits, backend="av")


def turned(path: Path) -> Path:
    """Write a quarter turn into the matrix of an mp4's track header."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # after version, times, track, duration, layer, group and volume
    assert struct.unpack_from(">9i", data, matrix) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, matrix, 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(data)
    return path


def test_a_rotated_video_is_upright_and_equals_the_oracle(write_opencv):
    path = turned(write_opencv("a.mp4"))
    info = probe(path)
    assert (info.width_px, info.height_px, info.is_seekable) == (48, 64, True)
    assert_equals_oracle(path, seed=14)
    assert (
        np.abs(read_frames(path, [1.0], backend="av").images.astype(int) - read_frames(path, [1.0]).images).mean() < 3
    )


def test_a_file_of_one_frame_is_read(write_opencv):
    path = write_opencv("a.mp4", num_frames=1)
    frames = read_frames(path, [0.0, 0.039])
    assert frames.frame_indices == (0, 0)
    assert np.array_equal(frames.images[0], oracle_pictures(path)[0])
    assert read_frames(path, [0.0], backend="av").frame_indices == (0,)


def test_av1_names_the_codec_and_the_way_out(write: Writer):
    path = write("a.mp4", codec="libsvtav1", num_frames=3, options={"svtav1-params": "lp=1"})
    start = time.monotonic()
    with pytest.raises(
        VideoDecodeError,
        match=r"AV01.*no AV1 decoder; read it with backend='av' or --backend av .* or re-encode it: ffmpeg",
    ):
        read_frames(path, [0.0])
    assert time.monotonic() - start < 20


def test_a_long_video_is_refused(write_opencv):
    with pytest.raises(VideoTooLargeError, match="max_seconds=1; cut the part you need"):
        probe(write_opencv("a.mp4"), limits=Limits(max_seconds=1.0))


def test_a_side_of_no_pixels_is_an_error(write_opencv):
    with pytest.raises(ConfigError, match="use a number of pixels from 1"):
        read_frames(write_opencv("a.mp4"), [0.0], max_side_px=0)


def test_the_last_frame_is_shown_for_one_frames_time(write_opencv):
    path = write_opencv("a.mp4", num_frames=50)
    assert read_frames(path, [1.999]).frame_indices == (49,)


@pytest.mark.parametrize("seed", range(20))
def test_a_mutant_gives_frames_or_a_typed_error(write_opencv, tmp_path: Path, seed: int):
    rng = random.Random(seed)
    data = bytearray(write_opencv("a.mp4", num_frames=30).read_bytes())
    for _ in range(rng.choice([1, 8, 64])):
        data[rng.randrange(8, len(data))] = rng.randrange(256)
    path = tmp_path / "mutant.mp4"
    path.write_bytes(data[: rng.choice([len(data), len(data) * 3 // 4])])
    start = time.monotonic()
    try:
        frames = read_frames(path, [0.0, 0.5])
    except VideoError as error:
        assert "0x" not in str(error)  # noqa: PT017
    else:
        pictures = oracle_pictures(path)
        assert all(np.array_equal(a, pictures[i]) for a, i in zip(frames.images, frames.frame_indices, strict=True))
    assert time.monotonic() - start < 30


INTERLACED = {
    "mpeg2": ("a.mpg", {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme"}}),
    "h264": ("a.mp4", {"codec": "libx264", "options": {"flags": "+ildct+ilme", "x264-params": "log-level=none"}}),
    "10 bit": (
        "a.mkv",
        {"codec": "libx264", "pix_fmt": "yuv420p10le", "options": {"x264-params": "interlaced=1:log-level=none"}},
    ),
}


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_frames_are_refused_and_the_other_backend_reads_them(write: Writer, name: str):
    """OpenCV's wheels hand over memory that nobody wrote."""
    file_name, options = INTERLACED[name]
    path = write(file_name, num_frames=40, size=(64, 64), **options)
    match = r"interlaced, or OpenCV cannot convert.*use backend='av'.*-vf yadif"
    with pytest.raises(VideoDecodeError, match=match):
        read_frames(path, [0.8])
    for isolate in (False, True):
        with pytest.raises(VideoDecodeError, match=match):  # a look promises no plan
            probe(path, isolate=isolate)
    assert probe(path, backend="av").num_frames == 40
    frames = read_frames(path, [0.8], backend="av")
    assert [number_of(image) for image in frames.images] == [20]


def test_a_file_that_turns_interlaced_before_the_frame_that_is_read_is_refused_there(write: Writer, tmp_path: Path):
    """Its first frame is converted, so that only reading the other tells."""
    options = {"x264-params": "log-level=none", "g": "10", "bf": "0"}
    parts = [
        write(
            f"{flags}.ts", codec="libx264", num_frames=40, size=(64, 64), options={**options, "flags": flags}, **first
        )
        for flags, first in (("+cgop", {}), ("+ildct+ilme", {"first_ms": 1600}))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert number_of(read_frames(path, [0.8]).images[0]) == 20
    for times in ([2.4], [0.0, 2.4], [0.4, 0.8, 2.4, 3.0]):
        with pytest.raises(VideoDecodeError, match=r"interlaced, or OpenCV cannot convert.*-vf yadif"):
            read_frames(path, times)
    with open_video(path) as video:
        assert number_of(read_frames(video, [0.8]).images[0]) == 20
        with pytest.raises(VideoDecodeError, match=r"interlaced, or OpenCV cannot convert.*-vf yadif"):
            read_frames(video, [2.4])


@pytest.mark.parametrize("gap_ms", [40, 20], ids=["constant", "variable"])
def test_a_passage_that_stands_still_is_read_as_it_is(write_av, monkeypatch, gap_ms: int):
    """Where a picture repeats for the first time the file is opened once more, to see whether it is converted."""
    times = [number // 2 * 80 + number % 2 * gap_ms for number in range(100)]
    path = write_av("a.mkv", times, codec="ffv1", pix_fmt="bgr0", picture=lambda number: numbered(number // 25))
    wanted = [time / 1000 + 0.001 for time in times[::5]]
    with open_video(path) as video:
        opened: list[Capture] = []
        close = Capture.close
        monkeypatch.setattr(Capture, "close", lambda self: close(opened.append(self) or self))  # type: ignore[func-returns-value]
        frames = read_frames(video, wanted)
    assert [number_of(image) for image in frames.images] == [number // 25 for number in range(0, 100, 5)]
    assert len(opened) == 1 + 4


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le", "gray"])
def test_frames_that_are_not_interlaced_are_not_refused(write: Writer, pix_fmt: str):
    path = write("a.mkv", codec="ffv1" if pix_fmt == "gray" else "libx264", pix_fmt=pix_fmt, num_frames=30)
    assert [number_of(image) for image in read_frames(path, [0.0, 0.8]).images] == [0, 20]


def test_a_picture_that_has_the_color_of_what_fills_memory_is_not_refused(tmp_path: Path):
    for filling in FILLINGS:
        picture = np.full((48, 64, 3), filling, np.uint8)
        path = tmp_path / f"{filling}.mkv"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            container.mux(stream.encode())
        assert np.array_equal(read_frames(path, [0.0]).images[0], picture)
