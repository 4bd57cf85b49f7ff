"""`vreason-agent ask VIDEO QUESTION`: answer a question about a video.

Arguments are checked before a file is opened, and video and model folder before torch is imported, so that mistakes are
reported at once. This module puts a chat model and the video question graph together and knows how neither works.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.answer_report import DECISIONS, format_times, to_json, to_text
from vreason_agent.cli.ask_model import check_context, check_memory, check_model, make_chat_model, model_facts
from vreason_agent.cli.parser import (
    UsageError,
    add_ladder_options,
    add_model_options,
    add_question_options,
    add_reading_options,
    add_subtitles_option,
    check_revision,
    ladder,
    memory,
    name,
    read_options_of,
    seconds,
    share,
)
from vreason_agent.cli.terminal import Progress, interruptible, warnings_as_lines
from vreason_agent.errors import quote

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vreason_agent.video import VideoInfo

EXIT_ANSWERED = 0
EXIT_ABSTAINED = 3
TOY_MODEL = (
    "note: the bundled model only knows generated clips of colored shapes (vreason-agent demo-video writes one); for "
    "real footage name a real model, such as --model Qwen/Qwen2.5-VL-3B-Instruct"
)


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "ask",
        help="answer a question about a video",
        description="Answer a question about a video. The model first sees a few frames. If its answer is not "
        "probable enough (without a calibrator: if its entropy does not drop or its answer changes), it is asked again "
        "with twice as many frames, up to --max-frames. If the answer still does not settle, the command abstains and "
        "prints its best guess.",
        epilog="Keys of the --json object: answer, choice, best_guess, confidence, decision, attempts, frames, video, "
        "model, usage, loading_seconds, seconds, warnings, error. attempts[].plan and attempts[].sampling report which "
        "frames were chosen and why; model.video and model.image the limits on pixels and tokens; attempts[].vision "
        "and usage what was used of them. On failure the object is {answer: null, error: {name, message, exit_code}}. "
        "Exit codes: 0 answered, 1 failed, 2 wrong arguments, 3 abstained (the best guess is printed), 130 "
        "interrupted.",
    )
    add_question_options(parser)
    add_ladder_options(parser)
    add = parser.add_argument
    add("--start", type=seconds, metavar="S", help="use the video from this second on (default: its start)")
    add("--stop", type=seconds, metavar="S", help="use the video up to this second (default: its end)")
    add(
        "--max-risk",
        type=share,
        metavar="SHARE",
        help="abstain as often as it takes to keep the share of wrong answers among those given below this, such as "
        "0.05, by the model's calibrator (default: no bound)",
    )
    add_model_options(parser)
    add(
        "--max-memory",
        type=memory,
        metavar="SIZE",
        help="refuse at once what would need more, such as 8GB, and say what would fit; estimated before the model is "
        "loaded (default: no bound)",
    )
    add_reading_options(parser)
    add_subtitles_option(parser)
    add(
        "--allow-download",
        action="store_true",
        help="allow VIDEO to be an https URL: it is downloaded from a public address, read as with --isolate, and "
        "deleted",
    )
    add(
        "--server",
        type=name,
        metavar="URL",
        help="let a running `vreason-agent serve` answer, with its model; its key is $VREASON_API_KEY",
    )
    add(
        "--report",
        type=name,
        metavar="FILE",
        help="also write a receipt: one HTML page with the frames, the entropy of every token and the attempts (the "
        "plots need the extra plots); `vreason-agent replay FILE` runs it again",
    )
    add("--json", action="store_true", help="print one JSON object on stdout, also on failure, and nothing else there")
    add(
        "--verbose",
        action="store_true",
        help="also show the model's reasoning as it is written, the times of all frames and every raw signal",
    )
    add("--quiet", action="store_true", help="no progress and no notes on stderr, only errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer the question; return 0, or 3 if the model abstained."""
    check_arguments(arguments)
    if arguments.server:
        return ask_server(arguments)
    with local_copy(arguments):
        return answer_question(arguments)


@contextmanager
def local_copy(arguments: argparse.Namespace) -> Iterator[None]:
    """Replace a URL by a downloaded file for the length of a block, and have it read in isolation.

    Raises:
        VideoError: as `download` raises.
    """
    from vreason_agent.video.download import downloaded, is_remote
    from vreason_agent.video.files import shown

    if not (arguments.allow_download and is_remote(arguments.video)):
        yield
        return
    url, progress = arguments.video, progress_of(arguments)
    progress.line(f"downloading {shown(url)}")
    with downloaded(url) as path:
        arguments.video, arguments.isolate = str(path), True
        yield


