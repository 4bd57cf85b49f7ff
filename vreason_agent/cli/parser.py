"""Arguments: the parser, the types of single arguments, and the frame ladder that two of them describe.

Everything here is checked without opening a file. This module knows no command.
"""

from __future__ import annotations

import argparse
import math
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from vreason_agent.errors import ConfigError, DependencyError, is_utf8, quote

if TYPE_CHECKING:
    from vreason_agent.video import ReadOptions

DEFAULT_FRAMES = 4
DEFAULT_MAX_FRAMES = 32
BACKENDS = ("auto", "av", "opencv")
FRAME_RULES = ("pairs", "scenes", "zoom")
LARGEST_FRAMES = 65_536
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
SCHEDULES = ("off", "switching", "alternating", "minimize", "maximize", "random")


class UsageError(ConfigError):
    """The command line is wrong, as can be seen from the arguments alone."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` where argparse prints its usage and exits."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise the message with the command that shows what is allowed."""
        msg = f"{message}; run: {self.prog} --help"
        raise UsageError(msg)


def text(value: str) -> str:
    """Accept a text in UTF-8 that is not empty."""
    if not is_utf8(value):
        msg = f"{quote(value)} is not valid UTF-8; write it in UTF-8, or set LC_ALL=C.UTF-8 if it is"
        raise argparse.ArgumentTypeError(msg)
    return name(value)


def name(value: str) -> str:
    """Accept a name of a file or model that is not empty."""
    if not value.strip():
        msg = f"{quote(value)} is empty; give some text"
        raise argparse.ArgumentTypeError(msg)
    return value


def frame_count(value: str) -> int:
    """Accept a number of frames: even, because a model reads them in pairs, from 2 to `LARGEST_FRAMES`."""
    number = whole_number(value)
    if number > LARGEST_FRAMES:
        msg = f"{quote(value)} is more frames than any model's context holds; use at most {LARGEST_FRAMES}"
        raise argparse.ArgumentTypeError(msg)
    if number < 2 or number % 2:
        nearest = max(2, number + number % 2)
        msg = (
            f"{quote(value)} must be an even number of at least 2, because the model reads frames in pairs; "
            f"try {nearest}"
        )
        raise argparse.ArgumentTypeError(msg)
    return number


def whole_number(value: str) -> int:
    """Accept an integer that is not negative."""
    try:
        number = int(value)
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        msg = f"{quote(value)} is not a whole number from 0 to {2**63 - 1}"
        raise argparse.ArgumentTypeError(msg)
    return number


def seconds(value: str) -> float:
    """Accept a time in seconds that is not negative."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        msg = f"{quote(value)} is not a time in seconds; give a number of at least 0, such as 12.5"
        raise argparse.ArgumentTypeError(msg)
    return number


def share(value: str) -> float:
    """Accept a share between 0 and 1."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        msg = f"{quote(value)} is not a share between 0 and 1; give a number such as 0.05"
        raise argparse.ArgumentTypeError(msg)
    return number


def memory(value: str) -> int:
    """Accept an amount of memory such as 8GB; returns bytes."""
    from vreason_agent.model.memory_plan import parse_memory

    try:
        return parse_memory(value)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def device(value: str) -> str:
    """Accept the name of a torch device."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", value):
        msg = f"{quote(value)} is not a device; use cpu, cuda, cuda:0 (or another number) or mps"
        raise argparse.ArgumentTypeError(msg)
    return value


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose a model, where and how it runs, and V-Reason's schedule."""
    add_loading_options(parser)
    parser.add_argument(
        "--schedule",
        choices=SCHEDULES,
        metavar="S",
        help=f"V-Reason schedule: {', '.join(SCHEDULES)} (default: switching)",
    )


def add_loading_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose a model, and where and how it runs."""
    add = parser.add_argument
    add(
        "--model",
        type=name,
        metavar="M",
        help="model folder or Hugging Face Hub id (default: $VREASON_MODEL, or the bundled model)",
    )
    add("--revision", type=name, metavar="R", help="branch, tag or commit of the Hub id (default: main)")
    add("--device", type=device, metavar="D", help="cpu, cuda, cuda:0 or mps (default: a GPU if there is one)")
    add(
        "--dtype",
        choices=PRECISIONS,
        metavar="T",
        help=f"precision of the weights: {', '.join(PRECISIONS)} (default: bfloat16 on a GPU and for large models)",
    )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how files are read (`read_options_of`)."""
    add = parser.add_argument
    add(
        "--isolate",
        action="store_true",
        help="read videos in a separate process with limits on memory and time: for files you do not trust",
    )
    add(
        "--backend",
        choices=BACKENDS,
        default="auto",
        metavar="B",
        help="video decoder: av (PyAV), opencv (slower, no AV1), or auto, which takes av where it is installed "
        "(default: auto)",
    )


