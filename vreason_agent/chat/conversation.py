"""LangChain messages to the turns that a model reads.

Consecutive messages of one role become one turn, because chat templates want roles to alternate; results of tools stay
apart. What an assistant thought is left out, as the templates of reasoning models do. Messages that a tool or another
model wrote stay in a thread, so whatever stands in them is no error. This module knows no sampling rule and no
confidence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from vreason_agent.chat.frame_loader import FrameEvidence, FrameLoader
from vreason_agent.chat.media import is_media, read_block
from vreason_agent.chat.output_format import CALL_BEGIN
from vreason_agent.chat.tool_calls import text_as_written
from vreason_agent.errors import ConfigError, VideoError, is_utf8, quote, shorten
from vreason_agent.model import Part, Role, TextPart, ToolCall, Turn

Blocks = Sequence[str | Mapping[str, Any]]
READ_TYPES = ("text", "text-plain", "json", "tool_result")
"""Types of blocks that a model reads in any message, beside images and videos."""
_CALLS = ("tool_use", "tool_call", "tool_call_chunk")
_THINKING = ("reasoning", "thinking", "redacted_thinking")


def readable_blocks(message: AIMessage) -> list[str | Mapping[str, Any]]:
    """Return the blocks of a message that a model reads.

    Texts and pictures are as they are. A refusal and a call that is not whole become texts, as they were written, also
    where only the message's own fields have them. Thinking, calls, and what a provider ran on its server are left out.
    """
    content = blocks_of(message)
    found = [read for block in content for read in _read(block, message)]
    kinds = [block.get("type") for block in content if isinstance(block, Mapping)]
    if "invalid_tool_call" not in kinds:
        found += [_text(_as_written(call)) for call in message.invalid_tool_calls]
    refusal = message.additional_kwargs.get("refusal")
    return [*found, _text(refusal)] if isinstance(refusal, str) and refusal and "refusal" not in kinds else found


def tool_calls_of(message: AIMessage) -> tuple[ToolCall, ...]:
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
        yield _text(_as_written(block))
    elif kind in _CALLS:
        if not (message.tool_calls or message.invalid_tool_calls) and _arguments(block) is None:
            yield _text(_as_written(block))
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


def _as_written(call: Mapping[str, Any]) -> str:
    args = call.get("input", call.get("args")) or ""
    return CALL_BEGIN + text_as_written(call.get("name"), args if isinstance(args, str) else json.dumps(args))


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


PLAIN_LOADER = FrameLoader()
Wording = Callable[[str, Sequence[str]], str]
_ROLES: tuple[tuple[type[BaseMessage], Role], ...] = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (ToolMessage, "tool"),
)
_NOT_FOR_THE_MODEL = ("reasoning", "thinking", "redacted_thinking", "tool_use", "tool_call", "non_standard")


@dataclass(frozen=True)
class Conversation:
    """A conversation ready for a model.

    Attributes:
        turns: One per run of messages of the same role, and one per result of a tool.
        evidence: What was looked at, in order.
        options: Options of the last question that had any.
    """

    turns: tuple[Turn, ...]
    evidence: tuple[FrameEvidence, ...]
    options: tuple[str, ...]


def read_messages(
    messages: Sequence[BaseMessage], *, wording: Wording, loader: FrameLoader = PLAIN_LOADER
) -> Conversation:
    """Convert messages, and read the frames that they refer to.

    Args:
        messages: Not empty.
        wording: Makes the prompt of a question and its options, for text blocks made by `video_question`.
        loader: Reads the frames.

    Raises:
        ConfigError: If there is no message, or one holds a block or a role that is not known.
        VideoError: If a file is missing or cannot be decoded.
    """
    if not messages:
        msg = "messages=[]: there is nothing to answer; pass at least one message, e.g. HumanMessage('...')"
        raise ConfigError(msg)
    reader = _Reader(wording, loader, evidence=[], options=())
    turns = [turn for message in messages for turn in reader.turns(message)]
    return Conversation(tuple(_merged(turns)), tuple(reader.evidence), reader.options)


@dataclass
class _Reader:
    wording: Wording
    loader: FrameLoader
    evidence: list[FrameEvidence]
    options: tuple[str, ...]

    def turns(self, message: BaseMessage) -> Iterator[Turn]:
        """Convert one message; the results of tools that Anthropic's form puts into it are turns of their own."""
        content = readable_blocks(message) if isinstance(message, AIMessage) else blocks_of(message)
        is_tools = isinstance(message, ToolMessage)
        results: list[Any] = [] if is_tools else [block for block in content if _type(block) == "tool_result"]
        for block in results:
            yield Turn("tool", tuple(self._parts(block.get("content") or "", is_foreign=True)))
        others = [block for block in content if block not in results]
        parts = self._parts(others, is_foreign=is_tools or isinstance(message, AIMessage))
        calls = tool_calls_of(message) if isinstance(message, AIMessage) else ()
        if parts or calls or not results:
            yield Turn(_role(message), tuple(parts), calls)

    def _parts(self, content: str | Sequence[Any], *, is_foreign: bool) -> list[Part]:
        """Read blocks; of a foreign one, which a tool or another model wrote, what cannot be read is JSON.

        It stays in the thread, so an error here would end that for good.
        """
        blocks = [content] if isinstance(content, str) else content
        return [part for block in blocks for part in (self._foreign_part(block) if is_foreign else self._part(block))]

    def _foreign_part(self, block: str | Mapping[str, Any]) -> list[Part]:
        if isinstance(block, str):
            return self._part(_as_utf8(block))
        if "text" in block and block.get("type") in ("text", "text-plain"):
            return self._part({**block, "text": _as_utf8(str(block["text"] or ""))})
        if "json" in block and block.get("type") == "json":
            return [_json_part(block["json"])]
        try:
            return self._media_part(block)
        except (ConfigError, VideoError) as exc:
            row = {name: shorten(value) if isinstance(value, str) else value for name, value in block.items()}
            return [_json_part({**row, "unreadable": shorten(str(exc))})]

    def _part(self, block: str | Mapping[str, Any]) -> list[Part]:
        if isinstance(block, str):
            return [_text_part(block)] if block else []
        if block.get("type") in ("text", "text-plain"):
            text = self._text(block)
            return [_text_part(text)] if text else []
        if block.get("type") == "json":
            return [_json_part(block.get("json"))]
        if block.get("type") in _NOT_FOR_THE_MODEL:
            return []
        if not is_media(block):
            kind = quote(block.get("type"))
            msg = f"a content block of type {kind} cannot be read; use 'text', 'image' or 'video' blocks"
            raise ConfigError(msg)
        return self._media_part(block)

    def _media_part(self, block: Mapping[str, Any]) -> list[Part]:
        media = read_block(block)
        if media is None:
            return [_json_part(block)]
        part, seen = self.loader.load(media)
        self.evidence.append(seen)
        return [part, TextPart(seen.subtitles)] if seen.subtitles else [part]

    def _text(self, block: Mapping[str, Any]) -> str:
        extras = block.get("extras") or {}
        if not extras.get("question"):
            return str(block.get("text") or "")
        self.options = tuple(extras.get("options") or ())
        return self.wording(extras["question"], self.options)


