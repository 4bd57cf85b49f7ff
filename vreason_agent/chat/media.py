"""Image and video blocks of LangChain messages, in every spelling in use: where the bytes are, which part is meant.

Read are standard blocks (`url`, `base64`), OpenAI's `image_url` and `video_url`, Anthropic's `source`, and Hugging
Face's and Qwen's `path`, `image` and `video` (a path or a list of frames). This module opens no file and knows no
model.
"""

from __future__ import annotations

import base64
import mimetypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from vreason_agent.errors import ConfigError, quote
from vreason_agent.video import local_path

Seconds = Annotated[float, Field(ge=0)]
FINGERPRINT = "fingerprint"
"""Extra of a block that says which state of its file is meant; read by caches only."""


class Hints(TypedDict, total=False):
    """Hints of a video block; times in seconds from the first frame."""

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)  # type: ignore[misc]

    start_seconds: Seconds
    stop_seconds: Seconds
    num_frames: Annotated[int, Field(ge=1)]
    max_frames: Annotated[int, Field(ge=1)]
    min_frames: Annotated[int, Field(ge=1)]
    timestamps: Annotated[list[Seconds], Field(min_length=1)]
    expected: list[Seconds]
    plan: Any
    sample_fps: Annotated[float, Field(gt=0)]


HINTS = tuple(Hints.__annotations__)
_LIST_HINTS = {"timestamps", "sample_fps"}
_PART = {"start_seconds", "stop_seconds"}
# What each way of choosing the frames replaces; fps and num_frames exclude each other in Qwen's tools as well.
_EXCLUDED = {
    "timestamps": {*_PART, "plan", "sample_fps", "num_frames", "max_frames", "min_frames"},
    "plan": {"sample_fps", "num_frames", "max_frames", "min_frames"},
    "num_frames": {"sample_fps", "min_frames"},
}
_QWEN = {"nframes": "num_frames", "video_start": "start_seconds", "video_end": "stop_seconds", "fps": "sample_fps"}
_QWEN_BUDGET = {"min_pixels", "max_pixels", "total_pixels", "resized_height", "resized_width"}
_IGNORED = {"cache_control", "detail", FINGERPRINT}
_ADAPTER = TypeAdapter(Hints)


