"""The public name of the chat model and its warnings; `vreason_agent.chat` has them."""

from __future__ import annotations

from vreason_agent.chat import ChatVReason, SchemaWarning, UntrainedFormatWarning, interrupted_by

__all__ = ["ChatVReason", "SchemaWarning", "UntrainedFormatWarning", "interrupted_by"]
