"""`ask_segment` puts a question about a range to the caller's chat model and tells how settled it was."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.language_models import FakeListChatModel
from langchain_core.tools import ToolException

from tests.tools.frames import message, tool_named
from vreason_agent.chat.langchain_errors import GenerationTimeoutError, PromptTooLongError
from vreason_agent.errors import GenerationError, VideoDecodeError
from vreason_agent.graphs import ScriptedChatModel, ScriptedReply
from vreason_agent.tools import video_tools

SURE = ScriptedReply("red", {"entropy_drop": 0.9, "peak_entropy": 1.0, "final_entropy": 0.1}, choice="A")


def blocks(model: ScriptedChatModel) -> Any:
    """What the first request consists of."""
    (message,), _ = model.requests[0]
    return message.content


def scripted(*replies: ScriptedReply) -> ScriptedChatModel:
    return ScriptedChatModel(replies=list(replies))


def test_the_model_is_asked_about_pairs_of_frames_in_the_range(clip: Path) -> None:
    model = scripted(SURE)
    args = {"question": "Color?", "options": ["red", "blue"], "start_seconds": 1.0, "stop_seconds": 3.0}
    result = message(tool_named("ask_segment", {"door": clip}, chat_model=model), **args, num_frames=5)
    video, text = blocks(model)
    assert video == {"type": "video", "url": str(clip), "extras": {"timestamps": [1.0, 1.5, 2.0, 2.5]}}
    assert text["text"] == "Color?\nOptions:\nA. red\nB. blue"
    assert result.artifact["timestamps_seconds"] == [1.0, 1.5, 2.0, 2.5]


def test_the_answer_comes_with_its_confidence_in_words_and_as_data(clip: Path) -> None:
    result = message(tool_named("ask_segment", clip, chat_model=scripted(SURE)), question="Color?")
    assert result.content.startswith("Answer: red\n")
    assert "from a peak of 1.00 to 0.10 nats" in result.content
    assert (result.artifact["answer"], result.artifact["choice"]) == ("red", "A")
    assert result.artifact["confidence"]["signals"]["entropy_drop"] == 0.9


def test_a_model_without_confidence_is_quoted_and_said_to_be_unmeasured(clip: Path) -> None:
    model = FakeListChatModel(responses=["Blue."])
    result = message(tool_named("ask_segment", clip, chat_model=model), question="Color?", options=["red", "blue"])
    assert result.content.startswith("Answer: blue\n")
    assert "Nothing was measured" in result.content
    assert result.artifact["choice"] == "B"


def test_an_answer_that_cannot_be_read_is_said_to_be_none(clip: Path) -> None:
    result = message(tool_named("ask_segment", clip, chat_model=scripted(ScriptedReply(None))), question="Color?")
    assert result.content.startswith("It gave no answer that could be read.")
    assert result.artifact["answer"] is None


def test_what_cannot_be_asked_is_refused_before_the_model_is_asked(clip: Path) -> None:
    model = scripted(SURE)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"question": " "}, "ask something"),
        ({"question": "?", "options": ["red"]}, "give at least two texts"),
        ({"question": "?", "start_seconds": 9.0}, "give an earlier start"),
        ({"question": "?", "stop_seconds": 9.0}, "use at most 4.000"),
    ]
    for args, remedy in refused:
        with pytest.raises(ToolException, match=remedy):
            message(tool_named("ask_segment", clip, chat_model=model), **args)
    assert model.requests == []


def test_an_image_is_asked_about_without_times(still: Path) -> None:
    model = scripted(SURE)
    message(tool_named("ask_segment", still, chat_model=model), question="Color?")
    assert blocks(model)[0]["extras"]["timestamps"] == [0.0]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (GenerationTimeoutError("timeout=5 s passed"), "its time ran out; ask with fewer frames, .* raise its timeout"),
        (ModelTimeoutError("another provider's"), "its time ran out; ask with fewer frames, .* raise its timeout"),
        (PromptTooLongError("needs 9000 tokens"), "the frames do not fit into its context; ask with fewer frames"),
        (GenerationError("out of memory"), r"it failed \(GenerationError\); try fewer frames, .* the model failed"),
    ],
)
async def test_a_question_that_was_not_answered_is_no_video_that_cannot_be_read(
    clip: Path, caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    """A timeout once was told as a video that cannot be read."""

    class Failing(ScriptedChatModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise error

    tool = tool_named("ask_segment", {"door": clip}, chat_model=Failing(replies=[]))
    with pytest.raises(ToolException, match=f"^the video model did not answer about 'door': {told}") as caught:
        message(tool, question="Color?")
    assert caught.value.__cause__ is error
    assert str(error) in caplog.text
    with pytest.raises(ToolException, match=told):
        await tool.ainvoke({"question": "Color?"})


def test_a_video_that_the_model_cannot_read_is_said_to_be_none(clip: Path) -> None:
    class Unreadable(ScriptedChatModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise VideoDecodeError("no frame")

    tool = tool_named("ask_segment", clip, chat_model=Unreadable(replies=[]))
    with pytest.raises(ToolException, match=r"try other times or fewer frames; .* this video cannot be read"):
        message(tool, question="Color?")


def test_callbacks_of_the_agent_reach_the_model(clip: Path) -> None:
    class Seen(BaseCallbackHandler):
        runs: list[Any]

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.runs.append(kwargs["parent_run_id"])

    seen = Seen()
    seen.runs = []
    tool_named("ask_segment", clip, chat_model=scripted(SURE)).invoke({"question": "?"}, {"callbacks": [seen]})
    assert [run is not None for run in seen.runs] == [True]


async def test_async_it_asks_the_model_by_its_async_side(clip: Path) -> None:
    threads: list[threading.Thread] = []

    class Native(ScriptedChatModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            threads.append(threading.current_thread())
            return self._generate(*args, **kwargs)

    tool = tool_named("ask_segment", clip, chat_model=Native(replies=[SURE]))
    assert (await tool.ainvoke({"question": "Color?"})).startswith("Answer: red")
    assert threads == [threading.main_thread()]


def test_without_a_chat_model_there_is_no_such_tool(clip: Path) -> None:
    assert "ask_segment" not in [tool.name for tool in video_tools(clip)]