def add_subtitles_option(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says which subtitles the model reads."""
    parser.add_argument(
        "--subtitles",
        type=name,
        metavar="S",
        help="what is said at the frames looked at goes into the prompt: auto (an .srt or .vtt file of the video's "
        "name, else subtitles in the video), or such a file (default: none)",
    )


def add_question_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about one video: VIDEO, QUESTION and the options to choose among."""
    add = parser.add_argument
    add("video", metavar="VIDEO", type=name, help="video, image, GIF or folder of frames")
    add("question", metavar="QUESTION", type=text, help="the question")
    add("--option", type=text, action="append", metavar="TEXT", help="a possible answer; give it at least twice")


def add_ladder_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which frames the attempts look at (`ladder`), and the seed of what is drawn."""
    add = parser.add_argument
    add("--frames", type=frame_count, metavar="N", help="frames of the first attempt, an even number (default: 4)")
    add(
        "--max-frames",
        type=frame_count,
        metavar="N",
        help="maximum number of frames: --frames times a power of two. Set it equal to --frames to use one number of "
        "frames only (default: 32, or the largest such number below it)",
    )
    add(
        "--frame-policy",
        choices=FRAME_RULES,
        default="pairs",
        metavar="P",
        help="which frames are read: pairs, spread evenly over the video; scenes, divided among its shots (extra "
        "scenes); zoom, more of them where the last answer points (default: pairs)",
    )
    add(
        "--seed",
        type=whole_number,
        metavar="N",
        help="random seed; retries use the seeds that follow it (default: unset; retries use 1, 2, ...)",
    )


def check_extra(extra: str, *modules: str) -> None:
    """Check that an extra is installed, before anything that takes seconds is imported.

    Raises:
        DependencyError: if one of its modules is missing; the message names the command.
    """
    if missing := [module for module in modules if find_spec(module) is None]:
        msg = f"this command needs {missing[0]}; run: pip install 'vreason-agent[{extra}]'"
        raise DependencyError(msg)


def check_revision(arguments: argparse.Namespace) -> None:
    """Refuse a revision of the bundled model, named or by default.

    Raises:
        UsageError: if there is one.
    """
    from vreason_agent.model.source import BUNDLED_NAME, default_model

    if arguments.revision is not None and (arguments.model or default_model()) == BUNDLED_NAME:
        msg = (
            f"--revision {quote(arguments.revision)} needs a Hub id, and the bundled model is used; leave --revision "
            "out, or give a Hub id, such as --model Qwen/Qwen2.5-VL-3B-Instruct"
        )
        raise UsageError(msg)


def ladder(num_frames: int | None, max_frames: int | None) -> tuple[int, int]:
    """Complete and check the frames of the first and the last attempt; each attempt doubles the one before.

    Raises:
        UsageError: if the last is below the first or not reached by doubling it.
    """
    first = num_frames if num_frames is not None else min(DEFAULT_FRAMES, max_frames or DEFAULT_FRAMES)
    last = max_frames if max_frames is not None else _last_rung(first, max(first, DEFAULT_MAX_FRAMES))
    if last < first:
        msg = f"--frames {first} is more than --max-frames {last}; use --frames {last} or --max-frames {first}"
        raise UsageError(msg)
    reached = _last_rung(first, last)
    if reached != last:
        msg = (
            f"--max-frames {last} is not --frames {first} times a power of two; use --max-frames {reached} or "
            f"{2 * reached}"
        )
        raise UsageError(msg)
    return first, last


def _last_rung(first: int, limit: int) -> int:
    """Return the largest doubling of the first within the limit."""
    while first * 2 <= limit:
        first *= 2
    return first


def read_options_of(arguments: argparse.Namespace) -> ReadOptions:
    """Return how `--backend` and `--isolate` ask to read files."""
    from vreason_agent.video import Isolation, ReadOptions

    return ReadOptions(isolation=Isolation() if arguments.isolate else None, backend=arguments.backend)
