"""Receipts on the command line: `ask --report FILE` writes one, `vreason-agent replay FILE` runs it again.

This module puts a model, a question and a receipt together and knows how none of them works.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.parser import name
from vreason_agent.cli.terminal import Progress, interruptible, warnings_as_lines
from vreason_agent.errors import ConfigError, quote

if TYPE_CHECKING:
    from vreason_agent.qa import VideoQuestion
    from vreason_agent.video import ReadOptions

EXIT_SAME, EXIT_DIFFERENT = 0, 1


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `replay` and its arguments."""
    parser = commands.add_parser(
        "replay",
        help="run a receipt again and say where the answer differs",
        description="Run the question of a receipt (a page that `ask --report` wrote) again, with the same model, "
        "frames, seeds and steering, and say 'same', or where it differs and what has changed: the video, the "
        "weights, a library. Exit codes: 0 same, 1 different or failed.",
    )
    add = parser.add_argument
    add("receipt", metavar="RECEIPT", type=name, help="the page, or its JSON")
    add("--video", type=name, metavar="FILE", help="where the video lies now (default: where it was)")
    add("--report", type=name, metavar="FILE", help="write the receipt of this run as well")
    add("--json", action="store_true", help="print one JSON object: same, circumstances, outcome")
    add("--quiet", action="store_true", help="no progress on stderr, only errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the question again; return 0 if everything that came out is the same."""
    from vreason_agent.receipt.contents import read_receipt

    before = read_receipt(arguments.receipt)
    progress = Progress(quiet=arguments.quiet)
    progress.line("loading the model ...")
    from vreason_agent.chat_model import ChatVReason, interrupted_by
    from vreason_agent.qa import VideoQuestion
    from vreason_agent.receipt import compare_receipts
    from vreason_agent.video import ReadOptions

    with interruptible() as stopped, interrupted_by(stopped), warnings_as_lines(progress):
        question = VideoQuestion(**{**before["question"], **({"video": arguments.video} if arguments.video else {})})
        steering = before["traces"][0]["trace"]["config"] if before["traces"] else None
        model = {name: before["model"][name] for name in ("device", "dtype")}
        chosen = {"seed": question.seed, "vreason": steering, "revision": before["model"]["revision"], **model}
        chat_model = ChatVReason(
            model=before["model"]["name"], **{name: value for name, value in chosen.items() if value is not None}
        )
        after = answered_receipt(chat_model, question, ReadOptions(), show=list)
    if arguments.report:
        write_page(after, arguments.report)
    differences = compare_receipts(before, after)
    outcome = [difference for difference in differences if difference.is_outcome]
    circumstances = [difference for difference in differences if not difference.is_outcome]
    if arguments.json:
        rows = {"circumstances": list(map(str, circumstances)), "outcome": list(map(str, outcome))}
        print(json.dumps({"same": not outcome, **rows, "error": None}))
        return EXIT_DIFFERENT if outcome else EXIT_SAME
    attempts = len(after["result"]["attempts"])
    tokens = sum(len(trace["trace"]["token_ids"]) for trace in after["traces"])
    print("different" if outcome else f"same: {attempts} attempts, {tokens} tokens, the same answer")
    for difference in [*outcome, *circumstances]:
        print(f"  {difference}")
    return EXIT_DIFFERENT if outcome else EXIT_SAME


def answered_receipt(
    chat_model: Any,
    question: VideoQuestion,
    read_options: ReadOptions,
    *,
    show: Callable[[Iterable[dict[str, Any]]], object],
) -> dict[str, Any]:
    """Answer a question and return its receipt; `show` sees the events, and must read them all."""
    from vreason_agent.cli.ask_model import model_facts
    from vreason_agent.qa import answer_events
    from vreason_agent.receipt import ReceiptMaker

    tracing = chat_model.for_call(None, {"trace": "full", "logprobs": True})
    facts = {**model_facts(chat_model), "weights_digest": chat_model.engine.weights_digest}
    maker = ReceiptMaker(question, facts, read_options)
    show(maker.watch(answer_events(tracing, question, read_options=read_options)))
    return maker.make()


def write_page(receipt: dict[str, Any], path: str) -> None:
    """Write a receipt as an HTML page, or as JSON where the file's name ends so.

    Raises:
        ConfigError: if the file cannot be written.
    """
    from vreason_agent.receipt import html_page

    text = json.dumps(receipt) if path.endswith(".json") else html_page(receipt)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{quote(path)} cannot be written: {exc.strerror}; choose another file") from exc
