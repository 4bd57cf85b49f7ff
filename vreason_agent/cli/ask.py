"""`vreason-agent ask VIDEO QUESTION`: answer a question about a video.

Arguments are checked before a file is opened, and the file before torch is imported, so that a mistake is told at once.
This module puts a chat model and the video question graph together and knows how neither works.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.loading import check_context, make_chat_model, model_facts
from vreason_agent.cli.parser import (
    BACKENDS,
    FRAME_RULES,
    SCHEDULES,
    UsageError,
    add_model_options,
    check_revision,
    frame_count,
    ladder,
    name,
    seconds,
    text,
    whole_number,
)
from vreason_agent.cli.report import DECISIONS, times, to_json, to_text
from vreason_agent.cli.terminal import Progress, interruptible, warnings_as_lines
from vreason_agent.errors import quote

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vreason_agent.graphs import AcceptPolicy
    from vreason_agent.video import VideoInfo

EXIT_ANSWERED = 0
EXIT_ABSTAINED = 3
TOY_MODEL = (
    "note: the bundled model knows its toy world of colored shapes only (vreason-agent demo-video writes a clip of "
    "it); for real footage give a real model, such as --model Qwen/Qwen2.5-VL-3B-Instruct"
)


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "ask",
        help="answer a question about a video",
        description="Answer a question about a video. The model first looks at a few frames; where its entropy does "
        "not settle or its answer does not hold, it looks at twice as many, up to --max-frames, and else abstains.",
        epilog="The keys of --json: answer, choice, best_guess, confidence, decision, attempts, frames, video, model, "
        "usage, seconds. model.video and model.image are the budgets of pixels and tokens, per frame and in all; "
        "attempts[].vision and usage what was spent of them; attempts[].plan and sampling where the frames are and "
        "why. Exit codes: 0 answered, 1 failed, 2 wrong arguments, 3 abstained (the best guess is printed), 130 "
        "interrupted.",
    )
    add = parser.add_argument
    add("video", metavar="VIDEO", type=name, help="video, image, GIF or folder of frames")
    add("question", metavar="QUESTION", type=text, help="what to ask")
    add("--option", type=text, action="append", metavar="TEXT", help="a possible answer; repeat it, at least twice")
    add("--frames", type=frame_count, metavar="N", help="frames to look at first, an even number (default: 4)")
    add(
        "--max-frames",
        type=frame_count,
        metavar="N",
        help="frames of the last look: --frames doubled any number of times; the same number means no ladder "
        "(default: 32, or the nearest below that doubling reaches)",
    )
    add(
        "--frame-policy",
        choices=FRAME_RULES,
        default="pairs",
        metavar="P",
        help="where the frames are: pairs, spread over the video; scenes, shared among its shots (extra scenes); zoom, "
        "more of them where the last answer points (default: pairs)",
    )
    add("--start", type=seconds, metavar="S", help="look from this second on (default: the beginning)")
    add("--stop", type=seconds, metavar="S", help="look up to this second (default: the end)")
    add(
        "--schedule",
        choices=SCHEDULES,
        metavar="S",
        help=f"V-Reason's schedule: {', '.join(SCHEDULES)} (default: switching)",
    )
    add(
        "--seed",
        type=whole_number,
        metavar="N",
        help="seed of everything that is drawn at random (default: retries draw from 1 on)",
    )
    add_model_options(parser)
    add(
        "--isolate",
        action="store_true",
        help="read the video in a process of its own with limits on memory and time: for files that you do not trust",
    )
    add(
        "--allow-download",
        action="store_true",
        help="VIDEO may be an https URL: fetch it from a public address, read it as with --isolate, and remove it",
    )
    add(
        "--backend",
        choices=BACKENDS,
        default="opencv",
        metavar="B",
        help="what decodes the video: opencv, or av (extra av) for what OpenCV cannot, such as AV1 (default: opencv)",
    )
    add("--json", action="store_true", help="print one JSON object on stdout and nothing else there")
    add("--quiet", action="store_true", help="no progress, no notes: errors only on stderr")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer the question; return 0, or 3 if the model abstained."""
    check_together(arguments)
    with fetched(arguments):
        return answer(arguments)


@contextmanager
def fetched(arguments: argparse.Namespace) -> Iterator[None]:
    """Put a fetched file in the place of a URL, for the length of a block, and have it read in isolation.

    Raises:
        VideoError: as `download` raises.
    """
    from vreason_agent.video.download import downloaded, is_remote
    from vreason_agent.video.url_text import shown

    if not (arguments.allow_download and is_remote(arguments.video)):
        yield
        return
    url, progress = arguments.video, Progress(quiet=arguments.quiet)
    progress.line(f"fetching {shown(url)}")
    with downloaded(url) as path:
        arguments.video, arguments.isolate = str(path), True
        yield


