"""The graph that answers a question about a video and looks again while the answer is not settled.

    open → sample → answer → judge → accept
                ↑_______________|  → abstain
                                   → ask_human → any of these

`judge` sends it back to `sample` for more frames (or the same ones, for a retry). Before a limit of the budget is
exceeded, `ask_human` interrupts the run where a checkpointer keeps it. This module only wires.
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ..video import Backend, Isolate, Reading, Roots
from .budget import Budget
from .context import VideoQAContext
from .frame_policy import FramePolicy
from .nodes import VideoQANodes, route
from .policy import AcceptPolicy, Ladder
from .state import VideoQAInput, VideoQAOutput, VideoQAState


def build_video_qa_graph(
    chat_model: BaseChatModel,
    *,
    ladder: Ladder | None = None,
    policy: AcceptPolicy | None = None,
    budget: Budget | None = None,
    frame_policy: FramePolicy | None = None,
    allowed_roots: Roots | None = None,
    isolate: Isolate = False,
    backend: Backend = "opencv",
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[VideoQAState, VideoQAContext, VideoQAInput, VideoQAOutput]:
    """Return the compiled graph.

    Args:
        chat_model: Answers; any LangChain chat model whose messages carry `response_metadata["confidence"]`.
        ladder: Frame counts to try; by default 4, 8, 16, 32. A `ChatVReason` that allows fewer is raised to them here;
            a ladder that a run brings along cannot raise it.
        policy: When an answer is good enough.
        budget: What one question may cost.
        frame_policy: Where the frames of a look are: nested pairs by default, else shot by shot, or zoomed in.
        allowed_roots: Folders that a video must lie in, links resolved; a `ChatVReason` has the same field, for what
            it reads. Set both where others than you name videos; `None` allows any file that the process can read.
        isolate: Probe videos in a process of their own, as `ChatVReason(isolate=True)` reads them.
        backend: What probes them: `"opencv"`, or `"av"` beside `ChatVReason(backend="av")`.
        checkpointer: Where the caller wants runs kept; by default nowhere.

    Returns:
        A graph to `invoke`, `stream`, `ainvoke` or `astream` with `{"video": ..., "question": ..., "options": [...]}`.
        A run's `context` may bring its own rules (`VideoQAContext`); its `custom` stream tells the rung, the frames and
        the entropy so far.
    """
    rules = (ladder or Ladder(), policy or AcceptPolicy(), budget or Budget(), frame_policy or FramePolicy())
    nodes = VideoQANodes(_allowing(chat_model, rules[0].max_frames), *rules, Reading(allowed_roots, isolate, backend))
    builder = StateGraph(VideoQAState, VideoQAContext, input_schema=VideoQAInput, output_schema=VideoQAOutput)
    builder.add_node("open", nodes.open)
    builder.add_node("sample", nodes.sample)
    builder.add_node("answer", RunnableLambda(nodes.answer, nodes.aanswer, name="answer"))
    builder.add_node("judge", nodes.judge)
    builder.add_node("ask_human", nodes.ask_human)
    builder.add_node("accept", nodes.accept)
    builder.add_node("abstain", nodes.abstain)
    builder.add_edge(START, "open")
    builder.add_edge("open", "sample")
    builder.add_edge("sample", "answer")
    builder.add_edge("answer", "judge")
    builder.add_conditional_edges("judge", nodes.route_judged)
    builder.add_conditional_edges("ask_human", route)
    builder.add_edge("accept", END)
    builder.add_edge("abstain", END)
    return builder.compile(checkpointer=checkpointer, name="video_qa")


def _allowing(chat_model: BaseChatModel, max_frames: int) -> BaseChatModel:
    """Return a chat model whose ceiling on the frames of a message, where it has one, is not below `max_frames`."""
    ceiling = getattr(chat_model, "max_frames", None)
    if not isinstance(chat_model, BaseChatModel) or not isinstance(ceiling, int) or ceiling >= max_frames:
        return chat_model
    return chat_model.model_copy(update={"max_frames": max_frames})
