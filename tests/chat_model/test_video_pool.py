"""A video stays open from one look to the next: one capture, no frame decoded twice, and nothing stale."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from langchain_core.messages import HumanMessage

from tests.chat_model.fakes import FakeEngine
from tests.frame_numbers import needs_frame_numbers
from vreason_agent.chat import video_pool
from vreason_agent.chat.video_pool import VideoPool
from vreason_agent.chat_model import ChatVReason
from vreason_agent.errors import ConfigError, VideoError
from vreason_agent.graphs import AcceptPolicy, Ladder, build_video_qa_graph
from vreason_agent.messages import video_question
from vreason_agent.model import VideoPart
from vreason_agent.video import DEFAULT_OPTIONS, ReadOptions, VideoReader, probe, pyav_decoder, pyav_file


@pytest.fixture(autouse=True)
def own_pool() -> Iterator[VideoPool]:
    video_pool.VIDEO_POOL.clear()
    yield video_pool.VIDEO_POOL
    video_pool.VIDEO_POOL.clear()


@pytest.fixture
def numbers_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The gray levels of all frames that are decoded from now on."""
    levels: list[int] = []
    convert = pyav_decoder.picture_of  # type: ignore[attr-defined]

    def noted(frame: Any) -> np.ndarray | None:
        picture = convert(frame)
        levels.append(-1 if picture is None else round(float(picture.mean()) / 3))
        return picture

    monkeypatch.setattr(pyav_decoder, "picture_of", noted)
    return levels


def test_a_ladder_decodes_no_frame_twice(clip: Path, engine: FakeEngine, numbers_decoded: list[int]) -> None:
    never = AcceptPolicy(check=lambda attempts: "look again", max_retries=0)
    graph = build_video_qa_graph(ChatVReason(), policy=never)
    result = graph.invoke({"video": str(clip), "question": "What?"})
    frames = [part for request in engine.requests for part in request.turns[0].parts if isinstance(part, VideoPart)]
    assert [len(part.images) for part in frames] == [4, 8, 16, 32]
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [4, 8, 16, 32]
    assert len(numbers_decoded) == len(set(numbers_decoded)) == 32


@needs_frame_numbers
def test_a_ladder_decodes_a_video_of_one_keyframe_and_variable_rate_once(
    tmp_path: Path, engine: FakeEngine, numbers_decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rng, steps, packets = tmp_path / "variable.mp4", random.Random(3), [], pyav_file.PyAVFile.packets
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25, options={"g": "999", "sc_threshold": "1000000000"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(itertools.accumulate(rng.choices([20, 40, 120, 400], k=80))):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * number % 251, np.uint8), format="bgr24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    def counted(self: Any) -> Iterator[Any]:
        for packet in packets(self):
            steps.append(packet)
            yield packet

    assert probe(path).num_keyframes == 1
    monkeypatch.setattr(pyav_file.PyAVFile, "packets", counted)
    never = AcceptPolicy(check=lambda attempts: "look again", max_retries=0)
    result = build_video_qa_graph(ChatVReason(), policy=never).invoke({"video": str(path), "question": "What?"})
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [4, 8, 16, 32]
    assert len(steps) <= 90, "the file once, and its first frame when it is opened"
    assert len(numbers_decoded) == len({second for at in result["attempts"] for second in at["timestamps_seconds"]})


def test_a_graphs_ladder_raises_the_ceiling_of_its_chat_model_and_a_runs_does_not(
    clip: Path, engine: FakeEngine
) -> None:
    engine.context_length = 10_000
    never, model = AcceptPolicy(check=lambda attempts: "look again", max_retries=0), ChatVReason(max_frames=4)
    asked: Any = {"video": str(clip), "question": "What?"}
    result = build_video_qa_graph(model, ladder=Ladder(4, 8), policy=never).invoke(asked)
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [4, 8]
    assert model.max_frames == 4
    with pytest.raises(ConfigError, match=r"asks for 8 frames, .* max_frames=4 .*ask for fewer"):
        build_video_qa_graph(model, ladder=Ladder(4, 4), policy=never).invoke(asked, context={"ladder": Ladder(4, 8)})


def test_every_rung_shares_one_decoder(clip: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_model, opened = ChatVReason(), []
    chat_model.invoke([video_question(clip, "What?", num_frames=4)])
    monkeypatch.setattr(pyav_decoder.PyAVDecoder, "__init__", lambda self, path, **options: opened.append(path))
    chat_model.invoke([video_question(clip, "What?", num_frames=4, max_frames=4)])
    assert opened == []


def test_an_overwritten_file_is_opened_anew(clip: Path, tmp_path: Path, engine: FakeEngine) -> None:
    path = tmp_path / "clip.avi"
    shutil.copy(clip, path)
    seen = []
    for level in (None, 200):
        if level is not None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (32, 32))
            for _ in range(64):
                writer.write(np.full((32, 32, 3), level, dtype=np.uint8))
            writer.release()
            os.utime(path, ns=(1, 1))
        ChatVReason().invoke([video_question(path, "What?", timestamps_seconds=[0.0, 1.0])])
        video = engine.requests[-1].turns[0].parts[0]
        assert isinstance(video, VideoPart)
        seen.append(video.images[0].mean() > 100)
    assert seen == [False, True]


def test_the_oldest_is_closed_and_one_that_failed_is_not_kept(clip: Path, tmp_path: Path) -> None:
    pool, kept = VideoPool(max_videos=1), []
    for name in ("a.avi", "b.avi"):
        shutil.copy(clip, tmp_path / name)
        with pool.opened(str(tmp_path / name), DEFAULT_OPTIONS) as video:
            kept.append(video)
    assert [is_closed(video) for video in kept] == [True, False]
    with pytest.raises(ConfigError), pool.opened(str(tmp_path / "b.avi"), DEFAULT_OPTIONS) as video:
        video.read([-1.0])
    assert is_closed(kept[1])


def test_two_readers_at_once_have_a_video_each_and_one_is_kept(clip: Path) -> None:
    pool = VideoPool()
    with pool.opened(str(clip), DEFAULT_OPTIONS) as one, pool.opened(str(clip), DEFAULT_OPTIONS) as other:
        assert one is not other
    with pool.opened(str(clip), DEFAULT_OPTIONS) as kept:
        assert kept is one
    assert is_closed(other)
    pool.clear()
    assert is_closed(one)


def test_a_video_that_is_open_is_no_way_around_the_allowed_folders(clip: Path, tmp_path: Path) -> None:
    with video_pool.VIDEO_POOL.opened(str(clip), DEFAULT_OPTIONS):
        pass
    question = HumanMessage([{"type": "video", "url": str(clip)}])
    with pytest.raises(VideoError, match=r"outside the allowed folders"):
        ChatVReason(read_options=ReadOptions([tmp_path])).invoke([question])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_starts_with_an_empty_pool(clip: Path) -> None:
    with video_pool.VIDEO_POOL.opened(str(clip), DEFAULT_OPTIONS) as parents:
        pass
    pid = os.fork()
    if pid == 0:  # decode nothing here: native thread pools do not survive a fork
        os._exit(len(video_pool.VIDEO_POOL._videos) + is_closed(parents))
    assert os.waitpid(pid, 0)[1] == 0
    with video_pool.VIDEO_POOL.opened(str(clip), DEFAULT_OPTIONS) as still:
        assert still is parents


def is_closed(video: object) -> bool:
    assert isinstance(video, VideoReader)
    return video._is_closed
