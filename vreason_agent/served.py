"""The video question graph over the default model, as `langgraph.json` names it for LangGraph servers.

Importing this module is cheap, and so is calling it: weights load with the first question. It knows no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


def video_qa() -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph over `VREASON_MODEL`, else the bundled model; a server brings its own checkpointer."""
    from vreason_agent.chat_model import ChatVReason
    from vreason_agent.graphs import build_video_qa_graph

    return build_video_qa_graph(ChatVReason())
