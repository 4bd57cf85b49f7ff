"""Many questions into one run folder, and going on after a stop."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel

from tests.cli.conftest import Command, clip, command
from vreason_agent.batch_run import answer_all, flat_row, read_questions, write_table
from vreason_agent.errors import ConfigError
from vreason_agent.graphs import ScriptedChatModel, ScriptedReply

__all__ = ["clip", "command"]
FRAMES = {"num_frames": 4, "max_frames": 4}


def always(answer: str = "red") -> BaseChatModel:
    reply = ScriptedReply(answer, {"entropy_drop": 0.9, "peak_entropy": 1.0, "final_entropy": 0.1})
    return ScriptedChatModel(replies=[reply] * 100)


@pytest.fixture
def source(tmp_path: Path, clip: str) -> Path:
    rows: list[dict[str, Any]] = [{"id": f"q{i}", "video": clip, "question": f"What {i}?"} for i in range(5)]
    rows[1]["video"] = "missing.mp4"
    rows[2] |= {"start_seconds": 0.5, "options": ["red", "blue"]}
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    return path


def test_rows_are_answered_and_failures_stand_beside_them(source: Path, tmp_path: Path) -> None:
    questions = read_questions(source, FRAMES)
    told: list[tuple[int, int]] = []
    run = tmp_path / "run"
    results = answer_all(
        questions, always(), folder=run, config={}, batch_size=2, on_progress=lambda *at: told.append(at)
    )
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]
    rows = {row["id"]: row for row in map(flat_row, results)}
    assert rows["q0"]["best_guess"] == "red"
    assert rows["q0"]["num_attempts"] == 2
    assert rows["q2"]["options"] == ["red", "blue"]
    assert min(rows["q2"]["frames_seconds"]) >= 0.5
    assert (rows["q1"]["best_guess"], "missing.mp4" in rows["q1"]["error"]) == (None, True)
    kept = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()[1:]]
    assert len({row["digest"] for row in kept}) == 5
    assert not any("is_correct" in row for row in kept)


def test_a_run_that_stopped_goes_on_and_asks_again_only_what_failed(source: Path, tmp_path: Path) -> None:
    questions = read_questions(source, FRAMES)
    answer_all(questions[:3], always("early"), folder=tmp_path / "run", config={"a": 1}, batch_size=1)
    results = answer_all(questions, always("late"), folder=tmp_path / "run", config={"a": 1}, batch_size=1)
    said = {result.question.id: result.answer.answer for result in results}
    early = {question.id for question in questions[:3]} - {"q1"}
    assert said == {name: "early" if name in early else None if name == "q1" else "late" for name in said}
    other = answer_all(questions[:1], always("other"), folder=tmp_path / "run", config={"a": 2}, batch_size=1)
    assert other[0].answer.answer in ("other", None)


@pytest.mark.parametrize("table_format", ["jsonl", "csv", "parquet"])
def test_tables_hold_answers_and_errors_apart(source: Path, tmp_path: Path, table_format: Any) -> None:
    results = answer_all(read_questions(source, FRAMES), always(), folder=tmp_path, config={})
    if table_format == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `batch` is not installed")
    answers, errors = write_table(results, tmp_path, table_format)
    assert (answers.name, errors.name) == (f"answers.{table_format}", f"errors.{table_format}")
    if table_format == "parquet":
        rows = parquet.read_table(answers).to_pylist()
    elif table_format == "csv":
        rows = list(csv.DictReader(answers.read_text().splitlines()))
    else:
        rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert {row["best_guess"] for row in rows} == {"red"}
    assert sorted(row["id"] for row in rows) == ["q0", "q2", "q3", "q4"]


def test_a_folder_is_asked_one_question_a_video(tmp_path: Path, clip: str) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.avi", "deep/a.AVI"):
        (tmp_path / name).write_bytes(Path(clip).read_bytes())
    (tmp_path / "notes.txt").write_text("no video")
    questions = read_questions(tmp_path, {**FRAMES, "question": "What?"})
    assert [question.id for question in questions] == ["b.avi", "deep/a.AVI"]
    with pytest.raises(ConfigError, match="add --question"):
        read_questions(tmp_path, FRAMES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no question"),
        ("[1]", "no JSON object"),
        ('{"video": "a.mp4"}', "question: Field required"),
        ('{"video": "a.mp4", "question": "x", "fps": 2}', "fps: Extra inputs are not permitted"),
    ],
)
def test_lines_that_are_no_questions_are_refused_before_anything_is_loaded(
    command: Command, tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(text)
    assert command("batch", str(path), "--out", str(tmp_path / "run")) == 1
    assert told in command.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_batch_loses_nothing_and_repeats_nothing(tmp_path: Path, clip: str) -> None:
    path, run = tmp_path / "questions.jsonl", tmp_path / "run"
    rows = [{"id": str(i), "video": clip, "question": f"What color is object {i}?"} for i in range(24)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [sys.executable, "-m", "vreason_agent", "batch", str(path), "--out", str(run), "--max-frames", "4"]
    with subprocess.Popen([*asked, "--batch-size", "3"], stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and _num_rows(run) < 6:
            time.sleep(0.02)
        assert process.poll() is None, "it ended by itself"
        os.killpg(process.pid, signal.SIGKILL)
    before = _num_rows(run)
    assert 6 <= before < 24
    done = subprocess.run([*asked, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["questions"] == 24
    kept = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()[1:]]
    assert sorted(int(row["id"]) for row in kept) == list(range(24))
    assert len((run / "answers.jsonl").read_text().splitlines()) == 24


def _num_rows(run: Path) -> int:
    file = run / "rows.jsonl"
    return max(0, file.read_bytes().count(b"\n") - 1) if file.exists() else 0
