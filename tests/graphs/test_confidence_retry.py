"""The middleware in real `create_agent` apps, with a scripted model."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse
from langchain_core.language_models import FakeListChatModel
from langgraph.errors import GraphInterrupt

from vreason_agent.errors import DependencyError
from vreason_agent.graphs import ScriptedChatModel, ScriptedReply, confidence_retry
from vreason_agent.graphs.confidence_retry import ConfidenceRetryMiddleware

ASKED: Any = {"messages": [("human", "Which color?")]}


def script(*values: float | None) -> ScriptedChatModel:
    replies = [ScriptedReply(f"answer {i}", {"answer_probability": value}) for i, value in enumerate(values)]
    return ScriptedChatModel(replies=replies)


def app(model: Any, **options: Any) -> Any:
    return create_agent(model, tools=[], middleware=[ConfidenceRetryMiddleware(**options)])


def test_a_confident_answer_is_kept_at_once() -> None:
    model = script(0.9)
    final = app(model).invoke(ASKED)["messages"][-1]
    assert (final.text, len(model.requests)) == ("answer 0", 1)
    record = final.response_metadata["confidence_retry"]
    assert record["reason"] == "answer_probability 0.900 >= 0.5 at try 1 of 1"


def test_a_doubtful_answer_is_asked_again_with_each_variation_in_turn() -> None:
    model = script(0.2, 0.3, 0.8)
    final = app(model).invoke(ASKED)["messages"][-1]
    assert final.text == "answer 2"
    assert [kwargs.get("seed") for _, kwargs in model.requests] == [None, 1, 2]
    assert final.response_metadata["confidence_retry"]["values"] == [0.2, 0.3, 0.8]


def test_the_best_answer_is_kept_where_none_is_enough_and_said_not_to_be() -> None:
    messages = app(script(0.2, 0.4, 0.3)).invoke(ASKED)["messages"]
    record = messages[-1].response_metadata["confidence_retry"]
    assert (messages[-1].text, len(messages)) == ("answer 1", 2)
    assert (record["chosen"], record["is_enough"]) == (1, False)
    assert "0.400 < 0.5 at try 2 of 3" in record["reason"]
    assert json.loads(json.dumps(record)) == record


def test_another_signal_and_threshold_can_be_set() -> None:
    replies = [ScriptedReply("red", {"entropy_drop": drop}) for drop in (0.1, 0.6)]
    model = ScriptedChatModel(replies=replies)
    app(model, signal="entropy_drop", min_value=0.6, variations=({"vreason": "off"},)).invoke(ASKED)
    assert [kwargs.get("vreason") for _, kwargs in model.requests] == [None, "off"]


def test_an_answer_that_was_not_measured_is_left_alone() -> None:
    final = app(FakeListChatModel(responses=["red", "blue"])).invoke(ASKED)["messages"][-1]
    assert final.text == "red"
    assert "confidence_retry" not in final.response_metadata


def test_a_worse_second_answer_does_not_replace_the_first_and_all_is_recorded() -> None:
    for second in (
        ScriptedReply("unmeasured", {}),
        ScriptedReply(None, {"answer_probability": 0.9}),
        ScriptedReply("less sure", {"answer_probability": 0.1}),
    ):
        model = ScriptedChatModel(replies=[ScriptedReply("first", {"answer_probability": 0.2}), second])
        final = app(model, variations=({"seed": 1},)).invoke(ASKED)["messages"][-1]
        record = final.response_metadata["confidence_retry"]
        assert (final.text, record["chosen"]) == ("first", 0)
        assert record["values"] == [0.2, second.signals.get("answer_probability")]
        assert record["reason"] == "answer_probability 0.200 < 0.5 at try 1 of 2"


def test_an_unmeasured_second_answer_does_not_end_the_tries() -> None:
    final = app(script(0.2, None, 0.9)).invoke(ASKED)["messages"][-1]
    assert final.text == "answer 2"
    assert final.response_metadata["confidence_retry"]["values"] == [0.2, None, 0.9]


def test_an_answer_that_cannot_be_read_is_asked_again_and_replaced_by_any_that_can() -> None:
    replies = [ScriptedReply(None, {"answer_probability": 0.9}), ScriptedReply("red")]
    final = app(ScriptedChatModel(replies=replies), variations=({"seed": 1},)).invoke(ASKED)["messages"][-1]
    record = final.response_metadata["confidence_retry"]
    assert (final.text, record["is_enough"]) == ("red", False)
    assert record["reason"] == "answer_probability was not measured at try 2 of 2"


def test_where_no_try_can_be_read_the_record_says_so() -> None:
    replies = [ScriptedReply(None, {"answer_probability": 0.9})] * 2
    final = app(ScriptedChatModel(replies=replies), variations=({"seed": 1},)).invoke(ASKED)["messages"][-1]
    record = final.response_metadata["confidence_retry"]
    assert (record["is_enough"], record["reason"]) == (False, "no answer could be read at try 1 of 2")


def test_a_further_try_can_be_told_something_that_the_conversation_does_not_keep() -> None:
    model = script(0.2, 0.9)
    messages = app(model, variations=({"prompt": "Look again.", "seed": 1},)).invoke(ASKED)["messages"]
    assert [[message.text for message in asked] for asked, _ in model.requests] == [
        ["Which color?"],
        ["Which color?", "Look again."],
    ]
    assert [kwargs.get("seed") for _, kwargs in model.requests] == [None, 1]
    assert [message.text for message in messages] == ["Which color?", "answer 1"]


def test_without_langchain_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.agents.middleware", None)
    with pytest.raises(DependencyError, match=r"pip install 'vreason-agent\[agents\]'"):
        importlib.reload(confidence_retry)


class Refusing(ScriptedChatModel):
    """A provider that takes no seed."""

    raised: type[Exception] = ValueError

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if "seed" in kwargs:
            raise self.raised("no seed, please")
        return super()._generate(messages, *args, **kwargs)


async def test_a_further_try_that_fails_leaves_the_answer_that_is_there() -> None:
    model = Refusing(replies=[ScriptedReply("red", {"answer_probability": 0.2})] * 2)
    for final in (app(model).invoke(ASKED)["messages"][-1], (await app(model).ainvoke(ASKED))["messages"][-1]):
        record = final.response_metadata["confidence_retry"]
        assert (final.text, record["values"]) == ("red", [0.2, None, None])
        assert record["errors"] == [None, "ValueError", "ValueError"]


def test_errors_that_are_not_to_be_ignored_and_interrupts_end_the_run() -> None:
    replies = [ScriptedReply("red", {"answer_probability": 0.2})]
    with pytest.raises(ValueError, match="no seed, please"):
        app(Refusing(replies=replies), ignored_errors=(KeyError,)).invoke(ASKED)
    answer = script(0.2).invoke("?")
    responses = iter([ModelResponse(result=[answer])])

    def handler(request: ModelRequest[Any]) -> ModelResponse[Any]:
        for response in responses:
            return response
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        ConfidenceRetryMiddleware().wrap_model_call(ModelRequest(model=script(), messages=[]), handler)
