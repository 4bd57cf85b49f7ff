"""Benchmarks of the field from the files their authors publish: Video-R1's six, Video-MME and its v2, MMVU, and others.

Each reader turns one published row into a `Question`; each summary puts scores together as the benchmark's authors do.
What differs from their scripts is said where it differs and in `docs/evaluation.md`. This module downloads nothing.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vreason_agent.answers import option_label
from vreason_agent.errors import DependencyError, EvaluationError, quote, shorten
from vreason_agent.evaluation.dataset import Question, Scoring, require_unique
from vreason_agent.evaluation.metrics import Estimate, mean
from vreason_agent.evaluation.runner import Result

Row = Mapping[str, Any]
Summary = dict[str, Estimate]
VSI_NUMERIC = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
_LABEL = re.compile(r"\s*\(?([A-Z])[.):]\s*")


@dataclass(frozen=True)
class Loaded:
    """What was read of a published file.

    Attributes:
        questions: In the file's order.
        notes: What was left out, and why; goes into every report.
    """

    questions: list[Question]
    notes: tuple[str, ...] = ()


def load_benchmark(name: str, path: str | Path, *, videos: str | Path | None = None) -> Loaded:
    """Read a benchmark as published.

    Args:
        name: One of `BENCHMARKS`.
        path: The published file: JSON, JSONL, TSV, or Parquet (needs the extra `batch`).
        videos: Folder of the clips, laid out as published; by default `videos` beside the file, else its folder.

    Raises:
        EvaluationError: Unknown name, no such file, a row without a field that the benchmark has, or no question left.
        DependencyError: A Parquet file without pyarrow.
    """
    if name not in BENCHMARKS:
        msg = f"no benchmark is named {quote(name)}; use one of {', '.join(BENCHMARKS)}, or a JSONL file of your own"
        raise EvaluationError(msg)
    source = Path(path)
    if not source.is_file():
        msg = f"no file at {quote(str(source))}; download the one that {name}'s authors publish: {_HOMES[name]}"
        raise EvaluationError(msg)
    beside = source.parent / "videos"
    folder = Path(videos) if videos is not None else beside if beside.is_dir() else source.parent
    loaded = _read_all(BENCHMARKS[name], read_rows(source), source, folder)
    if not loaded.questions:
        msg = f"{quote(str(source))} holds no question that can be scored here: {'; '.join(loaded.notes) or 'no rows'}"
        raise EvaluationError(f"{msg}; give the split whose answers are published")
    require_unique(loaded.questions)
    return loaded


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSON, JSONL, TSV or Parquet file; a JSON object of rows gives each its key as `key`."""
    if path.suffix == ".parquet":
        try:
            from pyarrow import parquet
        except ImportError as exc:
            msg = f"{quote(str(path))} is Parquet, which needs pyarrow; run: pip install 'vreason-agent[batch]'"
            raise DependencyError(msg) from exc
        rows: list[Row] = parquet.read_table(path).to_pylist()
        return rows
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".tsv":
            return list(csv.DictReader(text.splitlines(keepends=True), delimiter="\t"))
        data = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line]
    except (OSError, ValueError) as exc:
        msg = f"{quote(str(path))} cannot be read ({shorten(str(exc))}); download it anew, or convert it to JSONL"
        raise EvaluationError(msg) from exc
    if isinstance(data, dict):
        data = [{"key": key, **row} for key, row in data.items() if isinstance(row, dict)]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise EvaluationError(f"{quote(str(path))} is no list of rows; give the file as its authors publish it")
    return data


def _read_all(reader: Callable[..., Question | str], rows: Sequence[Row], source: Path, folder: Path) -> Loaded:
    questions: list[Question] = []
    left_out: dict[str, int] = {}
    for number, row in enumerate(rows):
        try:
            read = reader(row, number, source, folder)
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            msg = f"{quote(str(source))}, row {number}: {type(exc).__name__} {exc}; found the fields {', '.join(row)}"
            raise EvaluationError(f"{msg}; give the file as its authors publish it") from exc
        if isinstance(read, Question):
            questions.append(read)
        else:
            left_out[read] = left_out.get(read, 0) + 1
    return Loaded(questions, tuple(f"{count} rows left out: {reason}" for reason, count in left_out.items()))


