"""`vreason-agent batch SOURCE --out RUN`: answer many questions, and go on after a stop.

This module puts questions, a model and a run folder together and knows how none of them works.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from vreason_agent.cli.parser import (
    UsageError,
    add_ladder_options,
    add_model_options,
    add_reading_options,
    add_subtitles_option,
    check_revision,
    ladder,
    name,
    read_options_of,
    text,
    whole_number,
)
from vreason_agent.cli.terminal import Progress, interruptible, warnings_as_lines


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "batch",
        help="answer many questions into a folder, and go on after a stop",
        description='Answer each question of a JSONL file (a line: {"video": ..., "question": ..., "options": '
        '[...], "id": ...}), or one question about each video of a folder. Rows are kept in RUN/rows.jsonl as they '
        "are done; the same command goes on after a stop, and asks again what failed. At the end RUN/answers.FORMAT "
        "is written, and RUN/errors.FORMAT where some failed. Exit code 1 if any failed.",
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", type=name, help="JSONL file of questions, or folder of videos")
    add("--question", type=text, metavar="Q", help="question about each video of a folder, or where a line has none")
    add("--option", type=text, action="append", metavar="TEXT", help="a possible answer; give it at least twice")
    add("--out", type=Path, required=True, metavar="RUN", help="folder of the run, made if it is not there")
    add("--format", choices=("jsonl", "csv", "parquet"), default="jsonl", help="format of the table (default: jsonl)")
    add("--batch-size", type=whole_number, default=8, metavar="N", help="questions answered together (default: 8)")
    add_ladder_options(parser)
    add_model_options(parser)
    add_reading_options(parser)
    add_subtitles_option(parser)
    add("--json", action="store_true", help="print one JSON object at the end")
    add("--quiet", action="store_true", help="no progress on stderr, only errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer the questions; return 1 if any failed."""
    from vreason_agent.batch_run import answer_all, read_questions, write_table

    check_revision(arguments)
    if not 1 <= arguments.batch_size <= 256:
        raise UsageError(f"--batch-size {arguments.batch_size} must be from 1 to 256")
    first, last = ladder(arguments.frames, arguments.max_frames)
    given = {"question": arguments.question, "options": arguments.option, "seed": arguments.seed}
    defaults = {key: value for key, value in given.items() if value is not None}
    defaults |= {"num_frames": first, "max_frames": last, "frame_policy": arguments.frame_policy}
    questions = read_questions(arguments.source, defaults)
    progress = Progress(quiet=arguments.quiet)
    progress.line(
        f"{len(questions)} questions about {len({one.video for one in questions})} videos; loading the model ..."
    )
    from vreason_agent.chat_model import interrupted_by
    from vreason_agent.cli.ask_model import make_chat_model, model_facts

    with interruptible() as stopped, interrupted_by(stopped), warnings_as_lines(progress):
        chat_model: Any = make_chat_model(arguments)
        model = model_facts(chat_model)
        config = {"kind": "batch", "model": model["name"], "weights": chat_model.engine.weights_digest}
        config |= {"vreason": chat_model.vreason_config.to_dict(), "frames": [first, last], "seed": arguments.seed}
        results = answer_all(
            questions,
            chat_model,
            folder=arguments.out,
            config={**config, "frame_policy": arguments.frame_policy, "subtitles": arguments.subtitles or "none"},
            batch_size=arguments.batch_size,
            read_options=read_options_of(arguments),
            on_progress=TimeLeft(progress),
        )
    written = write_table(results, arguments.out, arguments.format)
    failed = [result for result in results if result.answer.error]
    abstained = sum(result.answer.decision == "abstain" for result in results)
    if arguments.json:
        counts = {"questions": len(results), "failed": len(failed), "abstained": abstained}
        print(json.dumps({**counts, "files": list(map(str, written)), "error": None}))
    else:
        print(f"{len(results) - len(failed)} answered, {abstained} of them abstained; {len(failed)} failed")
        print("\n".join(f"  {path}" for path in written))
    return 1 if failed else 0


class TimeLeft:
    """Reports how many are done, and how long the rest will take at the pace of this run."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._began, self._first = progress, time.monotonic(), -1

    def __call__(self, done: int, total: int) -> None:
        """Print a line."""
        if self._first < 0:
            self._first = done
            known = f", {done} of them known already" if done else ""
            self._progress.line(f"{total} questions{known}")
            return
        spent = time.monotonic() - self._began
        left = spent / max(1, done - self._first) * (total - done)
        self._progress.line(f"{done}/{total} answered, {_duration(spent)} spent, about {_duration(left)} left")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
