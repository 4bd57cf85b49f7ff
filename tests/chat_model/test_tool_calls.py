"""Every way in which a call can be cut, without a model: what is left of it is never a call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from tests.chat_model.test_chat_model import added_up
from vreason_agent.chat.tool_calls import CallReader, read_call

ARGUMENTS = [
    {"path": "/data/tmp/*.log"},
    {"text": 'ü \\ " } ] [[', "lists": [[1, 2], [{"deep": ["]"]}]], "last": True},
    {},
]
WHOLE = [json.dumps({"name": "remove", "arguments": each}, ensure_ascii=False) for each in ARGUMENTS]
CUT = [text[:length].rstrip() for text in WHOLE for length in range(len(text))]


def streamed(text: str, size: int) -> AIMessageChunk:
    reader = CallReader()
    chunks = [chunk for start in range(0, len(text), size) for chunk in reader.feed(text[start : start + size])]
    messages = [AIMessageChunk(content="", tool_call_chunks=[chunk]) for chunk in [*chunks, *reader.end()]]
    return added_up([*messages, AIMessageChunk(content="", chunk_position="last")])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_call_cut_anywhere_is_invalid_streamed_and_whole_alike(size: int) -> None:
    """LangChain completed what was streamed of it, and agents ran the tool with half of an argument."""
    for text in CUT:
        found, expected = streamed(text, size), read_call(text)
        (invalid,) = found.invalid_tool_calls
        assert (found.tool_calls, expected["type"]) == ([], "invalid_tool_call"), text
        assert (invalid["name"], invalid["args"]) == (expected["name"], expected["args"])
        assert invalid["id"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_whole_call_is_itself(size: int) -> None:
    for text, arguments in zip(WHOLE, ARGUMENTS, strict=True):
        found: list[Any] = [streamed(text, size).tool_calls[0], read_call(text)]
        assert [(call["name"], call["args"]) for call in found] == [("remove", arguments)] * 2
