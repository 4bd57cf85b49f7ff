"""An assistant's message that is sent back in a later turn: what of it a model reads, and which calls it made.

It may be our own or another provider's, in either output version: whatever stands in it is no error. This module knows
no user's message and no prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from vreason_agent.chat.calls import text_as_written
from vreason_agent.chat.media import is_media
from vreason_agent.chat.output_format import CALL_BEGIN
from vreason_agent.model import ToolCall

Blocks = Sequence[str | Mapping[str, Any]]
READ_TYPES = ("text", "text-plain", "json", "tool_result")
"""Types of blocks that a model reads in any message, beside images and videos."""
_CALLS = ("tool_use", "tool_call", "tool_call_chunk")
_THINKING = ("reasoning", "thinking", "redacted_thinking")


def said(message: AIMessage) -> list[str | Mapping[str, Any]]:
    """Return the blocks of a message that a model reads.

    Texts and pictures are as they are. A refusal and a call that is not whole become texts, as they were written, also
    where only the message's own fields have them. Thinking, calls, and what a provider ran on its server are left out.
    """
    content = blocks_of(message)
    found = [read for block in content for read in _read(block, message)]
    kinds = [block.get("type") for block in content if isinstance(block, Mapping)]
    if "invalid_tool_call" not in kinds:
        found += [_text(_cut(call)) for call in message.invalid_tool_calls]
    refusal = message.additional_kwargs.get("refusal")
    return [*found, _text(refusal)] if isinstance(refusal, str) and refusal and "refusal" not in kinds else found


def called(message: AIMessage) -> tuple[ToolCall, ...]:
    """Return the calls of a message, also of one that has them in Anthropic's or the standard blocks only."""
    found: list[tuple[str, Mapping[str, Any]]] = [(call["name"], call["args"]) for call in message.tool_calls]
    if not found and not message.invalid_tool_calls:
        blocks = [block for block in blocks_of(message) if isinstance(block, Mapping) and block.get("type") in _CALLS]
        found = [(block["name"], args) for block in blocks if (args := _arguments(block)) is not None]
    return tuple(ToolCall(name, args) for name, args in found)


def blocks_of(message: Any) -> Blocks:
    """Return the content of any message as a list."""
    return [message.content] if isinstance(message.content, str) else message.content


def _read(block: str | Mapping[str, Any], message: AIMessage) -> Iterator[str | Mapping[str, Any]]:
    kind = None if isinstance(block, str) else block.get("type")
    if isinstance(block, str) or kind in READ_TYPES or is_media(block):
        yield block
    elif kind == "refusal":
        yield _text(str(block.get("refusal") or ""))
    elif kind == "invalid_tool_call":
        yield _text(_cut(block))
    elif kind in _CALLS:
        if not (message.tool_calls or message.invalid_tool_calls) and _arguments(block) is None:
            yield _text(_cut(block))
    elif kind not in _THINKING and isinstance(text := block.get("text"), str):  # such as OpenAI's output_text
        yield _text(text)


def _arguments(block: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the arguments of a call; `None` for a part of one."""
    args = block.get("input", block.get("args")) or {}
    try:
        read = json.loads(args) if isinstance(args, str) else args
    except json.JSONDecodeError:
        return None
    return read if isinstance(read, Mapping) and block.get("name") else None


def _cut(call: Mapping[str, Any]) -> str:
    args = call.get("input", call.get("args")) or ""
    return CALL_BEGIN + text_as_written(call.get("name"), args if isinstance(args, str) else json.dumps(args))


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
