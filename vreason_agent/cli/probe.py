"""`vreason-agent probe FILE`: what a video, image, GIF or folder of frames is, without reading its frames.

This module knows nothing of models.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from vreason_agent.cli.parser import BACKENDS, DEFAULT_MAX_FRAMES, frame_count, name
from vreason_agent.cli.terminal import one_line

if TYPE_CHECKING:
    from vreason_agent.video import VideoInfo


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "probe",
        help="tell what a video file is",
        description="Tell kind, size, length, frame rate and codec of a video, an image, a GIF or a folder of frames, "
        "its video streams, whether frames are evenly timed and can be sought, and what looking at it would cost.",
    )
    parser.add_argument("file", metavar="FILE", type=name, help="video, image, GIF or folder of frames")
    parser.add_argument(
        "--frames",
        type=frame_count,
        default=DEFAULT_MAX_FRAMES,
        metavar="N",
        help=f"frames of the plan whose cost is told, an even number (default: {DEFAULT_MAX_FRAMES})",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="opencv",
        metavar="B",
        help="what decodes it: opencv or av (default: opencv)",
    )
    parser.add_argument("--isolate", action="store_true", help="look at it in a process of its own, under limits")
    parser.add_argument("--json", action="store_true", help="print one JSON object; what is not known is null")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the file is."""
    from vreason_agent.video import pairs_plan, plan_cost, probe

    info = probe(arguments.file, isolate=arguments.isolate, backend=arguments.backend)
    seconds = info.readable_seconds or info.duration_seconds
    times = pairs_plan(0.0, seconds, num_frames=arguments.frames).timestamps_seconds if seconds else (0.0,)
    cost = {"num_times": len(times), **asdict(plan_cost(info, times))}
    print(
        json.dumps({**info.to_dict(), "plan": cost}) if arguments.json else "\n".join(map(one_line, lines(info, cost)))
    )
    return 0


def lines(info: VideoInfo, cost: Mapping[str, int]) -> list[str]:
    """Word a file's facts, its streams, and what a plan would cost; what is not there is left out."""
    streams = [
        f"{stream.width_px}x{stream.height_px} {stream.codec}{' (read)' if stream.is_read else ''}"
        for stream in info.streams
    ]
    told = [describe(info)]
    if streams:
        even = "evenly timed" if info.is_constant_rate else "unevenly timed"
        reached = "by seeks that are checked" if info.is_seekable else "by walking from the start"
        told += [f"  video streams: {', '.join(streams)}", f"  frames: {even}, reached {reached}"]
    work = (
        _counted(cost["num_frames"], "frame") + " converted",
        _counted(cost["num_seeks"], "seek"),
        _counted(cost["num_walked_frames"], "frame") + " walked past",
    )
    return [*told, f"  a plan of {_counted(cost['num_times'], 'time')}: {', '.join(work)}"]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def describe(info: VideoInfo) -> str:
    """Word a file's facts in one line; what is not known is left out."""
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
