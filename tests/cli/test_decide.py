"""`vreason-agent decide`: one answer, a probability for each option, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vreason_agent.cli import main
from vreason_agent.model.source import bundled_folder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip

OPTIONS = ("circle", "cross")


@pytest.mark.skipif(not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here")
def test_a_decision_is_printed_and_withheld_where_it_is_not_right_often_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("langchain_core.decisions", reason="decision models are new in langchain-core 1.8")
    clip, path = make_clip(seed=0), str(tmp_path / "clip.mp4")
    write_clip(Path(path), clip)
    words = ["decide", path, "Which shape does the green object have?", "--quiet", "--frames", "4"]
    words += [word for option in OPTIONS for word in ("--option", option)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith("Answer: c")
    assert "of such answers are right." in told
    assert main([*words, "--json", "--min-probability", "0.999"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["answer"] is None
    assert list(report["probabilities"]) == list(OPTIONS)
    assert sum(report["probabilities"].values()) == pytest.approx(1)
    assert report["certainty"] == pytest.approx(2 * report["probabilities"][report["best_guess"]] - 1)
    assert report["abstained_because"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "decide chooses; give at least two different options"),
        (["red"], "decide chooses; give at least two different options"),
        (["red", "Red"], "--option 'Red' is given more than once"),
    ],
)
def test_options_must_be_a_choice(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", "clip.mp4", "?", *(word for option in options for word in ("--option", option))]) == 2
    assert message in capsys.readouterr().err
