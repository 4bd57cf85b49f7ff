"""`ChatVReason` and what it is made of: LangChain messages in, LangChain messages out.

`model` has the class, `fields` its arguments; `conversation`, `media` and `frame_loader` read messages;
`output_format`, `splitter` and `tool_calls` shape what is written; `response` makes messages of it. This package knows
no graph and no tool.
"""

from __future__ import annotations

from vreason_agent.chat.conversation import Conversation, read_messages
from vreason_agent.chat.langchain_errors import GenerationTimeoutError, PromptTooLongError
from vreason_agent.chat.model import ChatVReason, SchemaWarning, UntrainedFormatWarning
from vreason_agent.chat.streaming import interrupted_by

__all__ = [
    "ChatVReason",
    "Conversation",
    "GenerationTimeoutError",
    "PromptTooLongError",
    "SchemaWarning",
    "UntrainedFormatWarning",
    "interrupted_by",
    "read_messages",
]
