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

from vreason_agent.errors import ConfigError
from vreason_agent.video import local_path

Kind = Literal["image", "video"]
HINTS = ("start_seconds", "stop_seconds", "num_frames", "max_frames", "timestamps", "plan", "sample_fps")
FINGERPRINT = "fingerprint"
"""Extra of a block that says which state of its file is meant; read by caches only."""
_IGNORED_EXTRAS = {"cache_control", "detail", FINGERPRINT}


@dataclass(frozen=True)
class Media:
    """One image or video that a message refers to; exactly one of `path`, `data` and `frames` is set.

    Attributes:
        kind: What the block claims to hold.
        path: File or folder on this machine.
        data: Content of the file.
        frames: Frames one by one, each a `Media` of kind `image`.
        suffix: File name extension of `data`.
        hints: Which part to look at; names from `HINTS`.
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
    hints = _hints(block)
    source = _source(block, kind)
    if isinstance(source, list | tuple):
        frames = tuple(_from_text(frame, "image", {}) for frame in source)
        return Media(kind=kind, frames=frames, hints=hints)
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


def _hints(block: Mapping[str, Any]) -> dict[str, Any]:
    extras = dict(block.get("extras") or {})
    if unknown := sorted(set(extras) - set(HINTS) - _IGNORED_EXTRAS):
        msg = f"extras {unknown[0]!r} of a {block['type']} block is not known; use one of: {', '.join(HINTS)}"
        raise ConfigError(msg)
    return {**{name: block[name] for name in HINTS if name in block}, **extras}


def _source(block: Mapping[str, Any], kind: Kind) -> Any:
    nested = block.get(str(block["type"])) or block.get("source")
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
    if suffix is None:
        msg = f"mime_type={mime_type!r} of base64 data is not known; give one such as 'video/mp4' or 'image/png'"
        raise ConfigError(msg)
    return suffix
