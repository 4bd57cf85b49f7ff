"""Image and video blocks of LangChain messages, in every spelling in use: where the bytes are, which part is meant.

Read are standard blocks (`url`, `base64`), OpenAI's `image_url` and `video_url`, Anthropic's `source`, and Hugging
Face's and Qwen's `path`, `image` and `video` (a path or a list of frames). This module opens no file and knows no
model.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vreason_agent.chat.hints import check_hints, read_hints
from vreason_agent.errors import ConfigError
from vreason_agent.video import local_path

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
    is_list = isinstance(source, list | tuple)
    hints = read_hints(block)
    check_hints(hints, kind=kind, is_list=is_list)
    if is_list:
        return Media(kind=kind, frames=tuple(_frame(frame) for frame in source), hints=hints)
    if isinstance(source, _Inline):
        return Media(kind=kind, data=_decode(source.text), suffix=_suffix(source.mime_type), hints=hints)
    return _from_text(source, kind, hints)


@dataclass(frozen=True)
class _Inline:
    text: str
    mime_type: str | None


def _kind(block: Mapping[str, Any]) -> Kind | None:
    name = str(block.get("type", ""))
    if name in ("image", "image_url", "input_image"):
        return "image"
    if name in ("video", "video_url"):
        return "video"
    if name in ("file", "media"):
        family = str(block.get("mime_type", "")).partition("/")[0]
        return family if family in ("image", "video") else None  # type: ignore[return-value]
    return None


def _frame(source: Any) -> Media:
    """Read one frame of a list: a path, a URL, or an image block."""
    media = read_block(source) if isinstance(source, Mapping) else _from_text(source, "image", {})
    if media is None or media.kind != "image" or media.frames:
        msg = "a list of frames holds something that is no image; give paths, data: URLs or image blocks"
        raise ConfigError(msg)
    return media


def _source(block: Mapping[str, Any], kind: Kind) -> Any:
    nested = next((block[name] for name in (str(block["type"]), kind, f"{kind}_url", "source") if name in block), None)
    if hasattr(nested, "__array__"):
        msg = f"an array is no source of a {kind}: messages hold plain data; give paths or data: URLs of its frames"
        raise ConfigError(msg)
    if isinstance(nested, Mapping):
        block = {"mime_type": nested.get("media_type"), "base64": nested.get("data"), **nested}
        nested = None
    for name in ("base64", "data"):
        if block.get(name):
            return _Inline(str(block[name]), block.get("mime_type"))
    source = nested or block.get("url") or block.get("path")
    if source:
        return source
    found = sorted(name for name, value in block.items() if value)
    msg = f"a {kind} block with {found} has no source; give 'url' (a path or file:// URL) or 'base64' with 'mime_type'"
    raise ConfigError(msg)


def _from_text(source: Any, kind: Kind, hints: Mapping[str, Any]) -> Media:
    if not isinstance(source, str | os.PathLike):
        msg = f"{type(source).__name__} is no source of a {kind}; give a path, a file:// URL or a data: URL"
        raise ConfigError(msg)
    text = os.fspath(source)
    if text.startswith("data:"):
        head, _, data = text.partition(",")
        return Media(kind=kind, data=_decode(data), suffix=_suffix(head[5:].partition(";")[0]), hints=hints)
    return Media(kind=kind, path=local_path(text), hints=hints)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        msg = f"base64 data starting {text[:20]!r} cannot be decoded: {exc}; encode the file with base64.b64encode"
        raise ConfigError(msg) from exc


def _suffix(mime_type: str | None) -> str:
    suffix = mimetypes.guess_extension(mime_type or "")
    if suffix is None and (mime_type or "").partition("/")[0] in ("image", "video"):
        return ""  # what it is, its first bytes tell
    if suffix is None:
        msg = f"mime_type={mime_type!r} of base64 data is not known; give one such as 'video/mp4' or 'image/png'"
        raise ConfigError(msg)
    return suffix
