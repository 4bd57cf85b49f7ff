"""The doors of this package under a `ReadOptions`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from vreason_agent.video import isolated, opened, picture_file, reader, scenes
from vreason_agent.video import probe as probing
from vreason_agent.video.frames import Frames
from vreason_agent.video.image_size import Size
from vreason_agent.video.images import Picture
from vreason_agent.video.info import VideoInfo
from vreason_agent.video.options import ReadOptions
from vreason_agent.video.source import open_source

VideoReader = opened.OpenVideo | isolated.IsolatedVideo


def _spelled(options: ReadOptions | None) -> dict[str, Any]:
    if options is None:
        return {}
    how = {"limits": options.limits, "roots": options.roots, "backend": options.backend}
    return {**how, "isolate": options.isolation or False}


def probe(video: str | os.PathLike[str], options: ReadOptions | None = None, **how: Any) -> VideoInfo:
    """Return what is known of a video; see `vreason_agent.video.probe.probe`."""
    return probing.probe(video, **_spelled(options), **how)


def open_video(
    video: str | os.PathLike[str],
    options: ReadOptions | None = None,
    *,
    max_cache_bytes: int = opened.MAX_KEPT_BYTES,
    **how: Any,
) -> VideoReader:
    """Open a video for several reads; see `opened.open_video`."""
    return opened.open_video(video, **{"max_kept_bytes": max_cache_bytes, **_spelled(options), **how})


def read_frames(
    video: str | os.PathLike[str] | VideoReader,
    timestamps: Sequence[float],
    *,
    options: ReadOptions | None = None,
    **how: Any,
) -> Frames:
    """Return the frames at these times; see `reader.read_frames`."""
    return reader.read_frames(video, timestamps, **_spelled(options), **how)


def find_scenes(
    video: str | os.PathLike[str] | VideoReader, *, options: ReadOptions | None = None, **how: Any
) -> scenes.Scenes:
    """Find cuts and motion; see `scenes.find_scenes`."""
    return scenes.find_scenes(video, **_spelled(options), **how)


def image_sizes(sources: Sequence[picture_file.Encoded], options: ReadOptions) -> list[Size]:
    """Return the sizes of pictures, decoding none; see `reader.image_sizes`."""
    return reader.image_sizes(sources, limits=options.limits, roots=options.roots)


def still_size(path: str, options: ReadOptions) -> Size | None:
    """Return the size of a file that is a picture, decoding nothing; `None` for a video or a folder."""
    is_still = open_source(path, limits=options.limits, roots=options.roots).kind == "image"
    return image_sizes([path], options)[0] if is_still else None


def read_images(
    sources: Sequence[picture_file.Encoded], options: ReadOptions | None = None, **how: Any
) -> list[Picture]:
    """Read pictures; see `reader.read_images`."""
    spelled = {name: value for name, value in _spelled(options).items() if name != "backend"}
    return reader.read_images(sources, **spelled, **how)
