"""What stands in an assistant's message, sent back in a later turn: each block by what the engine is given of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from tests.chat_model.fakes import FakeEngine
from vreason_agent.chat_model import ChatVReason
from vreason_agent.errors import ConfigError
from vreason_agent.model import TextPart, ToolCall, Turn

CUT = {"type": "invalid_tool_call", "name": "zoom", "args": '{"second": ', "id": "1", "error": "cut"}
CUT_TEXT = '<tool_call>\n{"name": "zoom", "arguments": {"second": '
TEXT = {"type": "text", "text": "red"}
SEARCHED = [
    {"type": "server_tool_call", "id": "1", "name": "web_search", "args": {"query": "red"}},
    {"type": "server_tool_call_chunk", "id": "1", "name": "web_search", "args": '{"qu'},
    {"type": "server_tool_result", "tool_call_id": "1", "status": "success", "output": "found"},
    {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "red"}},
    {"type": "web_search_tool_result", "tool_use_id": "1", "content": []},
    {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
    {"type": "reasoning", "text": "hm"},
]


def chunk(args: str, name: str | None = "zoom") -> Any:
    return {"type": "tool_call_chunk", "name": name, "args": args, "id": "1", "index": 0}


def given(engine: FakeEngine, message: AIMessage) -> Turn:
    """What the engine is given of a message in a later turn."""
    ChatVReason().invoke([HumanMessage("?"), message, HumanMessage("Go on.")])
    first, *between, last = engine.requests[-1].turns
    assert (first.parts, last.parts) == ((TextPart("?"),), (TextPart("Go on."),))
    (turn,) = between
    assert turn.role == "assistant"
    return turn


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([TEXT, CUT], f"red\n{CUT_TEXT}"),
        ([TEXT, {**CUT, "name": None, "args": '{"na'}], 'red\n<tool_call>\n{"na'),
        ([{"type": "refusal", "refusal": "I would rather not."}], "I would rather not."),
        ([TEXT, chunk('{"second": ')], f"red\n{CUT_TEXT}"),
        ([TEXT, chunk('{"na', None)], 'red\n<tool_call>\n{"na'),
        ([TEXT, {"type": "tool_use", "id": "1", "name": "zoom", "input": '{"second": '}], f"red\n{CUT_TEXT}"),
        ([{"type": "output_text", "text": "red"}], "red"),
        ([*SEARCHED, TEXT], "red"),
    ],
)
def test_what_an_assistant_said_is_text_and_the_rest_is_left_out(
    engine: FakeEngine, content: list[Any], text: str
) -> None:
    turn = given(engine, AIMessage(content))
    assert (turn.parts, turn.calls) == ((TextPart(text),), ())


@pytest.mark.parametrize(
    "message",
    [
        AIMessage([chunk('{"second": 3}')]),
        AIMessageChunk(content=[chunk('{"second": 3}')], tool_call_chunks=[chunk('{"second": 3}')]),
        AIMessage([{"type": "tool_call", "name": "zoom", "args": {"second": 3}, "id": "1"}]),
        AIMessage([chunk('{"sec')], tool_calls=[{"name": "zoom", "args": {"second": 3}, "id": "1"}]),
    ],
)
def test_a_whole_call_is_a_call_once(engine: FakeEngine, message: AIMessage) -> None:
    turn = given(engine, message)
    assert (turn.parts, turn.calls) == ((), (ToolCall("zoom", {"second": 3}),))


@pytest.mark.parametrize(
    "message",
    [
        AIMessage([TEXT, CUT], invalid_tool_calls=[CUT]),
        AIMessage("red", invalid_tool_calls=[CUT]),
        AIMessage([TEXT, {**CUT, "type": "tool_use", "input": {}}], invalid_tool_calls=[CUT]),
        AIMessageChunk(content=[TEXT, chunk("2]")], tool_call_chunks=[chunk('{"second": "]"]')]),
    ],
)
def test_a_cut_call_that_the_messages_fields_hold_is_said_once(engine: FakeEngine, message: AIMessage) -> None:
    turn = given(engine, message)
    assert (turn.parts, turn.calls) == ((TextPart(f"red\n{CUT_TEXT}"),), ())


def test_a_refusal_beside_the_content_is_said_once(engine: FakeEngine) -> None:
    refusal = {"refusal": "I would rather not."}
    contents: list[Any] = ["", [{"type": "refusal", **refusal}]]
    for content in contents:
        message = AIMessage(content, additional_kwargs=refusal)
        assert given(engine, message).parts == (TextPart(refusal["refusal"]),)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "search_result", "title": "Fox", "content": [{"type": "text", "text": "It is red."}]},
        {"type": "document", "source": {"type": "text", "data": "It is red."}},
        {"type": "custom_tool_call_output", "output": "It is red."},
        {"type": "refusal", "refusal": "It is red."},
    ],
)
def test_a_tools_block_that_only_its_provider_knows_is_read_as_its_json(engine: FakeEngine, block: Any) -> None:
    call = {"name": "search", "args": {}, "id": "1"}
    ChatVReason().invoke([HumanMessage("?"), AIMessage("", tool_calls=[call]), ToolMessage([block], tool_call_id="1")])
    (part,) = engine.requests[-1].turns[-1].parts
    assert isinstance(part, TextPart)
    assert json.loads(part.text) == block


@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage])
@pytest.mark.parametrize("block", [CUT, chunk("{}"), *SEARCHED[:3], {"type": "refusal", "refusal": "no"}])
def test_in_what_people_say_such_blocks_are_refused(engine: FakeEngine, kind: Any, block: Any) -> None:
    messages: list[BaseMessage] = [HumanMessage("?"), kind([block])]
    with pytest.raises(ConfigError, match="cannot be read; use 'text', 'image' or 'video' blocks") as caught:
        ChatVReason().invoke(messages)
    assert isinstance(caught.value, ModelInvalidRequestError)