def answer_question(arguments: argparse.Namespace) -> int:
    """Answer the question about a local file; return 0, or 3 if the model abstained."""
    num_frames, max_frames = ladder(arguments.frames, arguments.max_frames)
    progress = progress_of(arguments)
    began = time.perf_counter()
    info = check_video(arguments, progress)
    check_model(arguments)
    check_memory(arguments, info, max_frames)
    progress.line("loading the model ...")
    from vreason_agent.chat_model import interrupted_by

    with interruptible() as stopped, interrupted_by(stopped), warnings_as_lines(progress):
        chat_model = make_chat_model(arguments)
        model = model_facts(chat_model)
        progress.line(f"model: {model['name']} on {model['device']}")
        if model["bundled"]:
            progress.line(TOY_MODEL)
        check_context(chat_model, arguments, info, (num_frames, max_frames))
        loaded = time.perf_counter()
        result = run_graph(arguments, chat_model, (num_frames, max_frames), progress)
    seconds_spent = {"loading_seconds": loaded - began, "seconds": time.perf_counter() - began}
    return print_report(arguments, to_json(result, info, model, seconds_spent))


def check_arguments(arguments: argparse.Namespace) -> None:
    """Check how the arguments go together.

    Raises:
        UsageError: for a URL without --allow-download, a single or repeated option, an empty range, or a revision of
            the bundled model.
    """
    from vreason_agent.answers import repeated_option
    from vreason_agent.video.download import is_remote
    from vreason_agent.video.files import shown

    if is_remote(arguments.video) and not arguments.allow_download:
        msg = f"{quote(shown(arguments.video))} is a URL; add --allow-download to download it, or give a file's path"
        raise UsageError(msg)
    if arguments.server and arguments.report:
        raise UsageError("--report needs the model here, and --server asks another; leave one of them out")
    if arguments.report and not os.access(os.path.dirname(arguments.report) or ".", os.W_OK):
        raise UsageError(f"--report {quote(arguments.report)} cannot be written; choose a folder that exists")
    options = arguments.option or []
    if len(options) == 1:
        msg = f"--option {quote(options[0])} is the only option; give at least two, or none for an open question"
        raise UsageError(msg)
    if (repeated := repeated_option(options)) is not None:
        msg = f"--option {quote(repeated)} is given more than once; give each option once"
        raise UsageError(msg)
    if arguments.stop is not None and arguments.stop <= (arguments.start or 0.0):
        msg = f"--stop {arguments.stop:g} is not after --start {arguments.start or 0:g}; give a later --stop"
        raise UsageError(msg)
    check_revision(arguments)


def check_video(arguments: argparse.Namespace, progress: Progress) -> VideoInfo:
    """Probe the file before anything heavy is imported, check the range against its length, and return its facts.

    Raises:
        VideoError: if the file cannot be read as a video.
        ConfigError: if the range begins after the video's end.
    """
    from vreason_agent.cli.probe import describe
    from vreason_agent.video import probe, resolve_span

    info = probe(arguments.video, read_options_of(arguments))
    progress.line(f"video: {describe(info)}")
    resolve_span(info, arguments.start, arguments.stop)
    return info


def run_graph(
    arguments: argparse.Namespace,
    chat_model: BaseChatModel,
    rungs: tuple[int, int],
    progress: Progress,
) -> dict[str, Any]:
    """Run the graph, show on stderr what it does, and return its output."""
    from vreason_agent.qa import VideoQuestion, answer_events

    question = VideoQuestion(
        video=arguments.video,
        question=arguments.question,
        options=arguments.option or [],
        start_seconds=arguments.start,
        stop_seconds=arguments.stop,
        num_frames=rungs[0],
        max_frames=rungs[1],
        frame_policy=arguments.frame_policy,
        seed=arguments.seed,
        max_risk=arguments.max_risk,
    )
    read_options = read_options_of(arguments)
    has_reason = arguments.frame_policy != "pairs"
    if arguments.report is None:
        events = answer_events(chat_model, question, read_options=read_options)
        result: dict[str, Any] = show_events(events, progress, has_reason=has_reason)["result"]
        return result
    from vreason_agent.cli.receipts import answered_receipt, write_page

    receipt = answered_receipt(
        chat_model, question, read_options, show=partial(show_events, progress=progress, has_reason=has_reason)
    )
    write_page(receipt, arguments.report)
    progress.line(f"receipt: {arguments.report}")
    result = receipt["result"]
    return result


