"""What `read_frames` and an opened video promise beside the right frame: order, size, progress, cache, ends."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.video.hazards import Oracle, number_of, numbered
from vreason_agent.errors import ConfigError, DependencyError, VideoDecodeError, VideoTooLargeError
from vreason_agent.video import (
    Limits,
    ReadOptions,
    find_scenes,
    open_video,
    plan_cost,
    probe,
    pyav_decoder,
    pyav_file,
    read_frames,
    uniform_plan,
)

Writer = Callable[..., Path]


@pytest.fixture
def clip(hazard: Callable[[str], Oracle]) -> Path:
    """100 numbered frames at 25 a second, a keyframe every 40."""
    return hazard("B-frames").path


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of all frames that are converted from now on."""
    numbers: list[int] = []
    convert = pyav_decoder.picture_of  # type: ignore[attr-defined]

    def noted(frame: Any) -> Any:
        picture = convert(frame)
        assert picture is not None
        numbers.append(number_of(picture))
        return picture

    monkeypatch.setattr(pyav_decoder, "picture_of", noted)
    return numbers


def test_order_and_repeats_are_those_asked_for(clip: Path, converted: list[int]) -> None:
    frames = read_frames(clip, [2.0, 0.0, 2.0])
    assert frames.frame_indices == (50, 0, 50)
    assert np.array_equal(frames.images[0], frames.images[2])
    assert sorted(converted) == [0, 50]


def test_resizing_on_the_fly_equals_resizing_later(clip: Path) -> None:
    small, full = read_frames(clip, [1.0], max_side_px=32), read_frames(clip, [1.0])
    expected = cv2.resize(full.images[0], (32, 24), interpolation=cv2.INTER_AREA)
    assert np.array_equal(small.images[0], expected)
    halved = read_frames(clip, [1.0], max_side_px=32, resize=lambda picture: picture[:, ::2])
    assert np.array_equal(halved.images[0], expected[:, ::2])


def test_numbers_of_other_libraries_are_read_as_pythons_own(clip: Path) -> None:
    how: Any = {"max_side_px": np.int64(32), "allow_missing": np.True_}
    times: Any = np.array([0.0, 1.0])
    assert read_frames(clip, times, **how).images.shape == (2, 24, 32, 3)


ODD_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    *(({"timestamps": times}, "a number of seconds from 0") for times in ([], [-1.0], [np.nan], [10**400], ["a"])),
    *(({"expected": times}, "expected=.*a number of seconds from 0") for times in ([-1.0], ["a"])),
    *(({"max_side_px": side}, "use a number of pixels from 1, or None") for side in (0, 32.5, "32")),
    ({"resize": lambda picture: picture[..., 0]}, r"returned uint8 \(48, 64\); return each frame as uint8 of"),
    ({"resize": lambda picture: None}, "returned NoneType; return each frame as uint8"),
]


def test_arguments_that_are_none_are_an_error(clip: Path) -> None:
    with open_video(clip) as video:
        for how, match in ODD_ARGUMENTS:
            asked: dict[str, Any] = {"timestamps": [0.0], **how}
            for read in (video.read, lambda timestamps, **how: read_frames(clip, timestamps, **how)):
                with pytest.raises(ConfigError, match=match):
                    read(**asked)


@pytest.mark.parametrize("backend", ["av", "opencv"])
def test_a_time_past_the_end_is_an_error(clip: Path, backend: Any) -> None:
    with pytest.raises(
        VideoDecodeError, match=r"no frame at 4\.100 s: its 100 frames end at 4\.000 s; ask for earlier"
    ):
        read_frames(clip, [1.0, 4.1], options=ReadOptions(backend=backend))
    assert read_frames(clip, [3.99], options=ReadOptions(backend=backend)).frame_indices == (99,)


def test_a_whole_file_lacks_nothing_and_a_time_past_its_end_stays_an_error(clip: Path) -> None:
    frames = read_frames(clip, [1.0], allow_missing=True)
    assert (frames.num_requested, frames.num_decoded, frames.missing_seconds, frames.reason) == (1, 1, (), "")
    with pytest.raises(VideoDecodeError, match="ask for earlier times"):
        read_frames(clip, [0.0, 9.0], allow_missing=True)


