"""`vreason-agent calibrate`: a calibrator and its report from the rows of runs, without a model."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from vreason_agent.cli import main
from vreason_agent.confidence import Calibrator
from vreason_agent.evaluation import Answer, Question, run

SETUP = {"weights": "abc", "prompt": "def", "vreason": {"schedule": "off"}}


def write_run(folder: Path, num_questions: int = 200) -> Path:
    """Answers at 4 and 8 frames that are right as often as their joint probability says."""
    draw = random.Random(0)
    questions = [Question(f"q{i}", f"v{i}.mp4", "?", "red", video_id=f"v{i}") for i in range(num_questions)]
    for count in (4, 8):

        def answer(batch: object, count: int = count) -> list[Answer]:
            rows = []
            for _ in batch:  # type: ignore[attr-defined]
                chance = 1 / (1 + math.exp(-draw.gauss(count / 4, 2)))
                text = "red" if draw.random() < chance else "blue"
                details = {"setup": {**SETUP, "num_frames": count}}
                signals = {"joint_probability": chance}
                rows.append(Answer(text, text, signals=signals, num_frames=count, details=details))
            return rows

        run(questions, answer, path=folder / "rows.jsonl", config={"frames": count})
    return folder


def test_a_calibrator_is_written_with_its_bound_and_its_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    folder, out = write_run(tmp_path / "run"), tmp_path / "mine.json"
    words = ["calibrate", str(folder), "--out", str(out), "--signal", "joint_probability", "--signal", "num_frames"]
    assert main([*words, "--max-risk", "0.3"]) == 0
    told = capsys.readouterr().out
    calibrator = Calibrator.load(out)
    assert calibrator.id in told
    assert str(calibrator.threshold(max_risk=0.3)) in told
    assert calibrator.fingerprint == {**SETUP, "num_frames": [4, 8]}
    assert {path.name for path in tmp_path.glob("*.png")} == {"mine-reliability.png", "mine-risk-coverage.png"}
    assert main([*words, "--no-plots", "--json", "--max-risk", "0.001"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bound"]["threshold"] is None
    assert "cannot support a threshold" in report["bound"]["sentence"]
    assert report["report"]["ece"]["value"] < 2 * report["report"]["ece"]["null_high"]
    assert {"auroc", "aurc", "augrc", "brier", "rejection_cost"} <= report["report"]["signals"][
        "joint_probability"
    ].keys()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none"], 1, "make them with: vreason-agent eval"),
        (["none", "--method", "platt"], 2, "maps one signal; name it, such as --signal joint_probability"),
        (["none", "--max-risk", "2"], 2, "'2' is not a share between 0 and 1; give a number"),
    ],
    ids=["no run", "method", "risk"],
)
def test_what_cannot_be_done_is_said(
    words: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", *words, "--out", str(tmp_path / "c.json")]) == code
    assert message in capsys.readouterr().err
