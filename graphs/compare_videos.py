"""One question over several videos: each is asked on its own, the answers are ranked by a signal of confidence.

    open → look (one per video, at once) → rank

This module only wires: how a video is asked is the video question graph's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import add
from typing import Annotated, Any, NotRequired

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.channels import EphemeralValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite, Send, StreamMode
from typing_extensions import TypedDict

from ..confidence import check_ranking_signal, ranking_key
from ..errors import ConfigError, VideoDecodeError, VideoError, VideoNotFoundError, VideoTooLargeError, quote
from .context import read_task, read_videos, refuse_unknown_input

_MODES: list[StreamMode] = ["custom", "values"]
_ERRORS = {kind.__name__: kind for kind in (VideoError, VideoNotFoundError, VideoDecodeError, VideoTooLargeError)}


class Failure(TypedDict):
    """The name of an error of this package, and its message, which ends in what to do."""

    name: str
    message: str


class CompareInput(TypedDict):
    """Paths or `file://` URLs by name, and the question that is put to each.

    The channels are ephemeral: a second comparison on the same thread inherits nothing from the first.
    """

    videos: Annotated[dict[str, str], EphemeralValue]
    question: Annotated[str, EphemeralValue]
    options: NotRequired[Annotated[list[str], EphemeralValue]]


class Ranked(TypedDict):
    """What one video gave: `value` is what it is ranked by; `answer` is `None` where the graph abstained.

    `error` is `None` but for a video that could not be read: all else is `None` then, and `reason` is its message.
    """

    name: str
    answer: str | None
    choice: str | None
    best_guess: dict[str, Any] | None
    value: float | None
    confidence: dict[str, Any] | None
    reason: str
    error: Failure | None


class CompareOutput(TypedDict):
    """Answers first, then abstentions, each from the best by `ranked_by` down; then what could not be read.

    Within answers and abstentions, what was not measured comes last.
    """

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

    tasks: list[LookTask]
    looks: Annotated[list[Ranked], add]
    ranking: list[Ranked]
    ranked_by: str


@dataclass(frozen=True)
class CompareNodes:
    """The nodes, with the graph that asks one video and the raw signal that ranks."""

    video_qa: CompiledStateGraph[Any, Any, Any, Any]
    rank_by: str

    def open(self, state: CompareState) -> dict[str, Any]:
        """Check what is asked and forget what an earlier comparison on this thread left."""
        asked, videos = read_task(state), read_videos(state)
        return {"looks": Overwrite([]), "tasks": [{"name": name, "video": videos[name], **asked} for name in videos]}

    def spread(self, state: CompareState) -> list[Send]:
        """Return one task per video."""
        return [Send("look", task) for task in state["tasks"]]

    def look(self, task: LookTask, config: RunnableConfig) -> dict[str, Any]:
        """Ask one video; one that cannot be read is an answer too."""
        result: Mapping[str, Any] = {}
        try:
            for chunk in self.video_qa.stream(_make_input(task), config, stream_mode=_MODES):
                result = _read_chunk(task, chunk) or result
        except VideoError as exc:
            return _report_failure(task, exc)
        return self._rank_result(task, result)

    async def alook(self, task: LookTask, config: RunnableConfig) -> dict[str, Any]:
        """Ask one video without blocking the event loop, as `look` does."""
        result: Mapping[str, Any] = {}
        try:
            async for chunk in self.video_qa.astream(_make_input(task), config, stream_mode=_MODES):
                result = _read_chunk(task, chunk) or result
        except VideoError as exc:
            return _report_failure(task, exc)
        return self._rank_result(task, result)

    def rank(self, state: CompareState) -> dict[str, Any]:
        """Order the answers.

        Raises:
            VideoError: If no video could be read.
        """
        failures = {look["name"]: look["error"] for look in state["looks"] if look["error"] is not None}
        if len(failures) == len(state["looks"]):
            raise _to_error(failures)
        return {"ranking": sorted(state["looks"], key=self._order), "ranked_by": self.rank_by}

    def _rank_result(self, task: LookTask, result: Mapping[str, Any]) -> dict[str, Any]:
        given = {key: result[key] for key in ("answer", "choice", "best_guess", "confidence")}
        value, reason = result["confidence"]["signals"].get(self.rank_by), result["decision"]["reason"]
        return {"looks": [{"name": task["name"], **given, "value": value, "reason": reason, "error": None}]}

    def _order(self, look: Ranked) -> tuple[bool, bool, bool, float]:
        value = look["value"]
        best_first = 0.0 if value is None else -ranking_key(self.rank_by, value)
        return look["error"] is not None, look["answer"] is None, value is None, best_first


def build_compare_videos_graph(
    video_qa: CompiledStateGraph[Any, Any, Any, Any],
    *,
    rank_by: str = "answer_probability",
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[CompareState, None, CompareInput, CompareOutput]:
    """Return the compiled graph.

    Args:
        video_qa: Asks one video: `build_video_qa_graph(chat_model, ...)` without a checkpointer of its own. How videos
            are read (`read_options`) is set there.
        rank_by: Raw signal by name; of an entropy the lowest comes first. It compares answers of one model only.
        checkpointer: Where the caller wants runs kept; by default nowhere.

    Returns:
        A graph to be given `{"videos": {name: path, ...}, "question": ..., "options": [...]}`. A video that cannot be
        read comes last in the ranking, with its error; only where none can be read is that error raised. Its `custom`
        stream tells what that of `video_qa` does, each with the `name` of the video, and `failed` with the `error`.

    Raises:
        ConfigError: If `video_qa` is no graph, or `rank_by` cannot rank answers.
    """
    nodes = CompareNodes(_check_graph(video_qa), check_ranking_signal(rank_by))
    builder = StateGraph(CompareState, input_schema=CompareInput, output_schema=CompareOutput)
    builder.add_node("open", nodes.open)
    builder.add_node("look", RunnableLambda(nodes.look, nodes.alook, name="look"))
    builder.add_node("rank", nodes.rank)
    builder.add_edge(START, "open")
    builder.add_conditional_edges("open", nodes.spread, ["look"])
    builder.add_edge("look", "rank")
    builder.add_edge("rank", END)
    graph = builder.compile(checkpointer=checkpointer, name="compare_videos")
    refuse_unknown_input(graph, ("videos", "question", "options"))
    return graph


def _check_graph(video_qa: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    if not isinstance(video_qa, CompiledStateGraph):
        msg = f"video_qa={quote(video_qa)} is no graph; give one, e.g. build_video_qa_graph(chat_model)"
        raise ConfigError(msg)
    return video_qa


def _make_input(task: LookTask) -> dict[str, Any]:
    return {"video": task["video"], "question": task["question"], "options": task["options"]}


def _read_chunk(task: LookTask, chunk: Any) -> Mapping[str, Any] | None:
    """Pass an event of the inner graph on under the video's name, or return the state that it has come to."""
    mode, part = chunk
    if mode == "custom":
        get_stream_writer()({"name": task["name"], **part})
    return part if mode == "values" else None


def _report_failure(task: LookTask, exc: VideoError) -> dict[str, Any]:
    name = next(kind.__name__ for kind in type(exc).__mro__ if kind.__name__ in _ERRORS)
    error = Failure(name=name, message=str(exc))
    get_stream_writer()({"name": task["name"], "event": "failed", "error": error})
    nothing = dict.fromkeys(("answer", "choice", "best_guess", "value", "confidence"))
    return {"looks": [{"name": task["name"], **nothing, "reason": error["message"], "error": error}]}


def _to_error(failures: Mapping[str, Failure]) -> VideoError:
    """Return what to raise where every video failed: an error of their common kind, with what each one says."""
    names = {failure["name"] for failure in failures.values()}
    kind = _ERRORS[names.pop()] if len(names) == 1 else VideoError
    return kind("; ".join(f"video {quote(name)}: {failure['message']}" for name, failure in failures.items()))
