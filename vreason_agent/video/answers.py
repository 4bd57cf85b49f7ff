"""What a reading process may say: data of the agreed kinds, of this file and this request. All else is a `ValueError`.

Reads no pipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vreason_agent.errors import (
    ConfigError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
    VReasonError,
)
from vreason_agent.video.frames import Method
from vreason_agent.video.info import VideoInfo
from vreason_agent.video.limits import Limits
from vreason_agent.video.source import Source

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_NUMBER = 2**53  # beyond it JSON's numbers are not exact
MAX_NOTE_CHARS = 1000
MAX_MESSAGE_CHARS = 10_000  # a path of 4,096 and its folder
_ERRORS: dict[str, type[VReasonError]] = {
    kind.__name__: kind for kind in (ConfigError, VideoError, VideoNotFoundError, VideoDecodeError, VideoTooLargeError)
}
_Said = TypeVar("_Said")


@dataclass(frozen=True)
class ReadAnswer:
    """What is said of the frames that were sent; see `Frames`."""

    timestamps_seconds: tuple[float, ...]
    requested_seconds: tuple[float, ...]
    frame_indices: tuple[int, ...]
    method: Method
    missing_seconds: tuple[float, ...]
    reason: str

    def check(self, requested: Sequence[float], numbers: Sequence[int], *, may_lack: bool) -> None:
        """Check that it is about the times that were asked for, and the frames that came."""
        missing = tuple(time for time in requested if time in self.missing_seconds)
        there = tuple(time for time in requested if time not in self.missing_seconds)
        is_told = (self.requested_seconds, self.missing_seconds, self.frame_indices) == (there, missing, tuple(numbers))
        is_lack_told = bool(self.reason) == bool(missing) and (may_lack or not missing)
        if not is_told or not is_lack_told or len(self.timestamps_seconds) != len(numbers):
            raise ValueError(self)


def checked(kind: type[_Said], said: Any) -> _Said:
    """Return what was said as what it is to be: every number finite and from 0, every text short and printable."""
    value: _Said = _adapter(cast(Any, kind)).validate_json(json.dumps(said), strict=True)
    _check(value)
    return value


def checked_info(said: Mapping[str, Any], source: Source, limits: Limits, backend: Any) -> VideoInfo:
    """Return what was said of a file; its name, which may hold anything, is the one that was asked for."""
    if said.get("path") != source.path:
        raise ValueError(said.get("path"))
    info = replace(checked(VideoInfo, {**said, "path": ""}), path=source.path)
    is_of_it = info.kind == source.kind and info.backend == (backend if source.kind in ("video", "gif") else "opencv")
    if not is_of_it or not 0 < info.width_px * info.height_px <= limits.max_pixels:
        raise ValueError(info)
    return info


def checked_error(said: Mapping[str, Any]) -> VReasonError:
    """Return the error that was said, of a kind that reading raises, with what can be printed of its message."""
    message = said["message"]
    if not isinstance(message, str):
        raise TypeError(message)
    text = "".join(char if char.isprintable() else "?" for char in message[:MAX_MESSAGE_CHARS])
    return _ERRORS[said["error"]](text)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # the reading process does without

    return TypeAdapter(kind)


def _check(value: Any) -> None:
    parts = vars(value).values() if is_dataclass(value) else value if isinstance(value, tuple) else ()
    for part in parts:
        _check(part)
    if isinstance(value, str) and not (value.isprintable() and len(value) <= MAX_NOTE_CHARS):
        raise ValueError(value)
    if isinstance(value, int | float) and not 0 <= value <= MAX_NUMBER:
        raise ValueError(value)
