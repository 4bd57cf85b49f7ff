"""One question over several videos: each is asked on its own, the answers are ranked by their confidence.

    open → look (one per video, at once) → rank

This module only wires: how a video is asked is the video question graph's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import add
from typing import Annotated, Any, NotRequired

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite, Send
from typing_extensions import TypedDict

from ..errors import ConfigError
from ..question import check_question


class CompareInput(TypedDict):
    """Paths or `file://` URLs by name, and the question that is put to each."""

    videos: dict[str, str]
    question: str
    options: NotRequired[list[str]]


class Ranked(TypedDict):
    """What one video gave: `value` is what it is ranked by; an abstention keeps its best guess apart."""

    name: str
    answer: str | None
    choice: str | None
    best_guess: dict[str, Any] | None
    value: float | None
    confidence: dict[str, Any]
    reason: str


class CompareOutput(TypedDict):
    """Answers first, abstentions after them, each by falling `ranked_by`; what was not measured comes last."""

    ranking: list[Ranked]
    ranked_by: str


class LookTask(TypedDict):
    """What is asked about one of the videos."""

    name: str
    video: str
    question: str
    options: list[str]


class CompareState(CompareInput):
    """Everything between the nodes; `looks` grows."""

    looks: Annotated[list[Ranked], add]
    ranking: list[Ranked]
    ranked_by: str


@dataclass(frozen=True)
class CompareNodes:
    """The nodes, with the graph that asks one video and the raw signal that ranks."""

    video_qa: CompiledStateGraph[Any, Any, Any, Any]
    rank_by: str

    def open(self, state: CompareState) -> dict[str, Any]:
        """Check the question and forget what an earlier comparison on this thread left."""
        check_question(state["question"], state.get("options") or [])
        if not state["videos"]:
            msg = "videos={}: there is nothing to compare; give paths by name, e.g. {'front door': 'door.mp4'}"
            raise ConfigError(msg)
        return {"looks": Overwrite([])}

    def spread(self, state: CompareState) -> list[Send]:
        """Return one task per video."""
        task = {"question": state["question"], "options": state.get("options") or []}
        return [Send("look", {"name": name, "video": video, **task}) for name, video in state["videos"].items()]

    def look(self, task: LookTask, config: RunnableConfig) -> dict[str, Any]:
        """Ask one video."""
        return self._looked(task["name"], self.video_qa.invoke(_asked(task), config))

    async def alook(self, task: LookTask, config: RunnableConfig) -> dict[str, Any]:
        """Ask one video without blocking the event loop."""
        return self._looked(task["name"], await self.video_qa.ainvoke(_asked(task), config))

    def rank(self, state: CompareState) -> dict[str, Any]:
        """Order the answers."""
        return {"ranking": sorted(state["looks"], key=_order), "ranked_by": self.rank_by}

    def _looked(self, name: str, result: Mapping[str, Any]) -> dict[str, Any]:
        given = {key: result[key] for key in ("answer", "choice", "best_guess", "confidence")}
        value = result["confidence"]["signals"].get(self.rank_by)
        return {"looks": [{"name": name, **given, "value": value, "reason": result["decision"]["reason"]}]}


def build_compare_videos_graph(
    video_qa: CompiledStateGraph[Any, Any, Any, Any],
    *,
    rank_by: str = "answer_probability",
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[CompareState, None, CompareInput, CompareOutput]:
    """Return the compiled graph.

    Args:
        video_qa: Asks one video: `build_video_qa_graph(chat_model, ...)` without a checkpointer of its own. How videos
            are read (`allowed_roots`, `isolate`, `backend`) is set there.
        rank_by: Raw signal by name, one of which higher means more settled. It compares answers of one model only.
        checkpointer: Where the caller wants runs kept; by default nowhere.
    """
    nodes = CompareNodes(video_qa, rank_by)
    builder = StateGraph(CompareState, input_schema=CompareInput, output_schema=CompareOutput)
    builder.add_node("open", nodes.open)
    builder.add_node("look", RunnableLambda(nodes.look, nodes.alook, name="look"))
    builder.add_node("rank", nodes.rank)
    builder.add_edge(START, "open")
    builder.add_conditional_edges("open", nodes.spread, ["look"])
    builder.add_edge("look", "rank")
    builder.add_edge("rank", END)
    return builder.compile(checkpointer=checkpointer, name="compare_videos")


def _asked(task: LookTask) -> dict[str, Any]:
    return {"video": task["video"], "question": task["question"], "options": task["options"]}


def _order(ranked: Ranked) -> tuple[bool, bool, float]:
    value = ranked["value"]
    return (ranked["answer"] is None, value is None, -(value or 0.0))
