"""An error about one of several videos as plain data, which a checkpointer can keep, and back as an error.

This module knows no graph.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import TypedDict

from ..errors import VideoDecodeError, VideoError, VideoNotFoundError, VideoTooLargeError, quote

_KINDS = {kind.__name__: kind for kind in (VideoError, VideoNotFoundError, VideoDecodeError, VideoTooLargeError)}


class Failure(TypedDict):
    """The name of an error of this package, and its message, which ends in what to do."""

    name: str
    message: str


def failure_of(error: VideoError) -> Failure:
    """Return an error as data, under the name of the nearest class that `vreason_agent.errors` has."""
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KINDS)
    return Failure(name=name, message=str(error))


def error_of(failures: Mapping[str, Failure]) -> VideoError:
    """Return what to raise where every video failed: an error of their common kind, with what each one says.

    Args:
        failures: By the name of the video, at least one.
    """
    names = {failure["name"] for failure in failures.values()}
    kind = _KINDS[names.pop()] if len(names) == 1 else VideoError
    return kind("; ".join(f"video {quote(name)}: {failure['message']}" for name, failure in failures.items()))
