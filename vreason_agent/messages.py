"""The public names of messages: one question about one video, and messages as a model reads them."""

from __future__ import annotations

from vreason_agent.chat.conversation import Conversation, Wording, read_messages
from vreason_agent.question import video_question

__all__ = ["Conversation", "Wording", "read_messages", "video_question"]
