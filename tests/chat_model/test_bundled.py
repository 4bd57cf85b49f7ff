"""The chat model and the graph on the bundled weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from tests.chat_model.test_chat_model import added_up, without_ids
from vreason_agent.chat_model import ChatVReason
from vreason_agent.graphs import AcceptPolicy, Ladder, build_video_qa_graph
from vreason_agent.messages import video_question
from vreason_agent.model.source import bundled_folder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
    ),
]
NUM_TOKENS = 24


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A demo clip's path, question and options."""
    path, clip = tmp_path_factory.mktemp("demo") / "demo.mp4", make_clip(seed=0)
    write_clip(path, clip)
    return {"video": str(path), "question": clip.questions[0].question, "options": ["red", "green", "blue", "yellow"]}


@pytest.fixture(scope="module")
def chat_model() -> ChatVReason:
    return ChatVReason(device="cpu", max_tokens=NUM_TOKENS, num_frames=4, max_frames=4, reuse=False)


def message(asked: dict[str, Any]) -> HumanMessage:
    return video_question(asked["video"], asked["question"], options=asked["options"])


def plain(anything: Any) -> dict[str, Any]:
    """Leave wall times out, which differ from run to run."""
    found: dict[str, Any] = json.loads(
        json.dumps(without_ids(anything)),
        object_hook=lambda item: {**item, "seconds": None} if "seconds" in item else item,
    )
    return found


def test_invoke_and_stream_agree_token_for_token(chat_model: ChatVReason, asked: dict[str, Any]) -> None:
    invoked, streamed = chat_model.invoke([message(asked)]), added_up(chat_model.stream([message(asked)]))
    assert plain(invoked) == plain(streamed)
    assert invoked.response_metadata["model_name"] == "tiny"
    assert invoked.response_metadata["confidence"]["signals"]["mean_entropy"] > 0
    assert "toy_model" in invoked.response_metadata["confidence"]["warnings"]


def test_the_prompt_is_the_one_the_bundled_model_was_trained_on(chat_model: ChatVReason, asked: dict[str, Any]) -> None:
    engine = chat_model.engine
    turns = chat_model._conversation([message(asked)]).turns
    prompt = engine.tokenizer.decode(engine.encoder.encode(turns).input_ids)
    assert prompt.endswith(
        f"<|vision_end|>\n{asked['question']}\nOptions: red / green / blue / yellow<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompt.count("<|vision_start|>") == 2


def test_no_stop_text_leaks_also_across_tokens(chat_model: ChatVReason, asked: dict[str, Any]) -> None:
    logprobs = chat_model.invoke([message(asked)], logprobs=True).response_metadata["logprobs"]["content"]
    text = "".join(entry["token"] for entry in logprobs)
    at = len(logprobs[0]["token"] + logprobs[1]["token"])
    stop = text[at - 1 : at + 1]  # from the end of one token into the next
    stopped = chat_model.invoke([message(asked)], stop=[stop])
    assert stopped.response_metadata["finish_reason"] == "stop"
    streamed = added_up(chat_model.stream([message(asked)], stop=[stop]))
    for found in (stopped, streamed):
        assert stop not in str(found.content) + str(found.additional_kwargs.get("reasoning_content", ""))


def test_the_graph_runs_on_it_with_a_checkpointer(chat_model: ChatVReason, asked: dict[str, Any]) -> None:
    graph = build_video_qa_graph(
        chat_model, ladder=Ladder(4, 8), policy=AcceptPolicy(min_entropy_drop=1.0), checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    result = graph.invoke(asked, config)  # type: ignore[call-overload]
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [4, 8, 8]
    assert [decision["action"] for decision in result["decisions"]] == ["more_frames", "retry", "abstain"]
    assert result["attempts"][0]["tokens"]["output"] <= NUM_TOKENS
    assert result["confidence"]["evidence"]["num_frames"] in (4, 8)
    json.dumps(graph.get_state(config).values)


def test_tokens_reach_the_graphs_messages_stream_before_the_end(chat_model: ChatVReason, asked: dict[str, Any]) -> None:
    graph = build_video_qa_graph(chat_model, ladder=Ladder(4, 4), policy=AcceptPolicy(max_retries=0))
    events: list[tuple[str, Any]] = list(graph.stream(asked, stream_mode=["messages", "custom"]))  # type: ignore[call-overload]
    kinds = [mode if mode == "messages" else data["event"] for mode, data in events]
    assert kinds[0] == "sample"
    assert kinds.count("messages") > 3
    assert kinds.index("messages") < kinds.index("answer") < kinds.index("judge")


def test_a_file_that_is_overwritten_is_looked_at_again(chat_model: ChatVReason, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    hashes = []
    for seed in (0, 1):
        write_clip(path, make_clip(seed=seed))
        turns = chat_model._conversation([video_question(path, "?")]).turns
        hashes.append(turns[0].parts[0].images.mean())  # type: ignore[union-attr]
    assert hashes[0] != hashes[1]
