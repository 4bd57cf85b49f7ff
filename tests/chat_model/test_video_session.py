"""A session of questions about one video, on the bundled model: what was read once is not read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vreason_agent.chat_model import ChatVReason
from vreason_agent.errors import ConfigError
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip
from vreason_agent.video_session import VideoSession


@pytest.fixture
def video(tmp_path: Path) -> VideoSession:
    write_clip(tmp_path / "clip.mp4", make_clip(3, "dev"))
    chat_model = ChatVReason(model="tiny", device="cpu", max_tokens=40)
    chat_model.engine.reuse.clear()
    return chat_model.open_video(tmp_path / "clip.mp4", num_frames=8)


def test_a_second_question_reads_its_own_words_only(video: VideoSession) -> None:
    first, second = video.ask("What color is the circle?"), video.ask("How many squares are shown?")
    details: list[Any] = [message.usage_metadata["input_token_details"] for message in (first, second)]  # type: ignore[index]
    assert details[0]["cache_read"] == 0
    assert details[1]["cache_read"] > details[1]["video"]
    assert second.response_metadata["reuse"]["encoded_patches"] == 0


def test_more_frames_are_encoded_beside_the_old_ones(video: VideoSession) -> None:
    before = video.ask("What color is the circle?").response_metadata
    video.add_frames()
    after = video.ask("What color is the circle?").response_metadata
    assert (before["frames"][0]["num_frames"], after["frames"][0]["num_frames"]) == (8, 16)
    assert set(before["frames"][0]["timestamps_seconds"]) < set(after["frames"][0]["timestamps_seconds"])
    assert after["reuse"]["encoded_patches"] <= 4


async def test_streams_and_awaited_answers_are_the_same(video: VideoSession) -> None:
    options = ["red", "blue", "green"]
    asked = video.ask("What color is the circle?", options=options).text
    assert (await video.aask("What color is the circle?", options=options)).text == asked
    assert "".join(chunk.text for chunk in video.stream("What color is the circle?", options=options)) == asked


def test_an_odd_number_of_frames_is_refused(video: VideoSession) -> None:
    with pytest.raises(ConfigError, match="frames are read in pairs; add an even number of at least 2"):
        video.add_frames(3)
    video.add_frames(4)
    assert (video.num_frames, video.max_frames) == (12, 32)
