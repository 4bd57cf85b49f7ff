"""The package's own calibrators hold for the bundled model as it is, and for nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vreason_agent.chat_model import ChatVReason
from vreason_agent.confidence import (
    Calibrator,
    Confidence,
    confidence_of,
    describe_confidence,
    find_calibrators,
    shipped_calibrators,
)
from vreason_agent.errors import ConfigError
from vreason_agent.messages import video_question
from vreason_agent.model import load_model
from vreason_agent.model.source import bundled_folder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip

pytestmark = pytest.mark.skipif(
    not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A clip's path, question and options."""
    path, clip = tmp_path_factory.mktemp("clip") / "clip.mp4", make_clip(seed=0)
    write_clip(path, clip)
    return {"video": str(path), "question": clip.questions[0].question, "options": ["red", "green", "blue", "yellow"]}


def ask(asked: dict[str, Any], **fields: Any) -> Confidence:
    chat_model = ChatVReason(device="cpu", **fields)
    return confidence_of(chat_model.invoke([video_question(**asked)]))


def test_every_shipped_calibrator_was_fitted_on_the_bundled_weights() -> None:
    digest = load_model("tiny").weights_digest
    assert shipped_calibrators()
    assert {one.fingerprint["weights"] for one in shipped_calibrators()} == {digest}
    assert find_calibrators("shipped", digest) == shipped_calibrators()
    assert find_calibrators("shipped", "0" * 12) == ()
    assert find_calibrators(None, digest) == ()


@pytest.mark.parametrize("schedule", [str(one.fingerprint["vreason"]["schedule"]) for one in shipped_calibrators()])
def test_a_percentage_is_there_out_of_the_box(asked: dict[str, Any], schedule: str) -> None:
    confidence = ask(asked, vreason=schedule)
    assert confidence.probability is not None
    assert 0 < confidence.probability < 1
    assert describe_confidence(confidence)[0].endswith("of such answers are right.")
    assert confidence.calibration is not None
    assert {bound["max_risk"] for bound in confidence.calibration["thresholds"]} >= {0.1, 0.2}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"temperature": 0.7, "seed": 1}, "decoding: fitted with"),
        ({"num_frames": 2}, "num_frames: fitted with [4, 8, 16, 32], now 2"),
        ({"num_frames": 8, "max_frames": 8}, "frames: fitted with ['pairs of 32'], now ['pairs of 8']"),
        ({"vreason": {"schedule": "switching", "learning_rate": 0.5}}, "vreason: fitted with {'learning_rate': 0.05}"),
    ],
    ids=["decoding", "num_frames", "layout", "vreason"],
)
def test_another_setup_gives_none_and_its_difference(asked: dict[str, Any], fields: dict[str, Any], named: str) -> None:
    confidence = ask(asked, **fields)
    assert (confidence.probability, confidence.calibrated) == (None, False)
    assert any(named in sentence for sentence in describe_confidence(confidence))
    assert not any("%" in sentence for sentence in describe_confidence(confidence))


def test_frames_of_another_kind_are_warned_of_and_no_share_is_stated(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    path, draw = tmp_path / "noise.mp4", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 96))
    for _ in range(64):
        writer.write(draw.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    writer.release()
    confidence = ask({"video": str(path), "question": "Which shape does the red object have?"})
    assert "unusual_frames" in confidence.warnings
    assert not any("%" in sentence for sentence in describe_confidence(confidence))


def test_a_file_may_be_named_and_none_is_an_option(asked: dict[str, Any], tmp_path: Path) -> None:
    calibrator = shipped_calibrators()[0]
    path = tmp_path / "mine.json"
    Calibrator(calibrator.method, calibrator.maps, calibrator.fingerprint).save(path)
    schedule = str(calibrator.fingerprint["vreason"]["schedule"])
    confidence = ask(asked, calibrator=str(path), vreason=schedule)
    assert confidence.calibration is not None
    assert confidence.calibration["thresholds"] == []
    assert confidence.probability is not None
    assert ask(asked, calibrator=None).calibration is None
    with pytest.raises(ConfigError, match="is no calibrator that can be read"):
        ask(asked, calibrator=str(tmp_path / "none.json"))
