"""Reading in a process of its own, with limits on memory and time: a decoder that dies or hangs is a typed error.

The child sends plain data, JSON and raw pixels, never pickles: what a hostile file made of it cannot run here. Run as
`python -m vreason_agent.video.isolated` by `read_isolated`. Knows no model.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vreason_agent.errors import (
    ConfigError,
    DependencyError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
    VReasonError,
)
from vreason_agent.video.capture import load_cv2
from vreason_agent.video.frames import Frames
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.probe import VideoInfo
from vreason_agent.video.reader import read_frames
from vreason_agent.video.source import Roots, path_text

_ERRORS: dict[str, type[VReasonError]] = {
    kind.__name__: kind for kind in (ConfigError, VideoError, VideoNotFoundError, VideoDecodeError, VideoTooLargeError)
}


@dataclass(frozen=True)
class Isolation:
    """What the reading process may use; larger values admit longer and larger videos.

    Attributes:
        max_memory_bytes: Its address space, libraries and result included.
        max_seconds: Time until it is ended.
    """

    max_memory_bytes: int = 4 * 2**30
    max_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.max_memory_bytes < 1 or not (math.isfinite(self.max_seconds) and self.max_seconds > 0):
            msg = f"{self!r}: use a number of bytes from 1 and a number of seconds above 0"
            raise ConfigError(msg)


DEFAULT_ISOLATION = Isolation()


def read_isolated(
    video: str | os.PathLike[str],
    timestamps: Sequence[float],
    *,
    max_side_px: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    roots: Roots | None = None,
    allow_missing: bool = False,
    isolation: Isolation = DEFAULT_ISOLATION,
) -> Frames:
    """Read as `read_frames` does, in a process of its own that ends with the call.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures.
        timestamps: Times in seconds from the first frame.
        max_side_px: Scale frames down to this longer side.
        limits: Upper bounds.
        roots: Folders that the file must lie in.
        allow_missing: Leave out the times that a cut file lacks.
        isolation: What the process may use.

    Raises:
        VideoDecodeError: The process died, took too long or too much memory; or as `read_frames` raises.
        VideoError: As `read_frames` raises.
        DependencyError: If OpenCV cannot be loaded.
    """
    load_cv2()
    path = os.path.abspath(path_text(video)) if os.path.exists(path_text(video)) else path_text(video)
    request = {
        "video": path,
        "timestamps": [float(time) for time in timestamps],
        "max_side_px": max_side_px,
        "limits": asdict(limits),
        "roots": None if roots is None else [os.path.abspath(os.fsdecode(root)) for root in roots],
        "allow_missing": allow_missing,
        "max_memory_bytes": isolation.max_memory_bytes,
    }
    return _frames(_answer(request, isolation), path)


def _answer(request: dict[str, Any], isolation: Isolation) -> bytes:
    command = [sys.executable, "-m", __name__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=isolation.max_seconds,
            env=environment,
        )
    except subprocess.TimeoutExpired as exc:
        msg = (
            f"reading {request['video']!r} took over max_seconds={isolation.max_seconds:g} and was ended; "
            "ask for fewer frames, or re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
        )
        raise VideoDecodeError(msg) from exc
    if done.returncode != 0 or b"\n" not in done.stdout:
        raise VideoDecodeError(_died(request["video"], isolation))
    return done.stdout


def _died(path: str, isolation: Isolation) -> str:
    return (
        f"the process that read {path!r} died: the file is damaged or hostile, or needs over "
        f"max_memory_bytes={isolation.max_memory_bytes:,}; re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )


def _frames(answer: bytes, path: str) -> Frames:
    line, _, pixels = answer.partition(b"\n")
    head = json.loads(line)
    if "error" in head:
        raise _ERRORS.get(head["error"], VideoError)(str(head["message"]))
    shape = tuple(int(side) for side in head.pop("shape"))
    if len(pixels) != math.prod(shape):
        msg = f"the process that read {path!r} gave {len(pixels):,} bytes of pixels for shape {shape}; read it again"
        raise VideoDecodeError(msg)
    images = np.frombuffer(bytearray(pixels), np.uint8).reshape(shape)
    info = VideoInfo(**head.pop("info"))
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in head.items()}
    return Frames(images=images, info=info, **plain)


def _serve() -> None:
    """Read one request from standard input, and write a line of JSON and the pixels to standard output."""
    import resource

    request = json.loads(sys.stdin.buffer.read())
    memory = request.pop("max_memory_bytes")
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        frames = read_frames(request.pop("video"), request.pop("timestamps"), **_options(request))
    except DependencyError:  # it loads in the process that asked: memory is what is missing
        sys.exit(1)
    except VReasonError as error:
        sys.stdout.buffer.write(json.dumps({"error": type(error).__name__, "message": str(error)}).encode() + b"\n")
        return
    head = {key: value for key, value in vars(frames).items() if key not in ("images", "info")}
    head |= {"info": frames.info.to_dict(), "shape": frames.images.shape}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + frames.images.tobytes())


def _options(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "limits": Limits(**request["limits"])}


if __name__ == "__main__":
    _serve()