def test_progress_counts_frames_and_can_end_the_reading(clip: Path) -> None:
    calls: list[tuple[int, int]] = []
    read_frames(clip, [0.0, 1.0], on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2)]
    with pytest.raises(VideoDecodeError, match="stopped after 1 of 2 frames; call it again"):
        read_frames(clip, [0.0, 1.0], on_progress=lambda done, total: done == 1)


@pytest.mark.parametrize("backend", ["av", "opencv"])
def test_a_read_has_a_limit_on_its_time_between_frames(clip: Path, backend: Any) -> None:
    options = ReadOptions(limits=Limits(max_wall_seconds=0.0), backend=backend)
    with pytest.raises(VideoTooLargeError, match=r"took over max_wall_seconds=0; ask for fewer frames"):
        read_frames(clip, [3.0], options=options)
    with pytest.raises(VideoTooLargeError, match=r"took over max_wall_seconds=0; ask for fewer frames"):
        probe(clip, options)


def test_a_ladder_decodes_no_frame_twice(clip: Path, converted: list[int]) -> None:
    with open_video(clip) as video:
        for num_frames in (4, 8, 16):
            read_frames(video, uniform_plan(0.0, 4.0, num_frames=num_frames).timestamps_seconds, max_side_px=32)
    assert len(converted) == len(set(converted)) == 16


def test_frames_for_later_reads_are_held_where_they_are_passed(
    hazard: Callable[[str], Oracle], converted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    later = uniform_plan(0.0, 4.0, num_frames=16).timestamps_seconds
    with open_video(hazard("one keyframe").path) as video:
        read_frames(video, [0.0, 3.5], expected=later)
        assert len(converted) == 15, "up to 3.5 s"
        with monkeypatch.context() as patched:
            patched.setattr(pyav_file.PyAVFile, "seek", lambda *_: pytest.fail("sought"))
            assert read_frames(video, later[:15]).frame_indices == tuple(int(25 * second) for second in later[:15])
    assert len(converted) == 15
    with open_video(hazard("B-frames").path) as video:
        read_frames(video, [0.0, 3.5], expected=later)
    assert len(converted) < 15 + 2 + 8, "what a seek jumps over is not decoded"


def test_what_is_held_is_bounded_by_bytes(clip: Path, converted: list[int]) -> None:
    with open_video(clip, max_cache_bytes=3 * 64 * 48 * 3) as video:
        read_frames(video, [0.0, 0.4, 0.8, 1.2])
        read_frames(video, [0.4, 0.8, 1.2])
        assert sorted(converted) == [0, 10, 20, 30]
        read_frames(video, [0.0])
    assert sorted(converted) == [0, 0, 10, 20, 30]


def test_several_threads_share_an_open_video(clip: Path) -> None:
    found: dict[int, int] = {}
    with open_video(clip, max_cache_bytes=0) as video:

        def read(number: int) -> None:
            found[number] = number_of(read_frames(video, [number / 25 + 0.01]).images[0])

        threads = [threading.Thread(target=read, args=(number,)) for number in range(0, 100, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {number: number for number in range(0, 100, 9)}


def test_a_closed_video_says_how_to_read(clip: Path) -> None:
    with open_video(clip) as video:
        pass
    with pytest.raises(ConfigError, match=r"read inside `with open_video\(\.\.\.\)`"):
        read_frames(video, [0.0])
    video.close()


def test_no_descriptor_stays_open(clip: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), numbered(1))
    (tmp_path / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(100))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for path in (clip, tmp_path / "a.png"):
        probe(path)
        read_frames(path, [0.0])
    for _ in range(3):
        with pytest.raises(VideoDecodeError, match="can be opened"):
            open_video(tmp_path / "broken.mp4")
    assert not before or len(os.listdir("/proc/self/fd")) <= before


def test_a_file_that_changes_while_it_is_open_is_an_error_and_is_looked_at_anew(write: Writer, tmp_path: Path) -> None:
    path, other = write("a.mp4", codec="mpeg4"), write("b.mp4", codec="mpeg4", times_ms=tuple(range(0, 6000, 40)))
    with open_video(path) as video:
        assert video.info.num_frames == 100
        shutil.copy(other, path)
        with pytest.raises(VideoDecodeError, match="changed while it was open; open it again"):
            read_frames(video, [0.0])
    assert probe(path).num_frames == 150


def test_a_picture_that_changes_in_an_open_folder_is_an_error(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered(number))
    with open_video(tmp_path) as video:
        assert number_of(read_frames(video, [1.0]).images[0]) == 1
        cv2.imwrite(str(tmp_path / "1.png"), numbered(7))
        os.utime(tmp_path / "1.png", ns=(1, 1))
        with pytest.raises(VideoDecodeError, match="changed while it was open; open it again"):
            read_frames(video, [1.0])
    assert number_of(read_frames(tmp_path, [1.0]).images[0]) == 7


def test_a_folder_is_read_in_natural_order_one_a_second(tmp_path: Path) -> None:
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"frame{index}.png"), numbered(index))
    info, frames = probe(tmp_path), read_frames(tmp_path, [2.0, 10.5])
    assert (info.kind, info.num_frames, info.duration_seconds) == ("frames", 12, 12.0)
    assert ([number_of(image) for image in frames.images], frames.method) == ([2, 10], "folder")
    with pytest.raises(VideoDecodeError, match=r"no frame at 12\.000 s: its 12 frames end at 12\.000 s"):
        read_frames(tmp_path, [12.0])


