"""Cut and damaged files: what is left is read, what is missing is named, and nothing stands in for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.hazards import EVEN, number_of
from vreason_agent.errors import VideoDecodeError
from vreason_agent.video import Backend, ReadOptions, open_video, probe, read_frames

Writer = Callable[..., Path]
LONG = tuple(range(0, 8000, 40))
GOP = {"g": "20", "bf": "2", "x264-params": "log-level=none:scenecut=0"}


@pytest.fixture
def cut(write: Writer) -> Path:
    """An MP4 with its index in front, of which 60 % are left."""
    path = write("a.mp4", times_ms=LONG, options=GOP, container_options={"movflags": "faststart"})
    return shorten(path, 0.6)


def shorten(path: Path, share: float) -> Path:
    os.truncate(path, int(path.stat().st_size * share))
    return path


@pytest.mark.parametrize("backend", ["av", "opencv"])
def test_a_cut_file_says_how_much_is_left(cut: Path, backend: Backend) -> None:
    info = probe(cut, backend=backend)
    assert (info.is_complete, info.declared_frames, info.duration_seconds) == (False, 200, pytest.approx(8.0, abs=0.1))
    assert info.readable_seconds is not None
    assert 2.0 < info.readable_seconds < 5.5
    assert f"{info.num_frames} of 200 frames can be decoded" in info.note
    with pytest.raises(
        VideoDecodeError, match=r"truncated or damaged: \d+ of 200 frames.*get the whole file.*stop_sec"
    ):
        info.check_readable()
    info.check_readable(info.readable_seconds)


@pytest.mark.parametrize("backend", ["av", "opencv"])
def test_what_a_cut_file_lacks_is_an_error_or_left_out_on_request_and_named(cut: Path, backend: Backend) -> None:
    options = ReadOptions(backend=backend)
    assert [number_of(image) for image in read_frames(cut, [0.0, 1.0], options=options).images] == [0, 25]
    match = r"3 frames were asked for and 2 can be decoded, because \d+ of 200 .* ask for other times"
    with pytest.raises(VideoDecodeError, match=match):
        read_frames(cut, [0.0, 1.0, 7.9], options=options)
    frames = read_frames(cut, [0.0, 7.9, 1.0], allow_missing=True, options=options)
    assert (frames.num_requested, frames.num_decoded, frames.missing_seconds) == (3, 2, (7.9,))
    assert [number_of(image) for image in frames.images] == [0, 25]
    assert frames.requested_seconds == (0.0, 1.0)
    assert "of 200 frames can be decoded, up to " in frames.reason
    with pytest.raises(VideoDecodeError, match="get the whole file"):
        read_frames(cut, [7.9], allow_missing=True, options=options)


@pytest.mark.parametrize(
    ("name", "how", "is_told"),
    [
        ("a.mkv", {"options": GOP}, True),
        ("late.mkv", {"options": GOP, "times_ms": tuple(range(2000, 10_000, 40))}, True),
        ("a.avi", {"codec": "mpeg4"}, True),
        ("a.flv", {"codec": "flv"}, True),
        ("a.ts", {"options": GOP}, False),  # tells no length that could be missed
    ],
)
def test_other_containers_that_are_cut(write: Writer, name: str, how: dict, is_told: bool) -> None:
    path = shorten(write(name, **{"times_ms": LONG, **how}), 0.5)
    info = probe(path)
    assert info.is_complete is not is_told
    assert info.duration_seconds == pytest.approx(8.0 if is_told else info.readable_seconds, abs=0.1)
    assert number_of(read_frames(path, [1.0]).images[0]) == 25


def test_a_fragmented_file_that_is_cut_is_read_as_far_as_it_goes(write: Writer) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = shorten(write("a.mp4", times_ms=LONG, options=GOP, container_options=options), 0.7)
    assert 4.0 < (probe(path).readable_seconds or 0) < 7.0, "its fragments tell no length that could be missed"
    assert number_of(read_frames(path, [1.0]).images[0]) == 25


def test_a_gif_that_is_cut_is_an_error_or_shows_true_frames(write: Writer, tmp_path: Path) -> None:
    whole = write("a.gif", codec="gif", pix_fmt="rgb8", times_ms=tuple(range(0, 600, 100)))
    data, pictures = whole.read_bytes(), read_frames(whole, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]).images
    for length in range(20, len(data) - 1, 11):
        path = tmp_path / "cut.gif"
        path.write_bytes(data[:length])
        try:
            frames = read_frames(path, [0.0, 0.3], allow_missing=True)
        except VideoDecodeError:
            continue
        for seconds, image in zip(frames.requested_seconds, frames.images, strict=True):
            assert np.array_equal(image, pictures[round(10 * seconds)]), (length, seconds)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_damaged_last_frame_is_found_by_a_look_and_by_who_reads_it(write: Writer, name: str) -> None:
    path = write(name, times_ms=LONG, options={**GOP, "bf": "0"})
    with av.open(str(path)) as container:
        last = bytes([packet for packet in container.demux(video=0) if packet.size][-1])
    before, _, after = path.read_bytes().rpartition(last)
    path.write_bytes(before + last[:5] + b"\xff" * (len(last) - 5) + after)
    assert number_of(read_frames(path, [3.0]).images[0]) == 75
    assert probe(path).readable_seconds == pytest.approx(7.96)
    with pytest.raises(VideoDecodeError, match=r"no frame at 7\.970 s|the frame at 7\.970 s is damaged"):
        read_frames(path, [7.97])


def test_an_mp4_cut_before_its_index_says_how_to_repair_it(write: Writer) -> None:
    for backend in ("av", "opencv"):
        with pytest.raises(VideoDecodeError, match=r"can be opened.*give an mp4"):
            probe(shorten(write("a.mp4", codec="mpeg4"), 0.5), backend=backend)


def test_audio_only_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match="only audio"):
        probe(tmp_path / "a.mp4")


def test_errors_carry_no_native_text_and_stderr_stays_clean(write: Writer) -> None:
    path = shorten(write("a.mp4", codec="mpeg4"), 0.5)
    code = (
        "import sys; from vreason_agent.video import probe; from vreason_agent.errors import VideoError\n"
        "for backend in ('av', 'opencv'):\n"
        "    try: probe(sys.argv[1], backend=backend)\n    except VideoError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert "moov" not in done.stdout
    assert "Errno" not in done.stdout


def test_av1_by_opencv_names_the_way_out(write: Writer) -> None:
    path = write("a.mkv", codec="libsvtav1", times_ms=EVEN[:30], options={"preset": "12"})
    assert probe(path).codec == "av1"
    with pytest.raises(VideoDecodeError, match=r"use backend='av' \(pip install av\), or re-encode it: ffmpeg"):
        read_frames(path, [0.0], options=ReadOptions(backend="opencv"))


def test_pictures_that_grow_midway_are_not_taken_for_the_first_ones(tmp_path: Path, write: Writer) -> None:
    """A transport stream may go on with another size; `max_pixels` holds for the decoder too."""
    from vreason_agent.video import Limits

    small, large = write("s.ts", options=GOP), write("l.ts", options=GOP, size=(640, 480))
    path = tmp_path / "grow.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with open_video(path, ReadOptions(limits=Limits(max_pixels=64 * 48))) as video:
        assert number_of(read_frames(video, [1.0]).images[0]) == 25
        with pytest.raises(VideoDecodeError, match=r"ask for (other|earlier) times|re-encode it"):
            read_frames(video, [1.0, 3.99, 4.5, 6.0])
