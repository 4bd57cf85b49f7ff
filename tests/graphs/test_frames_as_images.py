"""A chat model that knows no video block gets the frames as pictures, each after its time."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import Field

from tests.frame_numbers import needs_frame_numbers
from vreason_agent.graphs import AcceptPolicy, Ladder, ScriptedChatModel, ScriptedReply, asking, build_video_qa_graph
from vreason_agent.graphs.asking import frames_for
from vreason_agent.graphs.compare_videos import build_compare_videos_graph
from vreason_agent.tools import ToolLimits
from vreason_agent.video import Isolation, ReadOptions, read_frames
from vreason_agent.video.pyav_decoder import PyAVDecoder

ONE_LOOK = AcceptPolicy(min_agreeing=1, max_retries=0, abstain=False)


class OpenAIStyle(BaseChatModel):
    """Converts what it is asked as a server's client does, and keeps it."""

    sent: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "somebody-elses"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.sent.append(convert_to_openai_messages(messages, pass_through_unknown_blocks=False))
        return ChatResult(generations=[ChatGeneration(message=AIMessage("red"))])


def ask(video: Path, model: Any, **build: Any) -> Any:
    build = {"policy": ONE_LOOK, "ladder": Ladder(4, 8), **build}
    asked: Any = {"video": str(video), "question": "Which color?", "options": ["red", "blue"]}
    return build_video_qa_graph(model, **build).invoke(asked)


def images(sent: Any) -> list[np.ndarray]:
    urls = [block["image_url"]["url"] for block in sent[0]["content"] if block["type"] == "image_url"]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    data = [np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8) for url in urls]
    return [np.asarray(cv2.imdecode(each, cv2.IMREAD_COLOR))[:, :, ::-1] for each in data]


def texts(sent: Any) -> list[str]:
    return [block["text"] for block in sent[0]["content"] if block["type"] == "text"]


@needs_frame_numbers
def test_any_chat_model_gets_each_frame_after_its_time(clip: Path) -> None:
    model = OpenAIStyle()
    result = ask(clip, model)
    assert texts(model.sent[0]) == [
        "t = 0.000 s (frame 0)",
        "t = 1.000 s (frame 8)",
        "t = 4.000 s (frame 32)",
        "t = 5.000 s (frame 40)",
        "Which color?\nOptions:\nA. red\nB. blue",
    ]
    assert [len(images(sent)) for sent in model.sent] == [4, 8]
    assert [block["type"] for block in model.sent[0][0]["content"]][:2] == ["text", "image_url"]
    assert [attempt["frames_as"] for attempt in result["attempts"]] == ["images", "images"]
    assert result["attempts"][0]["timestamps_seconds"] == [0.0, 1.0, 4.0, 5.0]

    shown, read = images(model.sent[0]), read_frames(clip, [0.0, 1.0, 4.0, 5.0]).images
    distances = [[float(np.abs(one.astype(int) - other).mean()) for other in read] for one in shown]
    assert [row.index(min(row)) for row in distances] == [0, 1, 2, 3]


def test_pictures_are_bounded_in_pixels_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (900, 1600, 3), dtype=np.uint8))
    by_default, smaller = OpenAIStyle(), OpenAIStyle()
    ask(path, by_default)
    assert texts(by_default.sent[0]) == ["Which color?\nOptions:\nA. red\nB. blue"], "an image has no time"
    ask(path, smaller, image_limits=ToolLimits(max_side_px=64, max_image_bytes=4096))
    assert max(images(by_default.sent[0])[0].shape) <= 640
    assert len(json.dumps(by_default.sent[0])) < 140_000
    assert images(smaller.sent[0])[0].shape == (36, 64, 3)


def test_no_pixels_are_kept_and_a_paused_run_reads_them_again(clip: Path) -> None:
    model = OpenAIStyle()
    graph: Any = build_video_qa_graph(model, policy=ONE_LOOK, ladder=Ladder(4, 4), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"video": str(clip), "question": "?"}, config, interrupt_before=["answer"])
    graph.invoke(None, config)
    states = [json.dumps(each.values) for each in graph.get_state_history(config)]
    assert len(images(model.sent[0])) == 4
    assert max(map(len, states)) < 8_000
    assert not any("base64" in state for state in states)


async def test_async_frames_are_read_off_the_event_loop(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def noting(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread())
        return read_frames(*args, **kwargs)

    monkeypatch.setattr(asking, "read_frames", noting)
    model = OpenAIStyle()
    graph: Any = build_video_qa_graph(model, policy=ONE_LOOK, ladder=Ladder(4, 4))
    await asyncio.wait_for(graph.ainvoke({"video": str(clip), "question": "?"}), 60)
    assert len(images(model.sent[0])) == 4
    assert threads
    assert threading.main_thread() not in threads


def test_frames_are_read_in_another_process_where_isolated(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("decoded here"))
    model = OpenAIStyle()
    ask(clip, model, read_options=ReadOptions(isolation=Isolation()), ladder=Ladder(4, 4))
    assert len(images(model.sent[0])) == 4


def test_a_model_that_reads_video_blocks_gets_the_file_unless_told_otherwise(clip: Path) -> None:
    model = ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.9})] * 3)
    as_video, as_images = ask(clip, model), ask(clip, model, frames_as="images")
    assert [result["attempts"][0]["frames_as"] for result in (as_video, as_images)] == ["video", "images"]
    graph: Any = build_video_qa_graph(model, policy=ONE_LOOK)
    graph.invoke({"video": str(clip), "question": "?"}, context={"frames_as": "images"})
    contents: list[Any] = [messages[0].content for messages, _ in model.requests]
    kinds = [[block["type"] for block in content] for content in contents]
    assert kinds == [["video", "text"], ["text", "image"] * 4 + ["text"], ["text", "image"] * 4 + ["text"]]


def test_what_wraps_a_model_is_looked_through() -> None:
    class Local(OpenAIStyle):
        @property
        def _llm_type(self) -> str:
            return "vreason-chat"

    assert frames_for(Local().bind(seed=1).with_retry()) == "video"
    assert frames_for(OpenAIStyle().bind(seed=1)) == "images"


def test_compared_videos_are_sent_as_pictures_too(clip: Path) -> None:
    model = OpenAIStyle()
    compare: Any = build_compare_videos_graph(build_video_qa_graph(model, policy=ONE_LOOK, ladder=Ladder(4, 4)))
    compare.invoke({"videos": {"one": str(clip), "two": str(clip)}, "question": "?"})
    assert [len(images(sent)) for sent in model.sent] == [4, 4]
