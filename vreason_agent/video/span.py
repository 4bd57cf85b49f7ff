"""Which part of a video is meant: the one rule for a start and a stop, each of which may be left out. Opens no file."""

from __future__ import annotations

from typing import NamedTuple

from vreason_agent.errors import ConfigError, VideoError
from vreason_agent.video.info import VideoInfo


class Span(NamedTuple):
    """A half-open part `[start_seconds, stop_seconds)` of a video."""

    start_seconds: float
    stop_seconds: float


def resolve_span(info: VideoInfo, start_seconds: float | None = None, stop_seconds: float | None = None) -> Span:
    """Return the part of a video that is meant; that of an image is `(0, 0)`.

    Args:
        info: The video, as `probe` describes it.
        start_seconds: Start of the part; `None` is the beginning.
        stop_seconds: Its end, exclusive; `None` and what is past the end are the end.

    Raises:
        ConfigError: If the part is empty, begins after the video's end, or is one of an image, which has no times.
        VideoDecodeError: If the file is cut or damaged before the part's end.
        VideoError: If the end is needed and the video's length is not known.
    """
    if info.kind == "image":
        if start_seconds is None and stop_seconds is None:
            return Span(0.0, 0.0)
        msg = f"{info.path!r} is an image and has no times; leave start and stop out"
        raise ConfigError(msg)
    start, duration = start_seconds or 0.0, info.duration_seconds
    if duration is not None and start >= duration:
        msg = f"start {start:g} s is not before the end of {info.path!r} at {duration:.2f} s; give an earlier start"
        raise ConfigError(msg)
    stop = duration if stop_seconds is None else min(stop_seconds, duration or stop_seconds)
    if stop is None:
        msg = f"{info.path!r} does not say how long it is; give the end of the part to look at, such as a stop of 60 s"
        raise VideoError(msg)
    if not 0 <= start < stop:
        msg = f"start {start:g} s, stop {stop:g} s: no part of {info.path!r}; use 0 <= start < stop"
        raise ConfigError(msg)
    info.check_readable(stop)
    return Span(start, stop)
