"""Claims about `batch` and `abatch`: shared forward passes, and otherwise what calls one by one give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate

from tests.chat_model.fakes import FakeEngine
from tests.chat_model.test_chat_model import without_ids
from vreason_agent.chat_model import ChatVReason
from vreason_agent.errors import ConfigError, VideoNotFoundError
from vreason_agent.messages import video_question
from vreason_agent.model import VideoLanguageModel
from vreason_agent.model.source import bundled_folder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
    ),
]
FRAMES = (2, 4, 8, 4, 2)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[HumanMessage]:
    """Five questions about five clips, on 2 to 8 frames each."""
    asked = []
    for seed, num_frames in enumerate(FRAMES):
        path, clip = tmp_path_factory.mktemp("clips") / f"{seed}.mp4", make_clip(seed)
        write_clip(path, clip)
        asked.append(video_question(str(path), clip.questions[0].question, num_frames=num_frames))
    return asked


@pytest.fixture(scope="module")
def chat_model() -> ChatVReason:
    return ChatVReason(device="cpu", max_tokens=24, reuse=False)


@pytest.fixture
def rounds(chat_model: ChatVReason, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each call of the engine."""
    found: list[int] = []
    generate = VideoLanguageModel.generate

    def counted(self: VideoLanguageModel, requests: Any, **how: Any) -> Any:
        found.append(len(requests))
        return generate(self, requests, **how)

    monkeypatch.setattr(VideoLanguageModel, "generate", counted)
    return found


@pytest.fixture
def passes(chat_model: ChatVReason) -> Iterator[list[int]]:
    """Rows of each forward pass of the model."""
    found: list[int] = []

    def note(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        found.append(len(kwargs["input_ids"] if kwargs.get("input_ids") is not None else kwargs["inputs_embeds"]))

    with chat_model.engine.hf_model.register_forward_pre_hook(note, with_kwargs=True):
        yield found


def plain(message: AIMessage) -> dict[str, Any]:
    """A message without what differs from run to run: identities, and wall times."""
    found: dict[str, Any] = json.loads(
        json.dumps(without_ids(message), default=str),
        object_hook=lambda item: {**item, "seconds": None} if "seconds" in item else item,
    )
    return found


def alike(batched: dict[str, Any], alone: dict[str, Any]) -> bool:
    """Whether two messages say the same; numbers may differ in their last digits."""
    if isinstance(alone, dict):
        return batched.keys() == alone.keys() and all(alike(batched[key], alone[key]) for key in alone)
    if isinstance(alone, list):
        return len(batched) == len(alone) and all(map(alike, batched, alone))
    return batched == (pytest.approx(alone, rel=1e-3, abs=2e-4) if isinstance(alone, float) else alone)


def test_a_batch_of_different_videos_says_what_calls_one_by_one_say_in_as_many_passes_as_the_longest(
    chat_model: ChatVReason, questions: list[HumanMessage], rounds: list[int], passes: list[int]
) -> None:
    alone, counts = [], []
    for question in questions:
        alone.append(plain(chat_model.invoke([question])))
        counts.append(len(passes))
        passes.clear()
    batched = [plain(message) for message in chat_model.batch([[question] for question in questions])]
    assert rounds == [1, 1, 1, 1, 1, 5]
    assert len(passes) == max(counts) < sum(counts) / 2
    assert passes[0] == 5
    assert all(map(alike, batched, alone))
    passes.clear()
    awaited = asyncio.run(chat_model.abatch([[question] for question in questions]))
    assert [plain(message) for message in awaited] == batched
    assert len(passes) == max(counts)


@pytest.mark.parametrize(("fields", "config"), [({"batch_size": 2}, None), ({}, {"max_concurrency": 2})])
def test_no_more_rows_go_together_than_allowed(
    chat_model: ChatVReason, questions: list[HumanMessage], rounds: list[int], fields: dict, config: Any
) -> None:
    limited = chat_model.model_copy(update=fields)
    assert len(limited.batch([[question] for question in questions], config)) == 5
    assert max(rounds) == 2
    assert sum(rounds) == 5
    rounds.clear()
    asyncio.run(limited.abatch([[question] for question in questions], config))
    assert (max(rounds), sum(rounds)) == (2, 5)


def test_an_input_that_fails_fails_alone(
    chat_model: ChatVReason, questions: list[HumanMessage], rounds: list[int]
) -> None:
    missing = video_question("/no/such/clip.mp4", "What appears first?")
    inputs: list[Any] = [[questions[0]], [missing], [questions[1]]]
    first, error, last = chat_model.batch(inputs, return_exceptions=True)
    assert isinstance(error, VideoNotFoundError)
    assert isinstance(first, AIMessage)
    assert isinstance(last, AIMessage)
    assert rounds == [2]
    with pytest.raises(VideoNotFoundError):
        chat_model.batch(inputs)


def test_a_prompt_that_is_too_long_is_told_from_the_others(
    chat_model: ChatVReason, questions: list[HumanMessage]
) -> None:
    too_long = HumanMessage("red circle " * 4000)
    answer, error = chat_model.batch([[questions[0]], [too_long]], return_exceptions=True)
    assert isinstance(answer, AIMessage)
    assert "longer context" in str(error)


def test_answers_from_a_cache_hold_no_other_call_up(
    chat_model: ChatVReason, questions: list[HumanMessage], rounds: list[int]
) -> None:
    cached = chat_model.model_copy(update={"cache": InMemoryCache()})
    inputs: list[Any] = [[question] for question in questions[:3]]
    cached.batch(inputs[:2])
    rounds.clear()
    answers = cached.batch(inputs)
    assert len(answers) == 3
    assert rounds == [1]


def test_each_input_keeps_its_callbacks_and_arguments(
    chat_model: ChatVReason, questions: list[HumanMessage], rounds: list[int]
) -> None:
    class Ends(BaseCallbackHandler):
        num_ends = 0

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.num_ends += 1

    ends = Ends()
    inputs: list[Any] = [[question] for question in questions[:3]]
    short = chat_model.bind(max_tokens=3).batch(inputs, {"callbacks": [ends]})
    assert ends.num_ends == 3
    assert [answer.usage_metadata and answer.usage_metadata["output_tokens"] for answer in short] == [3, 3, 3]
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | chat_model
    assert len(chain.batch([{"question": "What appears first?"}, {"question": "What appears last?"}])) == 2
    assert rounds == [3, 2]


def test_streaming_inside_a_batch_gives_the_same(
    chat_model: ChatVReason, questions: list[HumanMessage], rounds: list[int], tmp_path: Path
) -> None:
    inputs: list[Any] = [[question] for question in questions[:2]]
    whole = chat_model.batch(inputs)
    streamed = chat_model.model_copy(update={"streaming": True}).batch(inputs)
    assert [answer.content for answer in streamed] == [answer.content for answer in whole]
    assert rounds == [2, 2]


def test_a_batch_of_nothing_gives_nothing(engine: FakeEngine) -> None:
    assert ChatVReason().batch([]) == asyncio.run(ChatVReason().abatch([])) == []
    assert engine.requests == []


@pytest.mark.parametrize("batch_size", [0, -1, "x"])
def test_a_wrong_batch_size_per_call_is_told_as_in_the_constructor(engine: FakeEngine, batch_size: Any) -> None:
    with pytest.raises(ConfigError, match="ChatVReason batch_size="):
        ChatVReason().batch(["?", "?"], batch_size=batch_size)
