from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from vreason_agent.errors import EvaluationError
from vreason_agent.evaluation import Answer, bootstrap_difference, read_runs, run
from vreason_agent.evaluation.run_report import compare_folders, comparison_text, make_report, report_html, report_text

MANIFEST = {"dataset": "d.jsonl", "num_questions": 12, "model": {"name": "fake"}, "notes": ["a note"]}


def config(schedule: str, seed: int | None = None, **more: object) -> dict[str, object]:
    label = f"{schedule}, 8 frames"
    return {
        "label": label,
        "seed": seed,
        "num_frames": 8,
        "temperature": 0.0,
        "vreason": {"schedule": schedule},
        **more,
    }


def saying(text: str):
    def answer(batch):
        signals = {"answer_probability": 0.5, "mean_entropy": 0.1, "peak_entropy": 0.4, "final_entropy": 0.2}
        details = {"entropy": [0.1, 0.4, 0.2], "peak_position": 0.5, "num_updates": 3}
        return [
            Answer(text=text, answer=text, signals=signals, num_tokens=9, num_frames=8, details=details) for _ in batch
        ]

    return answer


@pytest.fixture
def folder(tmp_path, questions):
    """Plain decoding says red to every question, steered decoding green with one seed and red with the other."""
    for settings, text in ((config("off"), "red"), (config("switching", 0), "green"), (config("switching", 1), "red")):
        run(questions, saying(text), path=tmp_path / "rows.jsonl", config=settings)
    return tmp_path


def test_runs_are_read_back_without_their_dataset(folder, questions):
    runs = read_runs(folder)
    assert [one.config["seed"] for one in runs] == [None, 0, 1]
    assert [[row.question for row in one.results] for one in runs] == [questions] * 3
    assert sum(row.score.is_correct for row in runs[0].results) == 3
    row = json.loads((folder / "rows.jsonl").read_text().splitlines()[1])
    assert {"group", "truth", "kind", "points", "question", "answer"} <= row.keys()
    assert row["group"] == "clip0"


def test_seeds_are_pooled_and_compared_with_plain_decoding(folder):
    report = make_report(MANIFEST, read_runs(folder))
    plain, steered = report["settings"]
    assert (plain["num_rows"], steered["num_rows"], steered["seeds"]) == (12, 24, [0, 1])
    assert steered["spread_over_seeds"] == 0.0
    (compared,) = report["comparisons"]
    assert (compared["first"], compared["second"]) == ("off, 8 frames", "switching, 8 frames")
    assert compared["points"]["value"] == 0.0
    assert compared["num_seeds"] == [1, 2]
    assert json.loads(json.dumps(report)) == report


def test_the_text_and_the_page_hold_every_table_and_plot(folder):
    runs = read_runs(folder)
    report = make_report(MANIFEST, runs)
    text, page = report_text(report), report_html(report, runs)
    assert text.startswith("d.jsonl: 12 questions; fake\nnote: a note\n")
    assert "| off, 8 frames | 12 | 25.0 [" in text
    assert "switching, 8 frames minus off, 8 frames" in text
    assert page.count('<img src="data:image/svg+xml;base64,') == 3
    assert 'src="http' not in page
    assert "<td>switching, 8 frames minus off, 8 frames</td>" in page


def test_two_folders_are_compared_on_what_both_answered(tmp_path, questions):
    for name, text, count in (("a", "red", 12), ("b", "green", 8)):
        run(questions[:count], saying(text), path=tmp_path / name / "rows.jsonl", config=config("off"))
    (compared,) = compare_folders(read_runs(tmp_path / "a"), read_runs(tmp_path / "b"), names=("a", "b"))
    assert (compared["num_questions"], compared["num_only_in_one"]) == (8, 4)
    assert (compared["num_gained"], compared["num_lost"]) == (2, 2)
    assert compared["share_answers_changed"] == 1.0
    assert comparison_text([compared]).splitlines()[2].startswith("| b: off, 8 frames minus a: off, 8 frames | 8 (4 in")
    other = [replace(one, question="another?") for one in questions]
    run(other, saying("red"), path=tmp_path / "c" / "rows.jsonl", config=config("off"))
    with pytest.raises(EvaluationError, match="have no question in common; run both on one dataset"):
        compare_folders(read_runs(tmp_path / "a"), read_runs(tmp_path / "c"), names=("a", "c"))
    with pytest.raises(EvaluationError, match=r"make them with: vreason-agent eval DATASET --out"):
        read_runs(tmp_path / "nowhere")


def test_the_bootstrap_draws_videos_not_questions():
    first, second = [0.0] * 40, [1.0, 1.0, 1.0, 1.0, *[0.0] * 36]
    alone = bootstrap_difference(first, second)
    together = bootstrap_difference(first, second, clusters=[index // 4 for index in range(40)])
    assert alone.value == together.value == 0.1
    widths = [one.high - one.low for one in (together, alone) if one.high is not None and one.low is not None]
    assert widths[0] > 1.5 * widths[1]
    assert bootstrap_difference(first, second) == alone
    assert bootstrap_difference(first, first).low is None


ENDLESS = """
import sys, time
from vreason_agent.evaluation import Answer, Question, run
questions = [Question(id=str(n), video="v.mp4", question="?", answer=str(n)) for n in range(40)]
def answer(batch):
    time.sleep(0.02)
    return [Answer(text="x" * 2000, answer=one.answer) for one in batch]
run(questions, answer, path=sys.argv[1], config={"label": "killed"}, batch_size=2)
"""


def test_a_killed_run_goes_on_with_nothing_lost_or_repeated(tmp_path):
    path = tmp_path / "rows.jsonl"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)])
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < 6:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = path.read_bytes()
    assert kept.count(b"\n") < 40
    subprocess.run([sys.executable, "-c", ENDLESS, str(path)], check=True)
    whole = kept[: kept.rfind(b"\n") + 1]
    assert path.read_bytes().startswith(whole)
    rows = [json.loads(line) for line in path.read_text().splitlines()][1:]
    assert sorted(int(row["id"]) for row in rows) == list(range(40))
    assert len(read_runs(tmp_path)[0].results) == 40