def _bare_options(options: Sequence[Any]) -> tuple[str, ...]:
    """Return the options without their labels, where each has the label of its place (`A. red`, `(B) blue`)."""
    texts = [str(option) for option in options]
    marks = [_LABEL.match(text) for text in texts]
    labels = [mark.group(1) if mark else None for mark in marks]
    if labels == [option_label(index) for index in range(len(texts))]:
        texts = [text[mark.end() :] for text, mark in zip(texts, marks, strict=True) if mark]
    return tuple(text.strip() for text in texts)


def _lettered(answer: Any, options: Sequence[str]) -> str:
    letter = str(answer).strip().rstrip(".").upper()
    return options[[option_label(index) for index in range(len(options))].index(letter)]


def _video_r1(row: Row, number: int, source: Path, folder: Path) -> Question | str:
    kind = row["problem_type"]
    if kind in ("OCR", "free-form"):
        return f"{kind} questions, which the authors' evaluation scores with 0 whatever is answered"
    solution = re.search(r"<answer>\s*(.*?)\s*</answer>", row["solution"], re.DOTALL)
    truth = solution.group(1) if solution else str(row["solution"]).strip()
    is_choice = kind == "multiple choice"
    options = _bare_options(row["options"]) if is_choice else ()
    scorings: dict[str, Scoring] = {"multiple choice": "exact", "numerical": "numerical", "regression": "mra_strict"}
    path = str(row["path"]).removeprefix("./")
    data_source = row.get("data_source") or source.stem
    return Question(
        id=f"{source.stem}-{row.get('problem_id', number)}",
        video=str(folder / path),
        question=str(row["problem"]),
        answer=_lettered(truth, options) if is_choice else truth,
        options=options,
        kind=str(row.get("original_question_type") or data_source),
        video_id=path,
        scoring=scorings[kind],
        details={"problem_type": kind, "data_type": row["data_type"], "data_source": data_source},
    )


def _videomme(row: Row, number: int, source: Path, folder: Path) -> Question | str:
    options = _bare_options(row["options"])
    details = {name: row[name] for name in ("duration", "domain", "sub_category", "task_type")}
    return Question(
        id=str(row["question_id"]),
        video=str(folder / f"{row['videoID']}.mp4"),
        question=str(row["question"]),
        answer=_lettered(row["answer"], options),
        options=options,
        kind=str(row["duration"]),
        video_id=str(row["videoID"]),
        details=details,
    )


