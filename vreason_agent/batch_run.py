"""Many questions about many videos into one resumable run folder, grouped by video.

The run file is that of `vreason_agent.evaluation.runner`: a stopped run goes on where it was, and a question that
failed is asked again. This module takes what answers as an argument.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from vreason_agent.errors import ConfigError, DependencyError, VReasonError, quote
from vreason_agent.evaluation import Answer, Question
from vreason_agent.evaluation.dataset import digest_of
from vreason_agent.evaluation.runner import ROWS, Result, run
from vreason_agent.qa import VideoQuestion, answer_events
from vreason_agent.shared_queue import SharedQueue
from vreason_agent.video import DEFAULT_OPTIONS, ReadOptions

VIDEO_SUFFIXES = {
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".flv",
    ".wmv",
    ".ogv",
    ".gif",
}
Format = Literal["jsonl", "csv", "parquet"]
_DETAILS = ("start_seconds", "stop_seconds", "num_frames", "max_frames", "frame_policy", "seed")


def read_questions(source: str | Path, defaults: Mapping[str, Any]) -> list[Question]:
    """Return the questions of a JSONL file, or one about each video of a folder, in order of their videos.

    Args:
        source: A file with a `VideoQuestion` per line, relative paths from its folder and an `id` if wanted; or a
            folder, whose videos are asked `defaults["question"]`.
        defaults: Fields of `VideoQuestion` that a line need not give.

    Raises:
        ConfigError: There is no such file or folder, no video, or a line is no question.
    """
    path = Path(source)
    if path.is_dir():
        videos = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
        rows = [(str(file.relative_to(path)), {"video": str(file)}) for file in videos]
        if not rows:
            raise ConfigError(f"{quote(str(path))} holds no video; give a folder with videos, or a JSONL file")
        if "question" not in defaults:
            raise ConfigError("a folder needs a question for each of its videos; add --question 'What happens?'")
    else:
        rows = _read_lines(path)
    questions = [_question(name, {**defaults, **row}, path) for name, row in rows]
    return sorted(questions, key=lambda question: question.video)


def answer_all(
    questions: Sequence[Question],
    chat_model: Any,
    *,
    folder: str | Path,
    config: Mapping[str, Any],
    batch_size: int = 8,
    read_options: ReadOptions = DEFAULT_OPTIONS,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Answer what the run folder does not hold yet, several questions side by side; rows are kept as they are done.

    Args:
        questions: As `read_questions` gives them.
        chat_model: Answers; the forward passes of questions that run side by side are shared.
        folder: The run's folder, made if it is not there.
        config: Everything the answers depend on, as JSON data.
        batch_size: Questions side by side.
        read_options: How videos are read.
        on_progress: Called with (done, total).

    Raises:
        EvaluationError: The run file is broken, or an id is there twice.
    """
    queue = SharedQueue(max_rows=batch_size)

    def ask(question: Question) -> Answer:
        try:
            *_, ended = answer_events(chat_model, _asked(question), read_options=read_options)
        except VReasonError as exc:
            return Answer.from_error(exc)
        return _answer(ended)

    def ask_batch(batch: Sequence[Question]) -> list[Answer]:
        with queue.joined():
            futures = [pool.submit(copy_context().run, ask, question) for question in batch]
            return [future.result() for future in futures]

    with ThreadPoolExecutor(batch_size) as pool:
        try:
            path = Path(folder) / ROWS
            return run(questions, ask_batch, path=path, config=config, batch_size=batch_size, on_progress=on_progress)
        finally:
            queue.close()


