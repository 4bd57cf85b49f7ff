"""From what a message refers to, to pixels: which frames are looked at, and at what times.

This module knows no LangChain class and no model; it plans times, reads frames and says what it read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vreason_agent.chat.media import Media
from vreason_agent.errors import ConfigError
from vreason_agent.model import ImagePart, VideoPart
from vreason_agent.video import Roots, VideoInfo, open_video, pairs_plan, read_frames, read_image, resolve_span

QWEN_LIST_FPS = 2.0  # what Qwen's own tools assume of a video given as a list of frames


@dataclass(frozen=True)
class FrameDefaults:
    """Which frames are looked at where a block does not say, and the folders that files must lie in (None: any)."""

    num_frames: int = 4
    max_frames: int = 32
    start_seconds: float | None = None
    stop_seconds: float | None = None
    roots: Roots | None = None


@dataclass(frozen=True)
class Look:
    """What was looked at: the source as named, and the true times of its frames (none for an image)."""

    source: str
    kind: str
    num_frames: int
    timestamps_seconds: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        times = [float(second) for second in self.timestamps_seconds]
        return {"source": self.source, "kind": self.kind, "num_frames": self.num_frames, "timestamps_seconds": times}


def evidence_of(looks: Sequence[Look]) -> dict[str, Any]:
    """Return `num_frames` and `timestamps_seconds` of what was seen: a frame that several times led to counts once."""
    seen = [tuple(dict.fromkeys(look.timestamps_seconds)) for look in looks]
    num_frames = sum(len(times) if times else look.num_frames for look, times in zip(looks, seen, strict=True))
    return {"num_frames": num_frames, "timestamps_seconds": [float(second) for times in seen for second in times]}


def look_at(media: Media, defaults: FrameDefaults) -> tuple[ImagePart | VideoPart, Look]:
    """Read the frames that a block means.

    Raises:
        ConfigError: If the hints contradict each other or lie outside the video.
        VideoError: If the file is missing, lies outside the roots, or cannot be decoded.
    """
    if media.frames:
        return _look_at_list(media, defaults.roots)
    if media.data is not None and media.kind == "image":
        return ImagePart(read_image(media.data)), Look("inline image", "image", 1, ())
    roots = None if media.path is None else defaults.roots
    with _as_path(media) as path, open_video(path, roots=roots, max_kept_bytes=0) as video:
        info = video.info
        name = path if media.path else f"inline {media.kind}"
        if info.kind == "image":
            return ImagePart(read_image(path, roots=roots)), Look(name, "image", 1, ())
        frames = read_frames(video, plan_times(info, media.hints, defaults))
    times = tuple(float(second) for second in frames.timestamps_seconds)
    return VideoPart(frames.images, times), Look(name, info.kind, len(times), times)


def plan_times(info: VideoInfo, hints: Mapping[str, Any], defaults: FrameDefaults) -> tuple[float, ...]:
    """Return the times to read, in seconds: those a block names, else temporal pairs spread over its part.

    Raises:
        ConfigError: If the hints are not a part of the video.
        VideoError: If the file is cut before the part's end, or the end is needed and not known.
    """
    if hints.get("timestamps") is not None:
        return tuple(float(second) for second in hints["timestamps"])
    start = _hint(hints, "start_seconds", defaults.start_seconds)
    stop = _hint(hints, "stop_seconds", defaults.stop_seconds)
    span = resolve_span(info, start, stop)
    num_frames = _hint(hints, "num_frames", defaults.num_frames)
    max_frames = _hint(hints, "max_frames", max(defaults.max_frames, num_frames))
    return tuple(pairs_plan(*span, num_frames=num_frames, max_frames=max_frames).timestamps_seconds)


def _hint(hints: Mapping[str, Any], name: str, default: Any) -> Any:
    return default if hints.get(name) is None else hints[name]


def _look_at_list(media: Media, roots: Roots | None) -> tuple[VideoPart, Look]:
    sources = [frame.data if frame.path is None else frame.path for frame in media.frames]
    images = [read_image(source, roots=roots) for source in sources]  # type: ignore[arg-type]
    if len({image.shape for image in images}) > 1:
        sizes = sorted({f"{image.shape[1]}x{image.shape[0]}" for image in images})
        msg = f"the frames of one video have different sizes ({', '.join(sizes)} px); resize them to one size"
        raise ConfigError(msg)
    fps = media.hints.get("sample_fps", QWEN_LIST_FPS)
    times = media.hints.get("timestamps") or [index / fps for index in range(len(images))]
    seconds = tuple(float(second) for second in times)
    return VideoPart(np.stack(images), seconds), Look("list of frames", "frames", len(images), seconds)


@contextmanager
def _as_path(media: Media) -> Iterator[str]:
    if media.path is not None:
        yield media.path
        return
    with tempfile.TemporaryDirectory(prefix="vreason-") as folder:
        path = os.path.join(folder, f"clip{media.suffix}")
        with open(path, "wb") as file:
            file.write(media.data or b"")
        yield path
