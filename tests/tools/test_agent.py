"""The tools in an agent: the example of the package's docstring, with a scripted model and a checkpointer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

import vreason_agent.tools
from tests.frame_numbers import needs_frame_numbers
from tests.tools.frames import EXAMPLES, all_tools, images_of, message, shown_index

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("video_info", {}),
    ("sample_frames", {"timestamps_seconds": [99.0]}),
    ("sample_frames", {"timestamps_seconds": [2.0]}),
    ("sample_frames", {"video": "/etc/passwd"}),
    ("zoom", {"left": 0.0, "top": 0.0, "right": 0.5, "bottom": 0.5, "timestamps_seconds": [2.0]}),
    ("contact_sheet", {"num_frames": 4}),
]


class ScriptedModel(BaseChatModel):
    """Calls the tools in the order of `CALLS`, then answers."""

    bound: list[str] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        self.bound = [tool.name for tool in tools]
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        step = sum(isinstance(message, ToolMessage) for message in messages)
        if step == len(CALLS):
            reply = AIMessage("a red square")
        else:
            name, args_ = CALLS[step]
            reply = AIMessage("", tool_calls=[{"name": name, "args": args_, "id": f"call-{step}"}])
        return ChatResult(generations=[ChatGeneration(message=reply)])


def docstring_example() -> Callable[..., Any]:
    """`build_app` as the docstring of `vreason_agent.tools` has it."""
    (code,) = re.findall(r"```python\n(.*?)```", vreason_agent.tools.__doc__ or "", flags=re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    build_app: Callable[..., Any] = namespace["build_app"]
    return build_app


@needs_frame_numbers
def test_the_example_app_runs_every_tool_and_its_conversation_comes_back_from_the_checkpointer(clip: Path) -> None:
    app = docstring_example()(ScriptedModel(), clip, InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    app.invoke({"messages": [("human", "What is in the upper left?")]}, config)
    messages: list[BaseMessage] = app.get_state(config).values["messages"]
    assert messages[-1].content == "a red square"
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [result.status for result in results] == ["success", "error", "success", "error", "success", "success"]
    assert [shown_index(image) for image in images_of(results[2].content)] == [20]
    assert "outside 'front door': use times from 0 to below 4.000 seconds" in results[1].content
    assert "video='/etc/passwd': Input should be 'front door'" in results[3].content
    artifacts = [result.artifact for result in results if result.status == "success"]
    assert [artifact["video"] for artifact in artifacts] == ["front door"] * 4
    assert artifacts[1]["frame_indices"] == [20]
    assert artifacts[3]["frame_indices"] == [0, 10, 20, 30]


def test_artifacts_are_plain_data_without_pixels(clip: Path) -> None:
    serde = JsonPlusSerializer()
    for tool in all_tools(clip):
        result = message(tool, **EXAMPLES[tool.name])
        assert serde.loads_typed(serde.dumps_typed(result)) == result
        assert json.loads(json.dumps(result.artifact)) == result.artifact
        assert len(json.dumps(result.artifact)) < 2000
        assert not any(isinstance(value, bytes | np.ndarray) for value in result.artifact.values())


async def test_the_example_app_runs_async(clip: Path) -> None:
    app = docstring_example()(ScriptedModel(), clip)
    state = await app.ainvoke({"messages": [("human", "What is in the upper left?")]})
    assert state["messages"][-1].content == "a red square"
