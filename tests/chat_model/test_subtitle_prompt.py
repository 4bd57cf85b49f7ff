"""What is said while the frames are shown stands beside them in the prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chat_model.fakes import FakeEngine
from tests.video.test_subtitles import SRT, write_video
from vreason_agent.chat_model import ChatVReason
from vreason_agent.question import video_question


@pytest.mark.parametrize("subtitles", ["auto", "clip.srt"])
def test_the_model_reads_the_subtitles_of_its_frames(engine: FakeEngine, tmp_path: Path, subtitles: str) -> None:
    video = write_video(tmp_path / "clip.mp4")
    (tmp_path / "clip.srt").write_text(SRT)
    asked = [video_question(video, "?", timestamps_seconds=[0.5, 1.0, 1.5, 1.75])]
    ChatVReason().invoke(asked)
    ChatVReason(subtitles=subtitles if subtitles == "auto" else str(tmp_path / subtitles)).invoke(asked)
    without, beside = ([getattr(part, "text", "") for part in one.turns[0].parts] for one in engine.requests[:2])
    assert len(without) == 2
    ChatVReason(subtitles="auto").invoke([video_question(video, "?", timestamps_seconds=[3.0, 3.5])])
    assert getattr(engine.requests[-1].turns[0].parts[1], "text", "") == without[1], "nothing is said there"
    assert beside == ["", "Subtitles at these frames:\n0.5 s: Hello there friend\n" + without[1]]
