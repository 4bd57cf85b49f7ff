"""LangChain messages to the turns that a model reads.

Consecutive messages of one role become one turn, because chat templates want roles to alternate. What an assistant
thought is left out, as the templates of reasoning models do. This module knows no sampling rule and no confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from vreason_agent.chat.looking import FrameDefaults, Look, look_at
from vreason_agent.chat.media import read_block
from vreason_agent.errors import ConfigError
from vreason_agent.model import Part, Role, TextPart, Turn
from vreason_agent.question import video_question

__all__ = ["Conversation", "Wording", "read_messages", "video_question"]

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
        turns: One per run of messages of the same role.
        looks: What was looked at, in order.
        options: Options of the last question that had any.
    """

    turns: tuple[Turn, ...]
    looks: tuple[Look, ...]
    options: tuple[str, ...]


def read_messages(messages: Sequence[BaseMessage], *, defaults: FrameDefaults, wording: Wording) -> Conversation:
    """Convert messages, and read the frames that they refer to.

    Args:
        messages: Not empty.
        defaults: Frames to look at where a block does not say.
        wording: Makes the prompt of a question and its options, for text blocks made by `video_question`.

    Raises:
        ConfigError: If there is no message, or one holds a block or a role that is not known.
        VideoError: If a file is missing or cannot be decoded.
    """
    if not messages:
        msg = "messages=[]: there is nothing to answer; pass at least one message, e.g. HumanMessage('...')"
        raise ConfigError(msg)
    reader = _Reader(defaults, wording, looks=[], options=())
    turns = []
    for role, run in groupby(messages, key=_role):
        parts = [part for message in run for part in reader.parts(message)]
        turns.append(Turn(role, tuple(_joined(parts))))
    return Conversation(tuple(turns), tuple(reader.looks), reader.options)


@dataclass
class _Reader:
    defaults: FrameDefaults
    wording: Wording
    looks: list[Look]
    options: tuple[str, ...]

    def parts(self, message: BaseMessage) -> list[Part]:
        content = [message.content] if isinstance(message.content, str) else message.content
        return [part for block in content for part in self._part(block)]

    def _part(self, block: str | Mapping[str, Any]) -> list[Part]:
        if isinstance(block, str):
            return [TextPart(block)]
        if block.get("type") in ("text", "text-plain"):
            return [TextPart(self._text(block))]
        if block.get("type") in _NOT_FOR_THE_MODEL:
            return []
        media = read_block(block)
        if media is None:
            msg = f"a content block of type {block.get('type')!r} cannot be read; use 'text', 'image' or 'video' blocks"
            raise ConfigError(msg)
        part, look = look_at(media, self.defaults)
        self.looks.append(look)
        return [part]

    def _text(self, block: Mapping[str, Any]) -> str:
        extras = block.get("extras") or {}
        if "question" not in extras:
            return str(block.get("text", ""))
        self.options = tuple(extras.get("options") or ())
        return self.wording(extras["question"], self.options)


def _role(message: BaseMessage) -> Role:
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    msg = f"a message of type {message.type!r} cannot be read; use system, human, ai and tool messages"
    raise ConfigError(msg)


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Join neighboring texts with a line break, so that no template runs two messages into one word."""
    joined: list[Part] = []
    for part in parts:
        if joined and isinstance(part, TextPart) and isinstance(joined[-1], TextPart):
            joined[-1] = TextPart(f"{joined[-1].text}\n{part.text}")
        else:
            joined.append(part)
    return joined
