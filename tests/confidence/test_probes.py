from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vreason_agent.chat_model import ChatVReason
from vreason_agent.confidence import Confidence
from vreason_agent.confidence.probes import probe_gain, vote_share
from vreason_agent.evidence_probes import PROBE_SIGNALS, pixelate, probe_evidence
from vreason_agent.messages import video_question
from vreason_agent.model.source import bundled_folder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip


def record(answer: str | None, after: dict[str, float] | None) -> Confidence:
    options: Any = None if after is None else {"before": after, "after": after, "mass": 1.0}
    return Confidence(answer={"text": answer, "choice": None, "kind": "choice"}, options=options)


def test_vote_share_counts_what_could_not_be_read() -> None:
    answers = [{"text": text, "choice": None} for text in ("red", "Red", None, "blue")]
    assert vote_share(answers) == 0.5
    assert vote_share([{"text": None, "choice": None}]) is None


def test_the_gain_is_of_the_answer_and_none_where_it_was_not_measured() -> None:
    answered = record("red", {"red": 0.8, "blue": 0.2})
    assert probe_gain(answered, record("blue", {"red": 0.2, "blue": 0.8})) == pytest.approx(log(4))
    assert probe_gain(answered, record("red", {"red": 0.8, "blue": 0.2})) == 0.0
    assert probe_gain(answered, record("red", None)) is None
    assert probe_gain(record(None, {"red": 0.8, "blue": 0.2}), answered) is None


def test_pixelated_frames_keep_their_size_and_lose_their_detail() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 24, 3), dtype=np.uint8)
    coarse = pixelate(images)
    assert coarse.shape == images.shape
    assert (coarse[:, :16, :16] == images[:, :1, :1]).all()


@pytest.mark.skipif(not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here")
def test_an_answer_that_rests_on_the_video_loses_without_it(tmp_path: Path) -> None:
    clips = [clip for clip in map(make_clip, range(40)) if len(clip.questions[0].options) > 2][:2]
    asked = []
    for index, clip in enumerate(clips):
        write_clip(tmp_path / f"{index}.mp4", clip)
        question = clip.questions[0]
        asked.append([video_question(tmp_path / f"{index}.mp4", question.question, options=question.options)])
    found = probe_evidence(ChatVReason(device="cpu", num_frames=32), asked[0], other=asked[1])
    assert tuple(found) == PROBE_SIGNALS
    assert found["no_video_gain"] is not None
    assert found["no_video_gain"] > 0.1
    assert found["other_video_gain"] is not None
    assert probe_evidence(ChatVReason(device="cpu", num_frames=4), asked[0])["other_video_gain"] is None
