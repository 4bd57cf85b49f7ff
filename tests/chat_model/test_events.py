"""LangChain's event protocol, which puts the chunks of an answer together in another way than their sum."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from tests.chat_model.fakes import FakeEngine
from tests.chat_model.test_chat_model import added_up
from tests.chat_model.test_tools import CALL, OTHER, Scripted, loaded, note, scripted, without_identity, zoom
from vreason_agent.chat_model import ChatVReason
from vreason_agent.model.source import bundled_folder

__all__ = ["loaded", "scripted"]
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
needs_weights = pytest.mark.skipif(
    not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
)
SAYS = [f"<think>I see</think>Look.{CALL}\n{OTHER}", "<think>I see</think><answer>It is red.</answer>"]


class Tokens(BaseCallbackHandler):
    """Keeps the log-probabilities that it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.told += kwargs["logprobs"]["content"]


def outlined(message: Any) -> dict[str, Any]:
    calls = [without_identity(call) for call in message.tool_calls]
    blocks = [without_identity(block) for block in message.content_blocks]
    metadata = {key: value for key, value in message.response_metadata.items() if key != "output_version"}
    metadata["vreason"] = {key: value for key, value in metadata["vreason"].items() if key != "seconds"}
    kept = {"usage": message.usage_metadata, "more": message.additional_kwargs, "metadata": metadata}
    return {"blocks": blocks, "calls": calls, **kept}


@needs_weights
@pytest.mark.parametrize("says", [pytest.param(SAYS[0], marks=pytest.mark.slow), SAYS[1]], ids=["calls", "answer"])
async def test_events_make_the_message_of_invoke(scripted: Scripted, says: str) -> None:
    """They once kept the log-probabilities of the last chunk only."""
    scripted.says = says
    asked: Any = ChatVReason(model="scripted", top_logprobs=2, max_tokens=200, output_version="v1").bind_tools(
        [zoom, note]
    )
    expected = outlined(asked.invoke("?"))
    assert len(expected["metadata"]["logprobs"]["content"]) == expected["usage"]["output_tokens"] > 10
    assert outlined(asked.stream_events("?", version="v3").output) == expected
    assert outlined(await (await asked.astream_events("?", version="v3")).output) == expected
    assert outlined(added_up(asked.stream("?"))) == expected
    assert outlined(asked.invoke("?", stream=True)) == expected


async def test_callbacks_are_told_each_tokens_logprobs_once(engine: FakeEngine) -> None:
    asked: Any = ChatVReason(logprobs=True)
    expected = asked.invoke("?").response_metadata["logprobs"]["content"]
    tokens, tokens_async = Tokens(), Tokens()
    assert asked.stream_events("?", {"callbacks": [tokens]}, version="v3").output.text == "red"
    assert (await (await asked.astream_events("?", {"callbacks": [tokens_async]}, version="v3")).output).text == "red"
    assert tokens.told == tokens_async.told == expected


def test_logprobs_stand_on_the_chunks_that_follow_their_tokens(engine: FakeEngine) -> None:
    chunks = [*ChatVReason(logprobs=True).stream("?")]
    assert len([chunk for chunk in chunks if chunk.response_metadata["logprobs"]["content"]]) > 3
    assert all("logprobs" not in chunk.response_metadata for chunk in ChatVReason().stream("?"))
