"""A tool-calling agent that looks at videos: LangChain's `create_agent` (extra `agents`) with this package's tools.

This module only wires; which tools there are is the tools' own business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from ..errors import DependencyError
from ..tools import ToolLimits, video_tools
from ..video import DEFAULT_OPTIONS, ReadOptions

try:
    from langchain.agents import create_agent
    from langchain.agents.middleware import AgentMiddleware
except ImportError as exc:
    msg = "the agent needs langchain, which cannot be loaded: pip install 'vreason-agent[agents]'"
    raise DependencyError(msg) from exc

SYSTEM_PROMPT = (
    "You answer questions about videos with the tools you are given. Look before you answer: get an overview first, "
    "then look closely at the times that matter. Say what you saw and when; say so if it cannot be seen."
)


def build_video_agent(
    chat_model: BaseChatModel,
    video: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    *,
    segment_model: BaseChatModel | None = None,
    limits: ToolLimits | None = None,
    read_options: ReadOptions = DEFAULT_OPTIONS,
    system_prompt: str = SYSTEM_PROMPT,
    middleware: Sequence[AgentMiddleware[Any, Any, Any]] = (),
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the agent, to be given `{"messages": [("human", "...")]}`.

    Args:
        chat_model: Calls the tools; it must support tool calling, and read images in tool messages.
        video: A path, or paths by the names that the model shall use; it can name no other file.
        segment_model: Answers `ask_segment`, for a `chat_model` that sees no video; without one that tool is left out.
        limits: Sizes and counts of one tool call.
        read_options: How the tools read files; `segment_model` has its own field of this name.
        system_prompt: What the agent is told first.
        middleware: LangChain's own or yours, such as `ConfidenceRetryMiddleware()`.
        checkpointer: Where the caller wants conversations kept; by default nowhere.

    Raises:
        ConfigError: `video` names no file.
        VideoError: A file is missing or cannot be opened.
    """
    tools = video_tools(
        video,
        limits=limits,
        chat_model=segment_model,
        read_options=read_options,
    )
    return create_agent(
        chat_model,
        tools=tools,
        system_prompt=system_prompt,
        middleware=list(middleware),
        checkpointer=checkpointer,
        name="video_agent",
    )