def _json_part(value: Any) -> TextPart:
    return TextPart(_as_utf8(json.dumps(value, ensure_ascii=False, default=str)))


def _as_utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _text_part(text: str) -> TextPart:
    if not is_utf8(text):
        clean = "text.encode('utf-8', 'replace').decode()"
        msg = f"a text holds what cannot be written as UTF-8: {quote(text[:40])}; clean it, such as with {clean}"
        raise ConfigError(msg)
    return TextPart(text)


def _role(message: BaseMessage) -> Role:
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    msg = f"a message of type {quote(message.type)} cannot be read; use system, human, ai and tool messages"
    raise ConfigError(msg)


def _type(block: Any) -> Any:
    return block.get("type") if isinstance(block, Mapping) else None


def _merged(turns: Iterable[Turn]) -> Iterator[Turn]:
    """Join turns of one role; the results of tools stay apart."""
    for role, run in groupby(turns, key=lambda turn: turn.role):
        if role == "tool":
            yield from run
            continue
        same = [*run]
        parts = _joined(part for turn in same for part in turn.parts)
        yield Turn(role, tuple(parts), tuple(call for turn in same for call in turn.calls))


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Join neighboring texts with a line break, so that no template runs two messages into one word."""
    joined: list[Part] = []
    for part in parts:
        if joined and isinstance(part, TextPart) and isinstance(joined[-1], TextPart):
            joined[-1] = TextPart(f"{joined[-1].text}\n{part.text}")
        else:
            joined.append(part)
    return joined
