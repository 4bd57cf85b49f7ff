"""What a video is: frames, rate, duration, size, codec; from its packets, or by walking it where they lie."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import Capture
from vreason_agent.video.images import read_image
from vreason_agent.video.index import FrameIndex, index_frames
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.source import Kind, Source, open_source

FOLDER_FPS = 1.0  # a folder of frames has no clock of its own: one frame a second


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video, image, GIF or folder of frames.

    Attributes:
        path: Absolute real path.
        kind: What it holds.
        video_fps: Mean frames per second; `None` for a single picture.
        num_frames: Frames that can be read.
        duration_seconds: From the first frame to the end of the last one; 0 for a picture.
        width_px: Width after rotation.
        height_px: Height after rotation.
        codec: FourCC of the stream that is read; `None` where there is none.
        is_constant_rate: Whether the rate is provably constant; otherwise the file is walked to be exact.
        promised_frames: Frames the container announces, where that is credible.
        note: What else a reader should know, e.g. which of several streams is read; empty for nothing.
    """

    path: str
    kind: Kind
    video_fps: float | None
    num_frames: int | None
    duration_seconds: float | None
    width_px: int
    height_px: int
    codec: str | None
    is_constant_rate: bool | None
    promised_frames: int | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-plain data."""
        return asdict(self)


def probe(video: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Return what is known of a video without keeping any frame.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures.
        limits: Upper bounds, checked before the first frame is decoded.

    Raises:
        VideoError: In one of its kinds, if it cannot be opened or decoded, is truncated or exceeds a limit.
    """
    return describe(open_source(video, limits=limits), limits)


def describe(source: Source, limits: Limits) -> VideoInfo:
    """Return the facts about a checked source; raises as `probe` does."""
    if source.kind == "image":
        height, width = read_image(source.path, limits=limits).shape[:2]
        return VideoInfo(source.path, "image", None, 1, 0.0, width, height, None, None)
    if source.kind == "frames":
        height, width = read_image(source.frame_paths[0], limits=limits).shape[:2]
        count = len(source.frame_paths)
        return VideoInfo(source.path, "frames", FOLDER_FPS, count, count / FOLDER_FPS, width, height, None, True)
    index = index_frames(source, limits)
    _check_complete(source, index)
    with Capture(source.path) as capture:
        width, height = capture.check_size(source.path, limits)
        codec = _codec(capture)
    count = len(index.timestamps_seconds)
    fps = count / index.duration_seconds
    note = "" if index.is_constant_rate else "rate not provably constant: every frame is walked, slow and exact"
    return VideoInfo(
        source.path,
        source.kind,
        fps,
        count,
        index.duration_seconds,
        width,
        height,
        codec,
        index.is_constant_rate,
        index.promised_frames,
        note,
    )


def _check_complete(source: Source, index: FrameIndex) -> None:
    if not index.is_complete:
        msg = (
            f"{source.path!r} is truncated or damaged: {len(index.timestamps_seconds)} of {index.promised_frames} "
            "frames can be decoded; get the whole file, or rewrite the rest: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
        )
        raise VideoDecodeError(msg)


def _codec(capture: Capture) -> str | None:
    code = int(capture.get("FOURCC"))
    return "".join(chr(code >> 8 * i & 0xFF) for i in range(4)).strip("\x00 ") or None