def answer(arguments: argparse.Namespace) -> int:
    """Answer the question about a local file; return 0, or 3 if the model abstained."""
    num_frames, max_frames = ladder(arguments.frames, arguments.max_frames)
    progress = Progress(quiet=arguments.quiet)
    began = time.perf_counter()
    info = check_video(arguments, progress)
    from vreason_agent.chat_model import interrupted_by

    with interruptible() as stopped, interrupted_by(stopped), warnings_as_lines(progress):
        chat_model = make_chat_model(arguments)
        model = model_facts(chat_model)
        progress.line(f"model: {model['name']} on {model['device']}")
        if model["bundled"]:
            progress.line(TOY_MODEL)
        check_context(chat_model, arguments, info, (num_frames, max_frames))
        result = follow(arguments, chat_model, (num_frames, max_frames), progress)
    report = to_json(result, info, model, time.perf_counter() - began)
    print(json.dumps(report) if arguments.json else to_text(report))
    return EXIT_ABSTAINED if report["decision"]["action"] == "abstain" else EXIT_ANSWERED


def check_together(arguments: argparse.Namespace) -> None:
    """Check what single arguments do not show.

    Raises:
        UsageError: for a URL without leave to fetch it, a single or repeated option, a range without length, or a
            revision of the bundled model.
    """
    from vreason_agent.answers import repeated_option
    from vreason_agent.video.download import is_remote
    from vreason_agent.video.url_text import shown

    if is_remote(arguments.video) and not arguments.allow_download:
        msg = (
            f"{quote(shown(arguments.video))} is a URL; let it be fetched with --allow-download, or give a file's path"
        )
        raise UsageError(msg)
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
    """Probe the file before anything heavy is imported, hold the range against its length, and return its facts.

    Raises:
        VideoError: if the file cannot be read as a video.
        ConfigError: if the range begins after the video's end.
    """
    from vreason_agent.cli.probe import describe
    from vreason_agent.video import probe, resolve_span

    info = probe(arguments.video, isolate=arguments.isolate, backend=arguments.backend)
    progress.line(f"video: {describe(info)}")
    resolve_span(info, arguments.start, arguments.stop)
    return info


def follow(
    arguments: argparse.Namespace,
    chat_model: BaseChatModel,
    rungs: tuple[int, int],
    progress: Progress,
) -> dict[str, Any]:
    """Run the graph, tell on stderr what it does, and return its output."""
    from vreason_agent.graphs import FramePolicy, Ladder, build_video_qa_graph

    ladder = Ladder(num_frames=rungs[0], max_frames=rungs[1])
    graph = build_video_qa_graph(
        chat_model,
        ladder=ladder,
        policy=policy(arguments.seed),
        frame_policy=FramePolicy(arguments.frame_policy),
        isolate=arguments.isolate,
        backend=arguments.backend,
    )
    question = {
        "video": arguments.video,
        "question": arguments.question,
        "options": arguments.option or [],
        "start_seconds": arguments.start,
        "stop_seconds": arguments.stop,
    }
    result: dict[str, Any] = {}
    stream: Any = graph.stream
    for mode, data in stream(question, stream_mode=["custom", "messages", "values"]):
        if mode == "values":
            result = data
        elif mode == "messages":
            for channel, piece in spoken(data[0]):
                progress.token(piece, channel=channel)
        else:
            progress.line(told(data, has_reason=arguments.frame_policy != "pairs"))
    return result


def policy(seed: int | None) -> AcceptPolicy:
    """Return the graph's own policy, its retries drawing from seeds that follow the given one."""
    from vreason_agent.graphs import AcceptPolicy

    default = AcceptPolicy()
    if seed is None:
        return default
    variations = [{**variation, "seed": seed + number} for number, variation in enumerate(default.variations, start=1)]
    return replace(default, variations=tuple(variations))


def spoken(message: Any) -> list[tuple[str, str]]:
    """Return what a streamed piece of a message adds to the model's reasoning and to its answer."""
    blocks = [(block["type"], block) for block in message.content_blocks]
    return [(kind, block[kind]) for kind, block in blocks if kind in ("reasoning", "text") and block.get(kind)]


def told(event: dict[str, Any], *, has_reason: bool) -> str:
    """Word one of the graph's progress events, with the reason for the choice of frames where there is a choice."""
    if event["event"] == "sample":
        reason = f" ({event['sampling']['rule']}: {event['sampling']['reason']})" if has_reason else ""
        where = f"{event['num_frames']} frames for {times(event['timestamps_seconds'])}"
        return f"look {event['attempt'] + 1}: {where}{reason}"
    if event["event"] == "answer":
        entropy = ", ".join(f"{name} {value:.3g}" for name, value in event["entropy"].items() if value is not None)
        return f"  answer: {quote(event['answer'])}{f' ({entropy})' if entropy else ''}"
    return f"  {DECISIONS[event['action']]}: {event['reason']}"
