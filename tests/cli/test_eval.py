"""`vreason-agent eval` with a scripted model; the bundled one among the slow tests."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.model.published import write_folder
from vreason_agent.cli import eval as eval_command
from vreason_agent.evaluation import Answer, Question, write_questions


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Write four questions about two videos, one of which is missing."""
    (tmp_path / "there.mp4").touch()
    questions = [
        Question(
            id=str(number),
            video=str(tmp_path / ("there.mp4" if number < 3 else "gone.mp4")),
            question="?",
            answer="red",
            options=("red", "blue"),
        )
        for number in range(4)
    ]
    write_questions(tmp_path / "set.jsonl", questions)
    return tmp_path / "set.jsonl"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every model say red, and keep the settings that it was asked with."""
    import vreason_agent.model
    from vreason_agent.evaluation import adapter

    settings: list[Any] = []

    def answering(setting: Any) -> Any:
        def answer(batch: list[Question]) -> list[Answer]:
            settings.append(setting)
            return [Answer(text="red", answer="red", num_frames=setting.num_frames) for _ in batch]

        return answer

    engine = SimpleNamespace(model=None, identity={"weights": "w"}, answering=answering)
    monkeypatch.setattr(adapter.Engine, "load", classmethod(lambda cls, name, **options: engine))
    monkeypatch.setattr(vreason_agent.model, "describe_model", lambda model: {"name": "scripted"})
    return settings


def test_a_run_leaves_rows_manifest_and_reports_and_is_not_asked_again(
    command: Command, dataset: Path, asked: list[Any], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` draws report.html")
    out = tmp_path / "run"
    assert command("eval", dataset, "--out", out, "--frames", "4", "8") == 0
    assert "off, 4 frames | 4 | 100.0 [" in command.out
    assert "1 of 2 videos are missing" in command.out
    assert "off, 8 frames: 4/4" in command.err
    assert {path.name for path in out.iterdir()} == {
        "rows.jsonl",
        "manifest.json",
        "report.json",
        "report.md",
        "report.html",
    }
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["model"] == {"name": "scripted", "weights": "w"}
    assert {"dataset_digest", "versions", "began", "finished"} <= manifest.keys()
    assert command("eval", dataset, "--out", out, "--frames", "4", "8", "--json") == 0
    assert json.loads(command.out)["settings"][0]["num_rows"] == 4
    assert len(asked) == 2
    assert command("eval", "report", out) == 0
    assert command("eval", "compare", out, out) == 0
    assert "| run: off, 4 frames minus run: off, 4 frames | 4 |" in command.out


def test_schedules_and_seeds_make_settings(command: Command, dataset: Path, asked: list[Any], tmp_path: Path) -> None:
    words = ["--compare-schedules", "switching,random,lite", "--seeds", "2", "--temperature", "0", "1"]
    steps = ["--learning-rate", "2", "--optim-steps", "4", "--update-interval", "1", "--eps", "0.1"]
    assert command("eval", dataset, "--out", tmp_path / "run", *words, *steps, "--json") == 0
    told = [(one.name, one.seed) for one in asked]
    greedy = [("off, 8 frames", None), ("switching, 8 frames", None), ("random, 8 frames", 0), ("random, 8 frames", 1)]
    assert told[:5] == [*greedy, ("switching lite, 8 frames", None)]
    assert told[5:7] == [("off, 8 frames, T 1", 0), ("off, 8 frames, T 1", 1)]
    assert len(told) == 5 + 8
    assert (asked[1].vreason.learning_rate, asked[1].vreason.num_optim_steps, asked[1].vreason.eps) == (2.0, 4, 0.1)
    compared = json.loads(command.out)["comparisons"]
    assert [one["first"] for one in compared] == ["off, 8 frames"] * 3 + ["off, 8 frames, T 1"] * 3


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["set.jsonl"], "add --out RUN"),
        (["compare", "one"], "compare takes 2 more names, found 1"),
        (["world:sparse", "--out", "x"], "use one of world:standard, world:mixed, world:dense"),
        (["set.jsonl", "--out", "x", "--oracle"], "--oracle needs generated clips"),
        (["set.jsonl", "--out", "x", "--frames", "3"], "must be even"),
        (["set.jsonl", "--out", "x", "--compare-schedules", "up"], "'up' is none of direct, off"),
        (["set.jsonl", "--out", "x", "--seeds", "0"], "'0' is not a whole number from 1"),
    ],
)
def test_wrong_arguments_are_refused_before_a_file_is_opened(command: Command, words: list[str], remedy: str) -> None:
    assert command("eval", *words) == 2
    assert remedy in command.err


def test_another_dataset_or_no_video_at_all_is_refused(
    command: Command, dataset: Path, asked: list[Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert command("eval", dataset, "--out", out) == 0
    assert command("eval", dataset, "--out", out, "--questions", "2") == 1
    assert "holds answers to" in command.err
    assert "choose another --out" in command.err
    (tmp_path / "there.mp4").unlink()
    assert command("eval", dataset, "--out", tmp_path / "other") == 1
    assert "name their folder: --videos DIR" in command.err


def test_progress_on_a_terminal_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    clock = iter([0.0, 1.0, 11.0, 21.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    show = eval_command.progress_line("off")
    for done in (0, 5, 10):
        show(done, 10)
    assert capsys.readouterr().err == (
        "\roff: 0/10   \roff: 5/10, 2.20 s each, 0:00:11 left   \roff: 10/10, 2.10 s each, 0:00:00 left\n"
    )


@pytest.mark.slow
def test_the_bundled_model_and_an_oracle_on_a_world(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command("eval", "world:mixed", "--questions", "9", "--frames", "4", "--oracle", "--out", out) == 0
    assert "| off, 4 frames | 9 |" in command.out
    assert "| oracle, 4 frames | 9 |" in command.out
    assert len(list((out / "clips" / "dev-mixed").iterdir())) == 9


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("family", ["qwen2_5_vl", pytest.param("qwen3_vl", marks=pytest.mark.slow)])
def test_a_published_model_runs_the_same_command(family: str, command: Command, clip: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / family, family)
    questions = [
        Question(id="choice", video=clip, question="Which?", answer="dark", options=("dark", "light")),
        Question(id="number", video=clip, question="How many?", answer="4", scoring="mra"),
    ]
    write_questions(tmp_path / "set.jsonl", questions)
    words: list[str | Path] = [
        "--model",
        folder,
        "--frames",
        "4",
        "--max-tokens",
        "12",
        "--compare-schedules",
        "direct,switching",
    ]
    assert command("eval", tmp_path / "set.jsonl", *words, "--out", tmp_path / "run", "--json") == 0
    plain, direct, steered = json.loads(command.out)["settings"]
    assert [one["num_rows"] for one in (plain, direct, steered)] == [2, 1, 2]
    assert [one["num_failed"] for one in (plain, direct, steered)] == [0, 0, 0]
    assert plain["frames"]["value"] == 4
    assert steered["updates"]["value"] > 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["model"]["family"] == family