def read_hints(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hints of an image or video block: at its top, beside its address, or in its `extras`.

    Raises:
        ConfigError: If one is not known, is misspelled, or has another type.
    """
    named: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in _entries(block):
        if name in _QWEN_BUDGET:
            msg = (
                f"{quote(name)} of a {block['type']} block: pixels are bounded for a model as a whole; leave it "
                "out, or use "
                "load_model(..., pixel_budget=PixelBudget(...))"
            )
            raise ConfigError(msg)
        if (ours := _QWEN.get(name, name)) not in HINTS or value is None:
            continue
        value = list(value) if isinstance(value, tuple) else value
        if ours in named and named[ours] != value:
            both = sorted({spelled[ours], name})
            msg = f"{' and '.join(both)} of a {block['type']} block: given twice with different values; give one"
            raise ConfigError(msg)
        named[ours], spelled[ours] = value, name
    try:
        return dict(_ADAPTER.validate_python(named))
    except ValidationError as exc:
        error = exc.errors()[0]
        name = ".".join(map(str, error["loc"]))
        msg = (
            f"{name}={quote(error['input'])} of a {block['type']} block: {error['msg']}; give such a value or "
            "leave it out"
        )
        raise ConfigError(msg) from exc


def check_hints(hints: Mapping[str, Any], *, kind: str, is_list: bool) -> None:
    """Refuse hints that would have no effect.

    Raises:
        ConfigError: If an image has any, a list of frames one that is not about the times of its frames, or two hints
            choose the frames in different ways.
    """
    allowed = set() if kind == "image" else _LIST_HINTS if is_list else set(HINTS)
    if idle := sorted(set(hints) - allowed):
        what = "an image" if kind == "image" else "a video given as a list of frames"
        told = f"use {' or '.join(sorted(allowed))}" if allowed else "leave it out"
        msg = f"{quote(idle[0])} says nothing about {what}; {told}"
        raise ConfigError(msg)
    for name, excluded in _EXCLUDED.items():
        if name in hints and (others := sorted(excluded & hints.keys())):
            msg = f"{name} and {' and '.join(others)} of a {kind} block choose the frames in different ways; give one"
            raise ConfigError(msg)
    if hints.get("min_frames", 0) > hints.get("max_frames", float("inf")):
        msg = f"min_frames={hints['min_frames']} is more than max_frames={hints['max_frames']}; give a lower min_frames"
        raise ConfigError(msg)


def _entries(block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    extras, nested = block.get("extras") or {}, block.get(str(block["type"]))
    if not isinstance(extras, Mapping):
        msg = f"extras={quote(extras)} of a {block['type']} block: give a mapping such as {{'num_frames': 8}}"
        raise ConfigError(msg)
    if unknown := sorted(set(extras) - set(HINTS) - set(_QWEN) - _QWEN_BUDGET - _IGNORED):
        msg = f"extras {quote(unknown[0])} of a {block['type']} block is not known; use one of: {', '.join(HINTS)}"
        raise ConfigError(msg)
    for place in (block, nested if isinstance(nested, Mapping) else {}, extras):
        for name, value in place.items():
            meant = [] if name in HINTS else get_close_matches(name, HINTS, n=1, cutoff=0.85)
            if meant:
                msg = f"{quote(name)} of a {block['type']} block is not known; did you mean {quote(meant[0])}?"
                raise ConfigError(msg)
            yield name, value


Kind = Literal["image", "video"]


@dataclass(frozen=True)
class Media:
    """One image or video that a message refers to; exactly one of `path`, `data` and `frames` is set.

    Attributes:
        kind: What the block claims to hold.
        path: File or folder on this machine.
        data: Content of the file.
        frames: Frames one by one, each a `Media` of kind `image`.
        suffix: File name extension of `data`.
        hints: Which part to look at; see `Hints`.
    """

    kind: Kind
    path: str | None = None
    data: bytes | None = field(default=None, repr=False)
    frames: tuple[Media, ...] = ()
    suffix: str = ""
    hints: Mapping[str, Any] = field(default_factory=dict)


def read_block(block: Mapping[str, Any]) -> Media | None:
    """Return what an image or video block refers to, or `None` if it is another kind of block.

    Raises:
        ConfigError: If the block names no source, an http(s) address, a hint that is not known, or base64 data that
            cannot be decoded or has no `mime_type`.
    """
    kind = _kind(block)
    if kind is None:
        return None
    source = _source(block, kind)
    if isinstance(source, _Inline) and source.family == "video":
        kind = "video"  # what clients without a block for videos send as image_url
    is_list = isinstance(source, list | tuple)
    hints = read_hints(block)
    check_hints(hints, kind=kind, is_list=is_list)
    if is_list:
        return Media(kind=kind, frames=tuple(_frame(frame) for frame in source), hints=hints)
    if isinstance(source, _Inline):
        return Media(kind=kind, data=source.data, suffix=_suffix(source), hints=hints)
    return Media(kind=kind, path=_path(source, kind), hints=hints)


def is_media(block: Mapping[str, Any]) -> bool:
    """Tell whether a block is an image or a video."""
    return _kind(block) is not None


@dataclass(frozen=True)
class _Inline:
    data: bytes
    mime_type: str | None

    @property
    def family(self) -> str:
        return (self.mime_type or "").partition("/")[0]


def _kind(block: Mapping[str, Any]) -> Kind | None:
    name = str(block.get("type", ""))
    if name in ("image", "image_url", "input_image"):
        return "image"
    if name in ("video", "video_url"):
        return "video"
    if name in ("file", "media"):
        family = (_mime_type(block) or "").partition("/")[0]
        return family if family in ("image", "video") else None  # type: ignore[return-value]
    return None


def _mime_type(block: Mapping[str, Any]) -> str | None:
    """Return what a block says its data is: in LangChain's spelling, MCP's or Anthropic's."""
    return next((str(block[name]) for name in ("mime_type", "mimeType", "media_type") if block.get(name)), None)


def _frame(source: Any) -> Media:
    """Read one frame of a list: a path, a URL, or an image block."""
    media = read_block(source if isinstance(source, Mapping) else {"type": "image", "image": source})
    if media is None or media.kind != "image" or media.frames:
        msg = "a list of frames holds something that is no image; give paths, data: URLs or image blocks"
        raise ConfigError(msg)
    return media


def _source(block: Mapping[str, Any], kind: Kind) -> Any:
    """Return the bytes in a block, the path or URL that it names, or its list of frames."""
    nested = next((block[name] for name in (str(block["type"]), kind, f"{kind}_url", "source") if name in block), None)
    if hasattr(nested, "__array__"):
        msg = f"an array is no source of a {kind}: messages hold plain data; give paths or data: URLs of its frames"
        raise ConfigError(msg)
    if isinstance(nested, Mapping):
        block = {"mime_type": _mime_type(block), **nested}
        nested = None
    for name in ("base64", "data"):
        if isinstance(data := block.get(name), str) and data[:5].lower() == "data:":
            nested = data
        elif data:
            return _Inline(data if isinstance(data, bytes) else _decode(str(data)), _mime_type(block))
    source = nested or block.get("url") or block.get("path")
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _from_data_url(source)
    if source:
        return source
    found = sorted(name for name, value in block.items() if value)
    msg = f"{kind} block with {found} has no source; give 'url' (a path or file:// URL) or 'base64' with 'mime_type'"
    raise ConfigError(msg)


def _path(source: Any, kind: Kind) -> str:
    if not isinstance(source, str | os.PathLike):
        msg = f"{type(source).__name__} is no source of {kind} data; give a path, a file:// URL or a data: URL"
        raise ConfigError(msg)
    return local_path(os.fspath(source))


def _from_data_url(url: str) -> _Inline:
    """Read a URL with its data in it (RFC 2397): a media type, parameters, `base64` as the last of them, the data."""
    head, comma, data = url[5:].partition(",")
    if not comma:
        msg = f"{quote(url[:40])} has no data: write data:video/mp4;base64,... with a comma before the data"
        raise ConfigError(msg)
    mime_type, *parameters = (part.strip() for part in head.split(";"))
    raw = unquote_to_bytes(data)
    is_base64 = any(parameter.lower() == "base64" for parameter in parameters)
    return _Inline(_decode(raw.decode("ascii", "replace")) if is_base64 else raw, mime_type.lower() or None)


def _decode(text: str) -> bytes:
    """Decode base64 as it is found in the wild: with line breaks, in the URL-safe alphabet, without padding."""
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as exc:
        msg = f"base64 data starting {quote(text[:20])} cannot be decoded: {exc}; encode the file with base64.b64encode"
        raise ConfigError(msg) from exc


def _suffix(source: _Inline) -> str:
    suffix = mimetypes.guess_extension((source.mime_type or "").partition(";")[0].strip())
    if suffix is None and source.family in ("image", "video"):
        return ""  # what it is, its first bytes tell
    if suffix is None:
        told = f"mime_type={quote(source.mime_type)} of base64 data is not known"
        msg = f"{told}; give one such as 'video/mp4' or 'image/png'"
        raise ConfigError(msg)
    return suffix
