"""The graph that answers a question about a video and tries again with more frames while the answer is not settled.

    open → sample → answer → judge → accept
                ↑_______________|  → abstain
                                   → ask_human → any of these

`judge` sends it back to `sample` for more frames (or the same ones, for a retry). Before a limit of the budget is
exceeded, `ask_human` interrupts the run where a checkpointer keeps it. This module only wires.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ..tools.arguments import ToolLimits
from ..video import DEFAULT_OPTIONS, ReadOptions
from .asking import FramesAs, check_chat_model, check_image_limits
from .budget import Budget
from .context import VideoQAContext, refuse_unknown_input, rules_of
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
    max_risk: float | None = None,
    frames_as: FramesAs | None = None,
    image_limits: ToolLimits | None = None,
    read_options: ReadOptions = DEFAULT_OPTIONS,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[VideoQAState, VideoQAContext, VideoQAInput, VideoQAOutput]:
    """Return the compiled graph.

    Args:
        chat_model: Answers; any LangChain chat model that reads pictures. Its confidence is read from
            `response_metadata`: the record of a `ChatVReason`, or a server's `logprobs`.
        ladder: Frame counts to try; by default 4, 8, 16, 32. A `ChatVReason` that allows fewer is raised to them here;
            a ladder that a run brings along cannot raise it.
        policy: When an answer is good enough.
        budget: What one question may cost.
        frame_policy: Where an attempt's frames are: spread evenly by default, else shot by shot, or zoomed in.
        max_risk: Bound on the share of wrong answers among those given: the policy's own `max_risk`, for short.
        frames_as: `"video"` sends the file's path and the times, for the chat model to read; `"images"` reads the
            frames here and sends them as base64 JPEG, each after its time. `None` sends a video to a chat model that
            reads it (`ChatVReason`, or one with a true `reads_video_blocks`), to any other images.
        image_limits: `max_side_px` and `max_image_bytes` of such an image; 640 px and 100,000 bytes by default. Lower
            is cheaper and shows less.
        read_options: How the graph reads videos: allowed folders, limits, isolation, decoder. A `ChatVReason` has the
            same field, for what it reads: set both where others than you name videos.
        checkpointer: Where the caller wants runs kept; by default nowhere.

    Returns:
        A graph to `invoke`, `stream`, `ainvoke` or `astream` with `{"video": ..., "question": ..., "options": [...]}`.
        A run's `context` may bring its own rules (`VideoQAContext`); its `custom` stream reports the frames of each
        attempt, its entropy, and what was decided.

    Raises:
        ConfigError: If there is no such `frames_as`, or an argument is of another type.
    """
    if max_risk is not None:
        policy = replace(policy or AcceptPolicy(), max_risk=max_risk)
    rules = VideoQAContext(ladder=ladder, policy=policy, budget=budget, frame_policy=frame_policy, frames_as=frames_as)
    given = rules_of(rules)
    asked = _raise_ceiling(check_chat_model(chat_model), given.get("ladder", Ladder()).max_frames)
    nodes = VideoQANodes(asked, read_options, check_image_limits(image_limits), **given)
    graph = _add_nodes(nodes).compile(checkpointer=checkpointer, name="video_qa")
    refuse_unknown_input(graph, ("video", "question", "options", "start_seconds", "stop_seconds"))
    return graph


def _add_nodes(nodes: VideoQANodes) -> StateGraph[VideoQAState, VideoQAContext, VideoQAInput, VideoQAOutput]:
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
    return builder


def _raise_ceiling(chat_model: Any, max_frames: int) -> Any:
    """Return a chat model whose ceiling on the frames of a message, where it has one, is not below `max_frames`."""
    ceiling = getattr(chat_model, "max_frames", None)
    if not isinstance(chat_model, BaseChatModel) or not isinstance(ceiling, int) or ceiling >= max_frames:
        return chat_model
    return chat_model.model_copy(update={"max_frames": max_frames})
