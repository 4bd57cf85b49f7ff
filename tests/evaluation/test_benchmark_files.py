"""The field's files: small samples with the fields that their authors publish, written for these tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vreason_agent.errors import DependencyError, EvaluationError
from vreason_agent.evaluation import BENCHMARKS, Answer, Question, Result, load_benchmark, score
from vreason_agent.evaluation.benchmark_files import group_points, missing_videos, read_rows, summarize

VIDEO_R1 = [
    {
        "problem_id": 7,
        "problem": "How far is the lamp from the door (in meters)?",
        "data_type": "video",
        "problem_type": "regression",
        "options": [],
        "solution": "<answer>2.0</answer>",
        "path": "./Evaluation/VSI-Bench/scannet/scene0011_00.mp4",
        "data_source": "VSI-Bench",
        "original_question_type": "object_abs_distance",
    },
    {
        "problem_id": 8,
        "problem": "What does the man pick up?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. A cup", "B. A book", "C. A phone", "D. A key"],
        "solution": "<answer>B</answer>",
        "path": "./Evaluation/MVBench/clip.mp4",
        "data_source": "MVBench",
    },
    {
        "problem_id": 9,
        "problem": "How many joules are lost?",
        "data_type": "video",
        "problem_type": "numerical",
        "options": [],
        "solution": "<answer>3.50</answer>",
        "path": "./Evaluation/VideoMMMU/physics.mp4",
        "data_source": "VideoMMMU",
    },
    {
        "problem_id": 10,
        "problem": "Read the sign.",
        "data_type": "video",
        "problem_type": "OCR",
        "options": [],
        "solution": "<answer>EXIT</answer>",
        "path": "./Evaluation/x.mp4",
    },
]
VIDEOMME = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "Astronomy",
    "url": "https://example.com",
    "videoID": "abcDEF",
    "question_id": "001-1",
    "task_type": "Counting Problem",
    "question": "How many moons are drawn?",
    "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
    "answer": "C",
}
EIGHT = "\n".join(f"{letter}. option {number}" for number, letter in enumerate("ABCDEFGH"))
MMVU = [
    {
        "id": "validation_1",
        "video": "https://example.com/datasets/x/resolve/main/videos/Chemistry/0.mp4",
        "question_type": "multiple-choice",
        "metadata": {"subject": "Chemistry", "rationale": "..."},
        "question": "Which salt forms?",
        "choices": {"A": "NaCl", "B": "KCl", "C": "CaCO3", "D": "MgO", "E": "FeS"},
        "answer": "C",
    },
    {
        "id": "validation_0",
        "video": "https://example.com/datasets/x/resolve/main/videos/Art/0.mp4",
        "question_type": "open-ended",
        "metadata": {"subject": "Art"},
        "question": "Which technique?",
        "choices": {"A": "", "B": "", "C": "", "D": "", "E": ""},
        "answer": "Dolly zoom",
    },
]
VSI = [
    {
        "id": 0,
        "dataset": "arkitscenes",
        "scene_name": "41069025",
        "question_type": "object_counting",
        "question": "How many chairs are in this room?",
        "ground_truth": "4",
        "options": None,
    },
    {
        "id": 1,
        "dataset": "scannet",
        "scene_name": "scene0011_00",
        "question_type": "object_rel_direction_easy",
        "question": "Is the sofa to the left or the right of the lamp?",
        "ground_truth": "B",
        "options": ["A. left", "B. right"],
    },
]
LONG = [
    {
        "video_id": "86CxyhFV9MI",
        "id": "86CxyhFV9MI_0",
        "video_path": "86CxyhFV9MI.mp4",
        "subtitle_path": "86CxyhFV9MI_en.json",
        "correct_choice": 1,
        "question": "What happens after the train leaves?",
        "option0": "It rains",
        "option1": "A dog barks",
        "option2": "A man runs",
        "option3": "N/A",
        "option4": "N/A",
        "duration": 12.5,
        "duration_group": 15,
        "question_category": "E2O",
        "topic_category": "TV",
    },
    {
        "video_id": "hidden",
        "id": "hidden_0",
        "video_path": "hidden.mp4",
        "question": "?",
        "candidates": ["a", "b"],
        "duration_group": 60,
    },
]
OPTIONS_OF_FIVE = {f"option {index}": f"C does thing {index}" for index in range(5)}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_json(rows: Any, name: str = "rows.json") -> Path:
        (tmp_path / name).write_text(json.dumps(rows))
        return tmp_path / name

    return write_json


def answered(question: Question, text: str) -> Result:
    answer = Answer(text=text, answer=text)
    return Result(question, answer, score(question, answer))


def test_video_r1_keeps_its_kinds_of_problems_and_their_scoring(write):
    loaded = load_benchmark("video-r1", write(VIDEO_R1, "eval_mixed.json"), videos="/clips")
    distance, choice, number = loaded.questions
    assert loaded.notes == (
        "1 rows left out: OCR questions, which the authors' evaluation scores with 0 whatever is answered",
    )
    assert (distance.scoring, distance.answer, distance.kind) == ("mra_strict", "2.0", "object_abs_distance")
    assert distance.video == "/clips/Evaluation/VSI-Bench/scannet/scene0011_00.mp4"
    assert (choice.options, choice.answer) == (("A cup", "A book", "A phone", "A key"), "A book")
    assert answered(choice, "B").score.is_correct
    assert [answered(number, text).score.is_correct for text in ("3.5", "3.501", "4", "3,50")] == [
        True,
        True,
        False,
        False,
    ]
    rows = [answered(distance, "2.1"), answered(choice, "B"), answered(number, "?")]
    summary = summarize("video-r1", rows)
    assert summary["mean accuracy"].value == 0.5
    assert summary["mean relative accuracy"].value == pytest.approx(0.9)  # an error of .05 is not below .05


def test_mean_relative_accuracy_counts_the_tolerances_that_hold(write):
    count, direction = load_benchmark("vsibench", write(VSI)).questions
    points = {text: answered(count, text).score.points for text in ("4", "5", "3", "2", "9", "four", "about")}
    assert points == {"4": 1.0, "5": 0.6, "3": 0.6, "2": 0.1, "9": 0.0, "four": 1.0, "about": 0.0}
    assert answered(count, "5").score.is_correct is False
    assert answered(count, "about").score.is_parsed is False
    assert direction.answer == "right"
    assert count.video.endswith("arkitscenes/41069025.mp4")


def test_vsi_bench_averages_tasks_and_takes_relative_direction_as_one(write):
    rows = [
        {**VSI[1], "id": str(n), "question_type": f"object_rel_direction_{kind}"}
        for n, kind in enumerate(("easy", "hard"), start=1)
    ]
    count, *directions = load_benchmark("vsibench", write([VSI[0], *rows])).questions
    summary = summarize("vsibench", [answered(count, "5"), answered(directions[0], "B"), answered(directions[1], "A")])
    assert summary["object_rel_direction"].value == 0.5
    assert summary["overall"].value == pytest.approx((0.6 + 0.5) / 2)


def test_video_mme_reads_letters_lengths_and_clips(write):
    (question,) = load_benchmark("videomme", write([VIDEOMME]), videos="clips").questions
    assert (question.answer, question.kind, question.cluster) == ("Three.", "short", "abcDEF")
    assert question.video == "clips/abcDEF.mp4"
    assert question.details["task_type"] == "Counting Problem"


def test_video_mme_v2_scores_groups_of_four(write):
    base = {
        "video_id": "001",
        "question": "?",
        "options": EIGHT,
        "answer": "H",
        "level": 2,
        "group_structure": "[1, [2, 3], 4]",
    }
    rows = [{**base, "question_id": f"001-{n}", "group_type": "logic"} for n in range(4)]
    rows += [
        {**base, "video_id": "002", "question_id": f"002-{n}", "group_type": "relevance", "level": None}
        for n in range(4)
    ]
    questions = load_benchmark("videomme-v2", write(rows)).questions
    said = ["H", "A", "H", "H", "H", "H", "H", "A"]
    summary = summarize("videomme-v2", [answered(one, text) for one, text in zip(questions, said, strict=True)])
    assert summary["logic groups"].value == pytest.approx(4 / 12)
    assert summary["relevance groups"].value == pytest.approx(9 / 16)
    assert summary["groups of four"].value == pytest.approx((4 / 12 + 9 / 16) / 2)
    assert summary["level 2"].value == summary["logic groups"].value


@pytest.mark.parametrize(
    ("structure", "correct", "points"),
    [
        ("[1, 2, 3, 4]", (1, 1, 0, 1), 4 / 16),
        ("[1, 2, 3, 4]", (0, 1, 1, 1), 0.0),
        ("[1, [2, 3], 4]", (1, 1, 1, 0), 7 / 12),
        ("[[1, 2], 3, 4]", (0, 1, 1, 1), 1 / 10),
        ("[[1, 2], 3, 4]", (1, 1, 1, 1), 1.0),
    ],
)
def test_a_chain_of_answers_is_worth_its_unbroken_part(structure, correct, points):
    assert group_points([bool(one) for one in correct], "logic", structure) == pytest.approx(points)


def test_mmvu_takes_multiple_choice_and_says_what_it_leaves_out(write):
    loaded = load_benchmark("mmvu", write(MMVU), videos="v")
    (question,) = loaded.questions
    assert (question.answer, question.kind, question.video) == ("CaCO3", "Chemistry", "v/Chemistry/0.mp4")
    assert loaded.notes == ("1 rows left out: open-ended questions, which the authors let GPT-4o judge",)


def test_long_video_bench_drops_padding_and_hidden_answers(write):
    loaded = load_benchmark("longvideobench", write(LONG))
    (question,) = loaded.questions
    assert (question.options, question.answer, question.kind) == (
        ("It rains", "A dog barks", "A man runs"),
        "A dog barks",
        "15",
    )
    assert loaded.notes == ("1 rows left out: the answer is not published",)


def test_ego_schema_in_its_three_published_forms(write):
    official = [
        {"q_uid": "u1", "question": "Why?", **OPTIONS_OF_FIVE},
        {"q_uid": "u2", "question": "Why?", **OPTIONS_OF_FIVE},
    ]
    write({"u1": 3}, "subset_answers.json")
    parts = [
        {
            "video_idx": "u1",
            "question_idx": "0",
            "question": "Why?",
            "option": [f"{c}. thing" + c for c in "ABCDE"],
            "answer": "4",
        }
    ]
    subset = {"u1": {"question": "Why?", **OPTIONS_OF_FIVE, "truth": 0}}
    loaded = load_benchmark("egoschema", write(official, "questions.json"))
    assert [question.answer for question in loaded.questions] == ["C does thing 3"]
    assert "1 rows left out: the answer is not published" in loaded.notes[0]
    assert load_benchmark("egoschema", write(parts, "parts.json")).questions[0].answer == "thingE"
    assert load_benchmark("egoschema", write(subset, "subset_anno.json")).questions[0].answer == "C does thing 0"


def test_rows_come_from_json_lines_tables_and_parquet(tmp_path, write, monkeypatch):
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in VSI))
    assert read_rows(tmp_path / "rows.jsonl") == VSI
    (tmp_path / "rows.tsv").write_text('id\tquestion\n1\t"two\nlines"\n')
    assert read_rows(tmp_path / "rows.tsv") == [{"id": "1", "question": "two\nlines"}]
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(DependencyError, match=r"run: pip install 'vreason-agent\[batch\]'"):
        read_rows(tmp_path / "rows.parquet")


@pytest.mark.slow
def test_parquet_files_are_read(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(VSI), tmp_path / "test.parquet")
    assert [one.answer for one in load_benchmark("vsibench", tmp_path / "test.parquet").questions] == ["4", "right"]


def test_every_mistake_says_what_to_give(write, tmp_path):
    with pytest.raises(EvaluationError, match="no benchmark is named 'imagenet'; use one of video-r1, videomme"):
        load_benchmark("imagenet", "x.json")
    for name in BENCHMARKS:
        with pytest.raises(EvaluationError, match="download the one that"):
            load_benchmark(name, tmp_path / "none.json")
    with pytest.raises(EvaluationError, match=r"row 0: KeyError 'problem_type'; found the fields video_id"):
        load_benchmark("video-r1", write([VIDEOMME]))
    with pytest.raises(
        EvaluationError, match="the answer is not published; give the split whose answers are published"
    ):
        load_benchmark("longvideobench", write(LONG[1:]))
    (tmp_path / "broken.json").write_text("[{")
    with pytest.raises(EvaluationError, match="download it anew"):
        load_benchmark("mmvu", tmp_path / "broken.json")
    with pytest.raises(EvaluationError, match="give the file as its authors publish it"):
        group_points([True] * 4, "logic", "[1, 2]")


def test_missing_videos_are_named_once(write, tmp_path):
    (tmp_path / "abcDEF.mp4").touch()
    rows = [
        VIDEOMME,
        {**VIDEOMME, "question_id": "2", "videoID": "gone"},
        {**VIDEOMME, "question_id": "3", "videoID": "gone"},
    ]
    questions = load_benchmark("videomme", write(rows)).questions
    assert missing_videos(questions) == [str(tmp_path / "gone.mp4")]
