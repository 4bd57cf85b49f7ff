"""A file that stands at its first frame: what that shows, and when. Knows no other frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.capture import Capture
from vreason_agent.video.conversion import first_picture
from vreason_agent.video.source import Source


@dataclass(frozen=True)
class FirstFrame:
    """The first frame of a file.

    Attributes:
        capture: The file, which stands at it.
        seconds: Its presentation time on the file's own clock.
        picture: It, `uint8 (height, width, 3)` in RGB, or `None` if it cannot be had.
    """

    capture: Capture
    seconds: float
    picture: Any


def first_frame(capture: Capture) -> FirstFrame:
    """Step to the first frame of a file that was just opened.

    Raises:
        VideoDecodeError: If no frame can be decoded, or OpenCV does not convert the first.
    """
    step_to_first(capture)
    picture = first_picture(capture.source.path, capture, partial(_opened_again, capture.source))
    return FirstFrame(capture, capture.position_seconds(), picture)


def step_to_first(capture: Capture) -> None:
    """Step to the first frame that can be decoded.

    Raises:
        VideoDecodeError: If none can, or it has no size.
    """
    if next(capture.steps(), None) is None or 0 in capture.size():
        raise VideoDecodeError(_undecodable(capture.source.path, capture.codec()))


@contextmanager
def _opened_again(source: Source) -> Iterator[Capture]:
    with Capture(source) as capture:
        step_to_first(capture)
        yield capture


def _undecodable(path: str, codec: str | None) -> str:
    is_av1 = (codec or "").upper().startswith("AV01")
    why = "OpenCV's wheels have no AV1 decoder" if is_av1 else "this OpenCV build lacks the decoder, or it is damaged"
    return (
        f"the video stream of {path!r} (codec {codec or 'unknown'!r}) cannot be decoded: {why}; read it with "
        "backend='av' or --backend av (pip install 'vreason-agent[av]'), or re-encode it: "
        "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
    )