def test_an_image_is_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), numbered(7))
    frames = read_frames(tmp_path / "a.png", [0.0, 5.0])
    assert (frames.method, number_of(frames.images[1]), frames.frame_indices) == ("image", 7, (0, 0))


def test_auto_takes_pyav_where_it_is_and_the_result_says_which_ran(clip: Path, monkeypatch) -> None:
    assert probe(clip).backend == probe(clip, backend="av").backend == "av"
    assert read_frames(clip, [0.0], options=ReadOptions(backend="opencv")).info.backend == "opencv"
    monkeypatch.setattr("vreason_agent.video.decoder.find_spec", lambda _: None)
    with open_video(clip, ReadOptions(limits=Limits(max_frames=7))) as video:
        assert video.info.backend == "opencv"
        assert read_frames(video, [1.0]).frame_indices == (25,)


def test_without_pyav_the_error_tells_how_to_install_it(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(DependencyError, match=r"pip install av; or use backend='opencv'"):
        read_frames(clip, [0.0], options=ReadOptions(backend="av"))


def test_what_a_plan_costs_is_told_before_it_is_read(clip: Path, tmp_path: Path) -> None:
    cost = plan_cost(probe(clip), [0.0, 1.0, 2.0])
    assert (cost.num_frames, cost.num_seeks) == (3, 1)
    assert 25 <= cost.num_skipped_frames <= 50
    assert plan_cost(probe(clip, backend="opencv"), [2.0]).num_skipped_frames == 50
    cv2.imwrite(str(tmp_path / "a.png"), numbered(7))
    assert plan_cost(probe(tmp_path), [0.0]).num_frames == 1


def test_facts_are_plain_data(clip: Path) -> None:
    info = probe(clip)
    facts = info.to_dict()
    assert facts["streams"] == [{"width_px": 64, "height_px": 48, "codec": "h264", "is_read": True}]
    assert (info.video_fps, info.num_frames, info.codec, info.num_keyframes) == (pytest.approx(25.0), 100, "h264", 3)
    assert repr(read_frames(clip, [0.0, 1.0])) == "Frames(shape=(2, 48, 64, 3), 0.00-1.00 s, method='seek')"


def test_scenes_of_an_opened_video_are_those_of_its_path(clip: Path) -> None:
    with open_video(clip) as video:
        assert find_scenes(video) == find_scenes(clip)
