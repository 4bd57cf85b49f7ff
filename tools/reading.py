"""Frames for a tool: read at the moments of a request, each shown once, and recorded as plain data.

This module knows nothing about image blocks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import quote
from ..video import Frames
from .files import VideoFiles
from .times import TimeRequest, show_duration, show_seconds


def read_request(files: VideoFiles, name: str, request: TimeRequest, *, max_side_px: int | None) -> Frames:
    """Read what was asked for, without repeating a frame that several of the moments fall on.

    Args:
        files: The bound files.
        name: Which of them.
        request: The moments or the range.
        max_side_px: Longer side of the frames; `None` keeps the source's size.

    Raises:
        ToolException: The request does not fit the video, or the video cannot be read.
    """
    moments = request.resolve(files.info(name), name)
    with files.reading(name) as path:
        return distinct(files.how.frames(path, moments, max_side_px=max_side_px))


def distinct(frames: Frames) -> Frames:
    """Keep the first of every group of equal frame indices, in the order given."""
    first_positions: dict[int, int] = {}
    for position, index in enumerate(frames.frame_indices):
        first_positions.setdefault(index, position)
    keep = list(first_positions.values())
    return replace(
        frames,
        images=frames.images[keep],
        timestamps_seconds=tuple(frames.timestamps_seconds[i] for i in keep),
        requested_seconds=tuple(frames.requested_seconds[i] for i in keep),
        frame_indices=tuple(frames.frame_indices[i] for i in keep),
    )


def frames_artifact(files: VideoFiles, name: str, frames: Frames) -> dict[str, Any]:
    """Say which frames were shown, so that the caller can read them again.

    Returns:
        Plain data that any checkpointer stores: `video` (name), `path`, and per frame `frame_indices`,
        `timestamps_seconds` (true times) and `requested_seconds`. No pixels.
    """
    return {
        "video": name,
        "path": files.paths[name],
        "frame_indices": [int(index) for index in frames.frame_indices],
        "timestamps_seconds": [float(moment) for moment in frames.timestamps_seconds],
        "requested_seconds": [float(moment) for moment in frames.requested_seconds],
    }


def label(frames: Frames, position: int) -> str:
    """Name one frame to the model by its true time and its index."""
    return f"t = {show_seconds(frames.timestamps_seconds[position])} s (frame {frames.frame_indices[position]})"


def headline(frames: Frames, name: str, *, num_requested: int) -> str:
    """Say how many frames follow and of what, and when there are fewer than asked for."""
    shown = len(frames.frame_indices)
    duration = frames.info.duration_seconds
    length = f", which lasts {show_duration(duration)} s" if duration else ""
    is_whole = shown >= num_requested or frames.info.kind == "image"
    fewer = "" if is_whole else f" ({num_requested} were asked for; the others are the same frames)"
    return f"{shown} frame{'s' if shown != 1 else ''} of {quote(name)}{length}{fewer}:"
