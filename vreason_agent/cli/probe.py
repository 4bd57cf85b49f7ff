"""`vreason-agent probe FILE`: describe a video, image, GIF or folder of frames without reading its frames.

This module knows nothing of models.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from vreason_agent.cli.parser import (
    DEFAULT_MAX_FRAMES,
    add_reading_options,
    frame_count,
    name,
    read_options_of,
)
from vreason_agent.cli.terminal import one_line

if TYPE_CHECKING:
    from vreason_agent.video import VideoInfo


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "probe",
        help="describe a video file",
        description="Print kind, size, length, frame rate, codec and video streams of a video, image, GIF or folder of "
        "frames, whether its frames are evenly spaced and can be reached by seeking, and what reading them would cost.",
    )
    parser.add_argument("file", metavar="FILE", type=name, help="video, image, GIF or folder of frames")
    parser.add_argument(
        "--frames",
        type=frame_count,
        default=DEFAULT_MAX_FRAMES,
        metavar="N",
        help=f"number of frames whose cost is estimated, an even number (default: {DEFAULT_MAX_FRAMES})",
    )
    add_reading_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object; unknown values are null")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the file is."""
    from vreason_agent.video import pairs_plan, plan_cost, probe

    info = probe(arguments.file, read_options_of(arguments))
    seconds = info.readable_seconds or info.duration_seconds
    times = pairs_plan(0.0, seconds, num_frames=arguments.frames).timestamps_seconds if seconds else (0.0,)
    cost = {"num_times": len(times), **asdict(plan_cost(info, times))}
    facts = {**info.to_dict(), "plan": cost}
    print(json.dumps(facts) if arguments.json else "\n".join(map(one_line, format_lines(info, cost))))
    return 0


def format_lines(info: VideoInfo, cost: Mapping[str, int]) -> list[str]:
    """Return a file's facts, its streams, and what reading frames would cost, as lines."""
    streams = [
        f"{stream.width_px}x{stream.height_px} {stream.codec}{' (read)' if stream.is_read else ''}"
        for stream in info.streams
    ]
    lines = [describe(info)]
    if streams:
        even = "evenly spaced" if info.is_constant_rate else "unevenly spaced"
        reached = "by seeking" if info.is_seekable else "by decoding from the start"
        lines += [f"  video streams: {', '.join(streams)}", f"  frames: {even}, reached {reached}"]
    work = (
        _counted(cost["num_seeks"], "seek"),
        _counted(cost["num_skipped_frames"], "frame") + " decoded and skipped",
    )
    return [*lines, f"  reading {_counted(cost['num_frames'], 'frame')}: {', '.join(work)}"]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def describe(info: VideoInfo) -> str:
    """Return a file's known facts in one line."""
    facts = [
        info.kind,
        f"{info.width_px}x{info.height_px} px",
        None if info.duration_seconds is None else f"{info.duration_seconds:.2f} s",
        None if info.num_frames is None else _counted(info.num_frames, "frame"),
        None if info.video_fps is None else f"{info.video_fps:g} frames per second",
        info.codec,
        info.note,
    ]
    return f"{info.path}: {', '.join(fact for fact in facts if fact)}"
