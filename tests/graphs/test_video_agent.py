"""The agent over real tools, its model scripted."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langgraph.checkpoint.memory import InMemorySaver

from vreason_agent.errors import DependencyError, VideoError, VideoTooLargeError
from vreason_agent.graphs import ScriptedChatModel, ScriptedReply, build_video_qa_graph, video_agent
from vreason_agent.graphs.confidence_retry import ConfidenceRetryMiddleware
from vreason_agent.graphs.video_agent import build_video_agent
from vreason_agent.tools import video_tools
from vreason_agent.video import Isolation, Limits, ReadOptions
from vreason_agent.video.pyav_decoder import PyAVDecoder

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("video_info", {}),
    ("sample_frames", {"timestamps_seconds": [99.0]}),
    ("sample_frames", {"timestamps_seconds": [2.0]}),
    ("ask_segment", {"question": "Which color?", "start_seconds": 1.0, "stop_seconds": 3.0}),
]
ASKED: Any = {"messages": [("human", "What is seen?")]}


class Caller(BaseChatModel):
    """Calls the tools in the order of `CALLS`, then answers."""

    bound: list[str] = []  # noqa: RUF012
    asked: list[Any] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "caller"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        self.bound = [tool.name for tool in tools]
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.asked.append(messages)
        step = sum(isinstance(message, ToolMessage) for message in messages)
        reply = AIMessage("red noise")
        if step < len(CALLS):
            name, args_ = CALLS[step]
            reply = AIMessage("", tool_calls=[{"name": name, "args": args_, "id": f"call-{step}"}])
        return ChatResult(generations=[ChatGeneration(message=reply)])


def agent(clip: Path, model: Caller, **options: Any) -> Any:
    segment_model = ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.9})])
    return build_video_agent(model, {"door": clip}, segment_model=segment_model, **options)


def test_it_calls_tools_recovers_from_an_error_and_answers(clip: Path) -> None:
    model = Caller(asked=[])
    messages = agent(clip, model, middleware=[ConfidenceRetryMiddleware()]).invoke(ASKED)["messages"]
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [result.status for result in results] == ["success", "error", "success", "success"]
    assert "use times from 0 to below 8.000" in results[1].text
    assert results[3].text.startswith("Answer: red")
    assert messages[-1].text == "red noise"
    assert {"video_info", "contact_sheet", "sample_frames", "zoom", "ask_segment"} <= set(model.bound)
    assert isinstance(model.asked[0][0], SystemMessage)


async def test_async_with_a_checkpointer_the_conversation_is_kept_without_the_callers_path(clip: Path) -> None:
    app = agent(clip, Caller(asked=[]), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await app.ainvoke(ASKED, config)
    messages = app.get_state(config).values["messages"]
    assert messages[-1].text == "red noise"
    assert all(str(clip.parent) not in str(message.content) for message in messages)


def test_an_isolated_agent_decodes_nothing_in_its_own_process(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_, **__: pytest.fail("a file was opened in this process"))
    options = ReadOptions([clip.parent], isolation=Isolation())
    messages = agent(clip, Caller(asked=[]), read_options=options).invoke(ASKED)["messages"]
    assert [item.status for item in messages if isinstance(item, ToolMessage)] == ["success", "error"] + ["success"] * 2
    with pytest.raises(VideoError, match="move it there or allow its folder"):
        agent(clip, Caller(asked=[]), read_options=ReadOptions([], isolation=Isolation()))


def test_agent_tools_and_graph_refuse_a_file_over_their_limits(clip: Path) -> None:
    options, model = ReadOptions(limits=Limits(max_seconds=0.5)), ScriptedChatModel(replies=[])
    graph: Any = build_video_qa_graph(model, read_options=options)
    for read in (
        lambda: agent(clip, Caller(asked=[]), read_options=options),
        lambda: video_tools(clip, read_options=options),
        lambda: graph.invoke({"video": str(clip), "question": "?"}),
    ):
        with pytest.raises(VideoTooLargeError, match=r"max_seconds=0\.5; cut the part you need"):
            read()


def test_without_langchain_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.agents", None)
    with pytest.raises(DependencyError, match=r"pip install 'vreason-agent\[agents\]'"):
        importlib.reload(video_agent)