def progress_of(arguments: argparse.Namespace) -> Progress:
    """Return what shows progress as the arguments ask."""
    return Progress(quiet=arguments.quiet, verbose=arguments.verbose)


def show_events(events: Iterable[dict[str, Any]], progress: Progress, *, has_reason: bool) -> dict[str, Any]:
    """Show events as they come, each attempt on one line unless verbose; return the last, which holds the result."""
    event: dict[str, Any] = {}
    try:
        for event in events:
            show_event(event, progress, has_reason=has_reason)
    finally:
        progress.end_tokens()
    return event


def show_event(event: dict[str, Any], progress: Progress, *, has_reason: bool) -> None:
    """Show one event: the reasoning as it comes and a line each when verbose, else its part of the attempt's line."""
    if event["event"] == "token" and progress.verbose:
        progress.token(event["text"], channel=event["channel"])
    elif event["event"] in ("sample", "answer", "judge") and progress.verbose:
        progress.line(format_event(event, has_reason=has_reason))
    elif event["event"] in ("sample", "answer", "judge"):
        if event["event"] == "sample":
            progress.end_tokens()
        progress.part(format_briefly(event, has_reason=has_reason))


def ask_server(arguments: argparse.Namespace) -> int:
    """Let a running server answer; return 0, or 3 if the model abstained. Nothing heavy is imported."""
    from types import SimpleNamespace

    from vreason_agent.cli.ask_server import server_events
    from vreason_agent.cli.probe import describe

    began = time.perf_counter()
    progress = progress_of(arguments)
    events = server_events(arguments, ladder(arguments.frames, arguments.max_frames))
    opened = next(events)
    facts = {**opened["video"], "path": arguments.video}  # a video that was sent along has another name there
    info: Any = SimpleNamespace(**facts, to_dict=lambda: facts)
    progress.line(f"video: {describe(info)}")
    progress.line(f"model: {opened['model']['name']} on {opened['model']['device']}, at {arguments.server}")
    ended = show_events(events, progress, has_reason=arguments.frame_policy != "pairs")
    progress.end_tokens()
    seconds_spent = {"loading_seconds": 0.0, "seconds": time.perf_counter() - began}
    return print_report(arguments, to_json(ended["result"], info, opened["model"], seconds_spent))


def print_report(arguments: argparse.Namespace, report: dict[str, Any]) -> int:
    """Print the answer; return 0, or 3 if the model abstained."""
    print(json.dumps(report) if arguments.json else to_text(report, verbose=arguments.verbose))
    return EXIT_ABSTAINED if report["decision"]["action"] == "abstain" else EXIT_ANSWERED


def format_briefly(event: dict[str, Any], *, has_reason: bool) -> str:
    """Return a progress event of the graph as the next piece of its attempt's line."""
    if event["event"] == "sample":
        count = event["num_frames"]
        return f"attempt {event['attempt'] + 1}: {count} frame{'s' * (count != 1)}{_reason(event, has_reason)} ... "
    if event["event"] == "judge":
        return f"; {DECISIONS[event['action']]}"
    peak, final = (event["entropy"].get(name) for name in ("peak_entropy", "final_entropy"))
    entropy = "" if peak is None or final is None else f", entropy {peak:.3g} at the peak, {final:.3g} at the end"
    return f"{quote(event['answer'])}{entropy}"


def format_event(event: dict[str, Any], *, has_reason: bool) -> str:
    """Return a progress event of the graph as a line, with the reason for the choice of frames if it varies."""
    if event["event"] == "sample":
        count = event["num_frames"]
        where = f"{count} frame{'s' * (count != 1)} at {format_times(event['timestamps_seconds'])}"
        return f"attempt {event['attempt'] + 1}: {where}{_reason(event, has_reason)}"
    if event["event"] == "answer":
        entropy = ", ".join(f"{name} {value:.3g}" for name, value in event["entropy"].items() if value is not None)
        return f"  answer: {quote(event['answer'])}{f' ({entropy})' if entropy else ''}"
    return f"  {DECISIONS[event['action']]}"  # the reason stands in the report


def _reason(event: dict[str, Any], has_reason: bool) -> str:
    return f" ({event['sampling']['rule']}: {event['sampling']['reason']})" if has_reason else ""
