"""Ask a callable every question of a dataset and keep each answer on disk as soon as it is there.

A run file is JSONL: for each configuration a header line `{"run": hash, "config": {...}}`, then one line per question
keyed by the run's hash and the question's digest, with the whole question and answer, so that a run can be scored anew
without its dataset. Stopped and started again, a run goes on where it was; scores are not read back but computed anew.
This module does not know what answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vreason_agent.errors import ConfigError, EvaluationError, VReasonError, quote
from vreason_agent.evaluation.answer import Answer
from vreason_agent.evaluation.dataset import Question, digest_of, require_unique
from vreason_agent.evaluation.scoring import Score, score

ROWS = "rows.jsonl"
"""Name of the run file in the folder of an `eval` run."""
AnswerBatch = Callable[[Sequence[Question]], Sequence[Answer]]


@dataclass(frozen=True)
class Result:
    """A question with its answer and the verdict on it."""

    question: Question
    answer: Answer
    score: Score


def run(
    questions: Sequence[Question],
    answer: AnswerBatch,
    *,
    path: str | Path,
    config: Mapping[str, Any],
    batch_size: int = 32,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Answer what the run file does not hold yet, and return all results in the order of the questions.

    A batch that raises a `VReasonError` is asked again one by one; a question that raises alone becomes a row with
    its error, which counts as wrong and is asked again by the next run. Any other exception is a fault in the program
    and ends the run; the rows written so far stay.

    Args:
        questions: Their ids must be unique.
        answer: Takes a list of at most `batch_size` questions, returns as many answers in the same order.
        path: The run file; made, with its folder, if it is not there. Several configurations may share it.
        config: Everything the answers depend on, as JSON data: model, weights, frames, decoding, seed.
        batch_size: Questions per call, from 1.
        on_progress: Called with (done, total) at the start and after each batch.

    Raises:
        ConfigError: `batch_size` is under 1.
        EvaluationError: A broken run file, or `answer` returned another number of answers than it was given questions.
    """
    if batch_size < 1:
        msg = f"batch_size={batch_size}: a call answers at least one question; give a number from 1"
        raise ConfigError(msg)
    require_unique(questions)
    file = Path(path)
    run_hash = digest_of(dict(config))
    is_known, done = _read(file, run_hash)
    todo = [question for question in questions if question.digest not in done]
    report = on_progress or (lambda num_done, total: None)
    report(len(questions) - len(todo), len(questions))
    if todo and not is_known:
        _append(file, [{"run": run_hash, "config": dict(config)}])
    for start in range(0, len(todo), batch_size):
        batch = todo[start : start + batch_size]
        answers = _answer_batch(answer, batch)
        done.update((question.digest, row) for question, row in zip(batch, answers, strict=True))
        _append(file, [_row(run_hash, question, row) for question, row in zip(batch, answers, strict=True)])
        report(len(questions) - len(todo) + start + len(batch), len(questions))
    return [Result(question, done[question.digest], score(question, done[question.digest])) for question in questions]


def _answer_batch(answer: AnswerBatch, batch: Sequence[Question]) -> list[Answer]:
    try:
        answers = list(answer(batch))
    except VReasonError as exc:
        if len(batch) == 1:
            return [Answer.from_error(exc)]
        return [row for question in batch for row in _answer_batch(answer, [question])]
    if len(answers) != len(batch):
        msg = f"the answer callable returned {len(answers)} answers to {len(batch)} questions; return one per question"
        raise EvaluationError(msg)
    return answers


def _row(run_hash: str, question: Question, answer: Answer) -> dict[str, Any]:
    verdict = score(question, answer) if question.answer else None  # a batch asks what nobody has answered yet
    judged = {} if verdict is None else {"is_correct": verdict.is_correct, "points": verdict.points}
    return {
        "run": run_hash,
        "digest": question.digest,
        "id": question.id,
        "kind": question.kind,
        "group": question.cluster,
        "truth": question.answer or None,
        **judged,  # for readers of the file; never read back
        "question": question.to_dict(),
        "answer": answer.to_dict(),
    }


@dataclass(frozen=True)
class Run:
    """All answers of one configuration, scored anew."""

    config: Mapping[str, Any]
    results: list[Result]

    @property
    def label(self) -> str:
        """What the configuration is called in tables; runs that differ in their seed share it."""
        return str(self.config.get("label") or digest_of(dict(self.config)))


def read_runs(path: str | Path) -> list[Run]:
    """Return every configuration of a run file (or of the folder of an `eval` run), in the order they were begun.

    A question that failed and was asked again counts with its last answer; one that failed only, as an error row.

    Raises:
        EvaluationError: No run file there, or a broken one.
    """
    file = Path(path) / ROWS if Path(path).is_dir() else Path(path)
    lines = _whole_lines(file, is_repaired=False)
    if not lines:
        msg = f"no answers at {quote(str(file))}; make them with: vreason-agent eval DATASET --out {Path(path)}"
        raise EvaluationError(msg)
    configs: dict[str, Mapping[str, Any]] = {}
    rows: dict[str, dict[str, Result]] = {}
    for number, line in enumerate(lines, start=1):
        record = _record(file, number, line)
        if "config" in record:
            configs[record["run"]] = record["config"]
            rows.setdefault(record["run"], {})
        elif "question" not in record:
            raise EvaluationError(_broken(file, number, "a row of an older version, without its question"))
        else:
            question, answer = Question.from_dict(record["question"]), _answer(file, number, record)
            rows[record["run"]][question.digest] = Result(question, answer, score(question, answer))
    return [Run(config, list(rows[run_hash].values())) for run_hash, config in configs.items() if rows[run_hash]]


def _append(file: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        stream.flush()
        os.fsync(stream.fileno())


def _read(file: Path, run_hash: str) -> tuple[bool, dict[str, Answer]]:
    """Return whether the file knows the run, and the run's answers by question digest, those that failed left out."""
    answers: dict[str, Answer] = {}
    is_known = False
    for number, line in enumerate(_whole_lines(file), start=1):
        record = _record(file, number, line)
        if record.get("run") == run_hash:
            is_known = True
            if "digest" in record:
                answers[str(record["digest"])] = _answer(file, number, record)
    answers = {digest: answer for digest, answer in answers.items() if answer.error is None}
    return is_known, answers


def _record(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as exc:  # also bytes that are no UTF-8
        raise EvaluationError(_broken(file, number, f"not JSON ({exc})")) from exc
    if not isinstance(record, dict):
        raise EvaluationError(_broken(file, number, "no JSON object"))
    return record


def _answer(file: Path, number: int, record: Mapping[str, Any]) -> Answer:
    try:
        return Answer.from_dict(record["answer"])
    except (KeyError, TypeError, AttributeError) as exc:
        raise EvaluationError(_broken(file, number, "a row without a whole answer")) from exc


def _broken(file: Path, number: int, what: str) -> str:
    return f"{file}:{number} is {what}; delete that line, or start the run anew: rm {file}"


def _whole_lines(file: Path, *, is_repaired: bool = True) -> list[bytes]:
    """Return the file's lines without a last one that a killed process left half written; repaired, it is cut off."""
    if not file.exists():
        return []
    if not file.is_file():
        msg = f"{file} is no file; give the path of a run file, such as {file / 'run.jsonl'}"
        raise EvaluationError(msg)
    content = file.read_bytes()
    end = content.rfind(b"\n") + 1
    if is_repaired and end < len(content):
        os.truncate(file, end)
    return content[:end].split(b"\n")[:-1]  # not splitlines(): JSON strings may hold U+2028
