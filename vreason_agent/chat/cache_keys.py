"""Marks on blocks that refer to files, so that a cache asks again once a file was overwritten.

A cache compares messages, and a message names its file by its path alone. This module reads no file's content and knows
no cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from vreason_agent.chat.media import FINGERPRINT, Media, read_block
from vreason_agent.errors import ConfigError, VideoError


def with_fingerprints(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages with the size and the time of change of every file in the block that names it.

    Blocks without a file, and those that cannot be read, stay as they are: what is wrong with these is told when they
    are looked at.
    """
    return [
        message
        if isinstance(message.content, str)
        else message.model_copy(update={"content": _marked(message.content)})
        for message in messages
    ]


def _marked(blocks: Sequence[Any]) -> list[Any]:
    return [_with_fingerprint(block) if isinstance(block, Mapping) else block for block in blocks]


def _with_fingerprint(block: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = block.get("content")
    if block.get("type") == "tool_result" and isinstance(nested, list):
        return {**block, "content": _marked(nested)}
    try:
        media = read_block(block)
    except (ConfigError, VideoError):
        return block
    marks = [] if media is None else [mark for path in _paths(media) for mark in _marks(path)]
    return {**block, "extras": {**(block.get("extras") or {}), FINGERPRINT: " ".join(marks)}} if marks else block


def _paths(media: Media) -> Iterator[str]:
    if media.path is not None:
        yield media.path
    for frame in media.frames:
        yield from _paths(frame)


def _marks(path: str) -> Iterator[str]:
    """Size in bytes and time of change in ns of a file, or of each file of a folder with its name."""
    try:
        found = os.stat(path)
        entries = sorted(Path(path).iterdir()) if os.path.isdir(path) else []
        yield f"{found.st_size}@{found.st_mtime_ns}"
        yield from (f"{entry.name}:{entry.stat().st_size}@{entry.stat().st_mtime_ns}" for entry in entries)
    except OSError:
        return