def _videomme_v2(row: Row, number: int, source: Path, folder: Path) -> Question | str:
    lines = row["options"] if isinstance(row["options"], list) else str(row["options"]).strip().split("\n")
    options = _bare_options(lines)
    names = ("level", "group_type", "group_structure", "second_head", "third_head")
    level = row.get("level")
    return Question(
        id=str(row.get("question_id", number)),
        video=str(folder / f"{row['video_id']}.mp4"),
        question=str(row["question"]),
        answer=_lettered(row["answer"], options),
        options=options,
        kind=f"level {level}" if level not in (None, "None", "") else "no level",
        video_id=str(row["video_id"]),
        details={"group": number // 4, "place": number % 4, **{name: row.get(name) for name in names}},
    )


def _mmvu(row: Row, number: int, source: Path, folder: Path) -> Question | str:
    if row["question_type"] != "multiple-choice":
        return "open-ended questions, which the authors let GPT-4o judge"
    given = row["choices"]
    choices = {label: str(text) for label, text in given.items() if text not in (None, "")}
    path = row.get("video_path") or str(row["video"]).partition("/videos/")[2] or str(row["video"])
    return Question(
        id=str(row["id"]),
        video=str(folder / path),
        question=str(row["question"]),
        answer=choices[str(row["answer"]).strip()],
        options=tuple(choices.values()),
        kind=str((row.get("metadata") or {}).get("subject") or path.partition("/")[0]),
        video_id=str(path),
    )


def _vsibench(row: Row, number: int, source: Path, folder: Path) -> Question | str:
    kind, truth = str(row["question_type"]), str(row["ground_truth"])
    is_number = kind in VSI_NUMERIC
    options = () if is_number else _bare_options(row["options"])
    return Question(
        id=str(row.get("id", number)),
        video=str(folder / str(row["dataset"]) / f"{row['scene_name']}.mp4"),
        question=str(row["question"]),
        answer=truth if is_number else _lettered(truth, options),
        options=options,
        kind=kind,
        video_id=f"{row['dataset']}/{row['scene_name']}",
        scoring="mra" if is_number else "exact",
    )


def _longvideobench(row: Row, number: int, source: Path, folder: Path) -> Question | str:
    padded = [row.get(f"option{index}") for index in range(5)]
    options = tuple(
        str(text) for text in row.get("candidates") or [text for text in padded if text not in (None, "N/A")]
    )
    correct = row.get("correct_choice")
    if correct is None or not 0 <= int(correct) < len(options):
        return "the answer is not published"
    return Question(
        id=str(row["id"]),
        video=str(folder / str(row["video_path"])),
        question=str(row["question"]),
        answer=options[int(correct)],
        options=options,
        kind=str(row["duration_group"]),
        video_id=str(row["video_id"]),
        details={name: row.get(name) for name in ("question_category", "topic_category", "duration", "subtitle_path")},
    )


def _egoschema(row: Row, number: int, source: Path, folder: Path) -> Question | str:
    """Read a row of the authors' `questions.json`, of its parts converted for lmms-eval, or of VideoAgent's subset."""
    video = str(row.get("video_idx") or row.get("q_uid") or row["key"])
    given = row.get("option") or [row[f"option {index}"] for index in range(5)]
    truth = row.get("answer", row.get("truth"))
    if truth in (None, ""):
        truth = _egoschema_answers(source).get(video)
    if truth is None:
        return "the answer is not published (put subset_answers.json beside the file for the 500 that are)"
    options = _bare_options(given)
    return Question(
        id=video,
        video=str(folder / f"{video}.mp4"),
        question=str(row["question"]),
        answer=options[int(truth)],
        options=options,
        video_id=video,
    )


@lru_cache(maxsize=1)
def _egoschema_answers(source: Path) -> Mapping[str, int]:
    path = source.parent / "subset_answers.json"
    answers: Mapping[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return answers


BENCHMARKS: dict[str, Callable[[Row, int, Path, Path], Question | str]] = {
    "video-r1": _video_r1,
    "videomme": _videomme,
    "videomme-v2": _videomme_v2,
    "mmvu": _mmvu,
    "vsibench": _vsibench,
    "longvideobench": _longvideobench,
    "egoschema": _egoschema,
}
_HOMES = {
    "video-r1": "huggingface.co/datasets/Video-R1/Video-R1-eval",
    "videomme": "huggingface.co/datasets/lmms-lab/Video-MME",
    "videomme-v2": "huggingface.co/datasets/MME-Benchmarks/Video-MME-v2",
    "mmvu": "huggingface.co/datasets/yale-nlp/MMVU",
    "vsibench": "huggingface.co/datasets/nyu-visionx/VSI-Bench",
    "longvideobench": "huggingface.co/datasets/longvideobench/LongVideoBench",
    "egoschema": "github.com/egoschema/EgoSchema",
}


def summarize(name: str, results: Sequence[Result]) -> Summary:
    """Return the benchmark's own figures, each in [0, 1]: those that its authors report beside plain accuracy.

    `video-r1`: mean accuracy of all but regression questions, mean relative accuracy of those. `vsibench`: the mean of
    eight task means, the three difficulties of relative direction being one task. `videomme-v2`: the mean over groups
    of four, see `group_points`, overall, per kind of group and per level.
    """
    if name == "video-r1":
        regression = [row for row in results if row.question.details["problem_type"] == "regression"]
        rest = [row for row in results if row.question.details["problem_type"] != "regression"]
        parts = {"mean accuracy": rest, "mean relative accuracy": regression}
        return {label: _points(rows) for label, rows in parts.items() if rows}
    if name == "vsibench":
        return _vsi_summary(results)
    return _grouped_summary(results) if name == "videomme-v2" else {}


def _points(rows: Sequence[Result]) -> Estimate:
    return mean([row.score.points for row in rows], clusters=[row.question.cluster for row in rows])


def _vsi_summary(results: Sequence[Result]) -> Summary:
    kinds: dict[str, list[Result]] = {}
    for row in results:
        kinds.setdefault(row.question.kind, []).append(row)
    tasks = {kind: _points(rows) for kind, rows in sorted(kinds.items())}
    directions = [kind for kind in tasks if kind.startswith("object_rel_direction_")]
    values = [value for kind in directions if (value := tasks.pop(kind).value) is not None]
    if values:
        num_rows = sum(len(kinds[kind]) for kind in directions)
        tasks["object_rel_direction"] = Estimate(sum(values) / len(values), None, None, num_rows)
    known = [one.value for one in tasks.values() if one.value is not None]
    return {"overall": Estimate(sum(known) / len(known), None, None, len(results)), **tasks}


def _grouped_summary(results: Sequence[Result]) -> Summary:
    groups: dict[int, list[Result]] = {}
    for row in results:
        groups.setdefault(row.question.details["group"], []).append(row)
    whole = [sorted(rows, key=lambda row: row.question.details["place"]) for rows in groups.values() if len(rows) == 4]
    scored: dict[str, list[tuple[float, str]]] = {}
    for rows in whole:
        last = rows[-1].question  # the authors read a group's facts off its last question
        points = group_points(
            [row.score.is_correct for row in rows], str(last.details["group_type"]), last.details["group_structure"]
        )
        for label in ("groups of four", f"{last.details['group_type']} groups", last.kind):
            scored.setdefault(label, []).append((points, last.cluster))
    return {
        label: mean([points for points, _ in rows], clusters=[cluster for _, cluster in rows])
        for label, rows in scored.items()
    }


def group_points(correct: Sequence[bool], group_type: str, group_structure: str | None) -> float:
    """Return what a group of four questions of Video-MME-v2 is worth, in [0, 1].

    `relevance` groups: the square of the share of right answers. `logic` groups: the length of the chain of right
    answers from the first question on, weighted so that a broken chain is worth little; in a structure such as
    `[1, [2, 3], 4]` either of the two that stand together carries the chain past that place.
    Implements the scoring of Video-MME-v2 (arXiv 2604.05015); differs: an answer that cannot be read is wrong, where
    the authors' script counts it as minus one.

    Raises:
        EvaluationError: Another type or structure than the published ones.
    """
    if group_type == "relevance":
        return (sum(correct) / 4) ** 2
    structure: Any = ast.literal_eval(group_structure) if isinstance(group_structure, str) else group_structure
    weights = {"[1, 2, 3, 4]": (0, 1, 4, 9, 16), "[1, [2, 3], 4]": (0, 1, 4, 7, 12), "[[1, 2], 3, 4]": (0, 1, 2, 5, 10)}
    if group_type != "logic" or str(structure) not in weights:
        msg = f"group {quote(group_type)} with structure {quote(str(structure))} is none of Video-MME-v2's; "
        raise EvaluationError(f"{msg}give the file as its authors publish it")
    chain = next((place for place, is_right in enumerate(correct) if not is_right), 4)
    pair = next((place for place, part in enumerate(structure) if isinstance(part, list)), None)
    if pair is not None and chain == pair and correct[pair + 1]:
        chain += 1
    worth = weights[str(structure)]
    return worth[chain] / worth[4]


def missing_videos(questions: Sequence[Question]) -> list[str]:
    """Return the videos that are not there, each once, in order."""
    names = dict.fromkeys(question.video for question in questions if "://" not in question.video)
    return [name for name in names if not Path(name).exists()]
