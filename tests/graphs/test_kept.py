"""Whether a run is kept, and so whether a human is asked: as LangGraph really hands a checkpointer to a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from vreason_agent.graphs import Budget, ScriptedChatModel, ScriptedReply, build_video_qa_graph


class Outer(TypedDict, total=False):
    video: str
    question: str
    answer: str | None
    decision: Any


def one_look(*, checkpointer: Any = None) -> Any:
    model = ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.1})])
    return build_video_qa_graph(model, budget=Budget(max_attempts=1), checkpointer=checkpointer)


def within(*, checkpointer: Any) -> Any:
    """Return a graph of somebody else's that has the question graph as its only node."""
    builder = StateGraph(Outer)
    builder.add_node("ask", one_look())
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=checkpointer)


@pytest.mark.parametrize(
    ("build", "is_kept"),
    [
        (lambda: one_look(checkpointer=InMemorySaver()), True),
        (lambda: one_look(), False),
        (lambda: within(checkpointer=InMemorySaver()), True),
        (lambda: within(checkpointer=None), False),
    ],
    ids=["own checkpointer", "none", "a parent's", "a parent without"],
)
async def test_a_human_is_asked_where_a_checkpointer_keeps_the_run_and_only_there(
    clip: Path, build: Any, is_kept: bool
) -> None:
    config: Any = {"configurable": {"thread_id": "1"}}
    asked = {"video": str(clip), "question": "?"}
    for graph, result in [((g := build()), g.invoke(asked, config)), ((g := build()), await g.ainvoke(asked, config))]:
        assert ("__interrupt__" in result) == is_kept
        if is_kept:
            result = graph.invoke(Command(resume={"action": "stop"}), config)
        assert ("a human said stop" in result["decision"]["reason"]) == is_kept