def flat_row(result: Result) -> dict[str, Any]:
    """Return one answered question as a row of a table; an error row has an `error` and no answer."""
    question, answer = result.question, result.answer
    return {
        "id": question.id,
        "video": question.video,
        "question": question.question,
        "options": list(question.options),
        "answer": answer.answer if answer.decision == "accept" else None,
        "best_guess": answer.answer,
        "choice": answer.choice,
        "decision": answer.decision,
        "reasoning": answer.reasoning,
        "probability": answer.details.get("probability"),
        "frames_seconds": answer.details.get("frames", []),
        "num_attempts": answer.details.get("num_attempts", 0),
        "num_frames": answer.num_frames,
        "num_tokens": answer.num_tokens,
        "seconds": round(answer.seconds, 3),
        "error": answer.error,
        **{name: answer.signals.get(name) for name in ("final_entropy", "entropy_drop", "answer_probability")},
    }


def write_table(results: Iterable[Result], folder: str | Path, table_format: Format) -> list[Path]:
    """Write `answers.FORMAT` and, where some failed, `errors.FORMAT` into a run's folder; return what was written.

    Raises:
        DependencyError: pyarrow is missing, for Parquet.
    """
    rows = [flat_row(result) for result in results]
    tables = {"answers": [row for row in rows if not row["error"]], "errors": [row for row in rows if row["error"]]}
    written = []
    for name, part in tables.items():
        path = Path(folder) / f"{name}.{table_format}"
        path.unlink(missing_ok=True)
        if part:
            _write(part, path, table_format)
            written.append(path)
    return written


def _write(rows: Sequence[Mapping[str, Any]], path: Path, table_format: Format) -> None:
    if table_format == "jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif table_format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({name: json.dumps(v) if isinstance(v, list) else v for name, v in row.items()} for row in rows)
        path.write_text(text.getvalue(), encoding="utf-8")
    else:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as exc:
            raise DependencyError("Parquet needs pyarrow; run: pip install 'vreason-agent[batch]'") from exc
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def _read_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{quote(str(path))} cannot be read: {exc}; give a JSONL file or a folder of videos") from exc
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = str(row.pop("id", number))
        except (ValueError, AttributeError, TypeError) as exc:
            raise ConfigError(f"{path}:{number}: {quote(line)} is no JSON object; give one question per line") from exc
        rows.append((name, row))
    if not rows:
        raise ConfigError(f"{quote(str(path))} holds no question; give one JSON object per line")
    return rows


def _question(name: str, fields: Mapping[str, Any], source: Path) -> Question:
    try:
        asked = VideoQuestion(**fields)
    except ValidationError as exc:
        error = exc.errors()[0]
        what = ".".join(map(str, error["loc"]))
        msg = f"{source}: question {quote(name)}: {what}: {error['msg']}; see VideoQuestion for its fields"
        raise ConfigError(msg) from exc
    video = asked.video
    if source.is_file() and "://" not in video:
        video = str(source.parent / video)
    details = asked.model_dump(include=set(_DETAILS), exclude_none=True)
    same_part = f"{asked.video} {digest_of(details)}"  # goes into the digest by which the run knows the question again
    return Question(name, video, asked.question, "", tuple(asked.options), video_id=same_part, details=details)


def _asked(question: Question) -> VideoQuestion:
    return VideoQuestion(
        video=question.video, question=question.question, options=list(question.options), **question.details
    )


def _answer(ended: Mapping[str, Any]) -> Answer:
    result = ended["result"]
    guess, attempts = result["best_guess"], result["attempts"]
    attempt, confidence = attempts[guess["attempt"]], result["confidence"]
    return Answer(
        text=attempt["text"],
        answer=guess["answer"],
        choice=guess["choice"],
        reasoning=attempt["reasoning"],
        signals=confidence["signals"],
        num_frames=result["spent"]["frames_seen"],
        num_tokens=sum(one["tokens"]["output"] for one in attempts),
        seconds=ended["seconds"],
        decision=result["decision"]["action"],
        details={
            "probability": confidence["probability"],
            "frames": result["frames"],
            "num_attempts": len(attempts),
            "reason": result["decision"]["reason"],
            "warnings": result["warnings"],
        },
    )
