"""`vreason-agent probe FILE`: what a video, image, GIF or folder of frames is, without reading its frames.

This module knows nothing of models.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from vreason_agent.cli.parser import name

if TYPE_CHECKING:
    from vreason_agent.video import VideoInfo


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "probe",
        help="tell what a video file is",
        description="Tell kind, size, length, frame rate and codec of a video, an image, a GIF or a folder of frames.",
    )
    parser.add_argument("file", metavar="FILE", type=name, help="video, image, GIF or folder of frames")
    parser.add_argument("--json", action="store_true", help="print one JSON object; what is not known is null")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the file is."""
    from vreason_agent.video import probe

    info = probe(arguments.file)
    print(json.dumps(asdict(info)) if arguments.json else describe(info))
    return 0


def describe(info: VideoInfo) -> str:
    """Word a file's facts in one line; what is not known is left out."""
    facts = [
        info.kind,
        f"{info.width_px}x{info.height_px} px",
        None if info.duration_seconds is None else f"{info.duration_seconds:.2f} s",
        None if info.num_frames is None else f"{info.num_frames} frame{'s' * (info.num_frames != 1)}",
        None if info.video_fps is None else f"{info.video_fps:g} frames per second",
        info.codec,
        info.note,
    ]
    return f"{info.path}: {', '.join(fact for fact in facts if fact)}"
