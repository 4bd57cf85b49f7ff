"""`report`: one page of a batch, of an eval run, of a receipt, and one error for everything else."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command
from vreason_agent.evaluation import Answer, Question, run


def a_run(folder: Path, *, kind: str) -> Path:
    questions = [
        Question(id=str(index), video=f"{index}.mp4", question=f"<b>{index}</b>?", answer="red") for index in (1, 2)
    ]
    answers = {
        "1": Answer(text="red", answer="red", decision="accept", num_frames=8, details={"probability": 0.93}),
        "2": Answer(text="", answer="blue", decision="abstain", num_frames=32),
    }
    run(questions, lambda batch: [answers[one.id] for one in batch], path=folder / "rows.jsonl", config={"label": kind})
    return folder


def test_a_batch_has_a_row_per_question_and_says_what_was_decided(tmp_path: Path, command: Command) -> None:
    folder = a_run(tmp_path / "run", kind="batch")
    assert command("report", str(folder)) == 0
    assert command.out.splitlines()[-1] == str(folder / "report.html")
    page = (folder / "report.html").read_text()
    assert "2 questions about 2 videos: 1 answered, 1 abstained, 0 failed." in page
    assert "93 %" in page
    assert "best guess: blue" in page
    assert "&lt;b&gt;1&lt;/b&gt;?" in page
    assert "http" not in page


def test_an_eval_run_has_its_own_report(tmp_path: Path, command: Command) -> None:
    folder = a_run(tmp_path / "run", kind="off, 8 frames")
    (folder / "manifest.json").write_text(
        json.dumps({"dataset": "mine", "num_questions": 2, "num_videos": 2, "notes": [], "model": {"name": "tiny"}})
    )
    assert command("report", str(folder), "--out", str(tmp_path / "page.html")) == 0
    assert "off, 8 frames" in (tmp_path / "page.html").read_text()


def test_what_is_neither_is_one_error_with_the_remedy(tmp_path: Path, command: Command) -> None:
    (tmp_path / "empty").mkdir()
    for given in (tmp_path / "empty", tmp_path / "gone.json"):
        assert command("report", str(given)) == 1
        assert command.err.startswith("vreason-agent: error: ")
        assert len(command.err.splitlines()) == 1
    folder = a_run(tmp_path / "run", kind="batch")
    assert command("report", str(folder), "--out", str(tmp_path / "no" / "page.html")) == 1
    assert "cannot be written: No such file or directory; choose another --out FILE" in command.err
