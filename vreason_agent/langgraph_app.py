"""The video question graph over the default model, as `langgraph.json` names it for LangGraph servers.

Importing this module is cheap; weights load with the first question. It knows no server.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


async def video_qa() -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph over `VREASON_MODEL`, else the bundled model; a server brings its own checkpointer.

    A server calls this in its event loop, where importing torch would block every other request.
    """
    return await asyncio.to_thread(_build)


def _build() -> CompiledStateGraph[Any, Any, Any, Any]:
    from vreason_agent.chat_model import ChatVReason
    from vreason_agent.graphs import build_video_qa_graph

    return build_video_qa_graph(ChatVReason())
