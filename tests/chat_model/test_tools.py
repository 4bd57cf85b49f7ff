"""Tools and schemas on the scripted model: real template, tokenizer, grammar, parser, streaming; no ready message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import ModelInvalidRequestError, OutputParserException
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.tools import tool
from llguidance import LLMatcher
from pydantic import BaseModel

from tests.chat_model.test_chat_model import added_up
from vreason_agent.chat.output_format import FormatLimits, OutputFormat
from vreason_agent.chat_model import ChatVReason, SchemaWarning, UntrainedFormatWarning
from vreason_agent.confidence import confidence_of
from vreason_agent.errors import ConfigError
from vreason_agent.model import unload
from vreason_agent.model.scripted import load_scripted
from vreason_agent.model.source import bundled_folder

pytestmark = pytest.mark.skipif(
    not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
)
CALL = '<tool_call>\n{"name": "zoom", "arguments": {"second": 3}}\n</tool_call>'
OTHER = '<tool_call>\n{"name": "note", "arguments": {"text": "ü \\" }"}}\n</tool_call>'


@tool
def zoom(second: int) -> str:
    """Look at one second more closely."""
    return f"at {second} a red circle"


@tool
def note(text: str) -> str:
    """Write something down."""
    return text


@tool
def stop() -> str:
    """Stop looking."""
    return "stopped"


class Seen(BaseModel):
    """What was seen."""

    color: str
    number: int


class Scripted:
    """A scripted model; `says` is what it wants to write, `prompts` what it was asked."""

    def __init__(self) -> None:
        self.says = ""
        self.prompts: list[str] = []
        self.engine = load_scripted(self)

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self.says


@pytest.fixture(scope="module")
def loaded() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    unload(scripted.engine)


@pytest.fixture
def scripted(loaded: Scripted) -> Scripted:
    loaded.prompts.clear()
    return loaded


@pytest.fixture
def chat_model() -> ChatVReason:
    return ChatVReason(model="scripted", max_tokens=120)


def calls_of(message: Any) -> list[tuple[str, dict[str, Any]]]:
    assert isinstance(message, AIMessage)
    return [(call["name"], call["args"]) for call in message.tool_calls]


def without_identity(block: Any) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name not in ("id", "index")}


SCHEMAS = [Seen, pytest.param(Seen.model_json_schema(), marks=pytest.mark.slow)]


class TestCalls:
    def test_a_call_is_read_with_the_thinking_and_the_text_before_it(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = f"<think>I could <tool_call> it</think>Let me look.\n{CALL}"
        message = chat_model.bind_tools([zoom, note]).invoke("Which color?")
        assert calls_of(message) == [("zoom", {"second": 3})]
        assert message.content == "Let me look."
        assert message.additional_kwargs["reasoning_content"] == "I could <tool_call> it"
        assert message.response_metadata["finish_reason"] == "tool_calls"
        assert message.response_metadata["confidence"]["answer"]["kind"] == "tool_calls"
        assert message.response_metadata["confidence"]["warnings"] == []

    def test_parallel_calls_are_several(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        scripted.says = f"{CALL}\n{OTHER}"
        message = chat_model.bind_tools([zoom, note]).invoke("?")
        assert calls_of(message) == [("zoom", {"second": 3}), ("note", {"text": 'ü " }'})]
        assert len({call["id"] for call in message.tool_calls}) == 2

    def test_without_parallel_calls_the_first_one_is_the_only_one(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = f"{CALL}\n{OTHER}"
        message = chat_model.bind_tools([zoom, note], parallel_tool_calls=False).invoke("?")
        assert calls_of(message) == [("zoom", {"second": 3})]

    def test_streamed_chunks_add_up_to_the_calls_and_come_while_they_are_written(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = f"Look.{CALL}\n{OTHER}"
        chunks: list[Any] = [*chat_model.bind_tools([zoom, note]).stream("?")]
        assert calls_of(added_up(chunks)) == [("zoom", {"second": 3}), ("note", {"text": 'ü " }'})]
        parts = [part for chunk in chunks for part in chunk.tool_call_chunks]
        assert [part["name"] for part in parts if part["name"]] == ["zoom", "note"]
        assert len([part for part in parts if part["index"] == 2]) > 5, "after the text and the first call"
        assert added_up(chunks).response_metadata["finish_reason"] == "tool_calls"

    def test_blocks_of_a_stream_are_those_of_invoke_under_output_version_v1(self, scripted: Scripted) -> None:
        """The thinking and the first call once had the same index, and became one block."""
        scripted.says = f"<think>x</think>Look.{CALL}\n{OTHER}"
        asked = ChatVReason(model="scripted", output_version="v1").bind_tools([zoom, note])
        streamed, invoked = added_up(asked.stream("?")).content_blocks, asked.invoke("?").content_blocks
        assert [block["type"] for block in streamed] == ["reasoning", "text", "tool_call", "tool_call"]
        assert [without_identity(block) for block in streamed] == [without_identity(block) for block in invoked]

    def test_text_alone_is_an_answer(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        scripted.says = "<think>x</think><answer>red</answer>"
        message = chat_model.bind_tools([zoom]).invoke("?")
        assert (message.content, message.tool_calls) == ("red", [])

    def test_a_call_that_is_cut_off_is_invalid(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        scripted.says = CALL
        num_tokens = len(scripted.engine.tokenizer.encode(CALL[: CALL.index("second")]))
        message = chat_model.bind_tools([zoom]).invoke("?", max_tokens=num_tokens)
        assert message.tool_calls == []
        assert message.invalid_tool_calls[0]["name"] == "zoom"
        assert message.response_metadata["finish_reason"] == "length"

    @pytest.mark.parametrize("version", [pytest.param("v0", marks=pytest.mark.slow), "v1"])
    async def test_a_call_cut_anywhere_is_invalid_on_every_way(self, scripted: Scripted, version: str) -> None:
        """A streamed one once was a call with the part of its arguments that was there."""
        asked: Any = ChatVReason(model="scripted", output_version=version).bind_tools([note])
        scripted.says = '<tool_call>\n{"name": "note", "arguments": {"text": "/data/tmp/*.log"}}\n</tool_call>'
        encode = scripted.engine.tokenizer.encode
        lengths = [len(encode(scripted.says[:cut])) for cut in (12, 30, 51, 66)]
        for max_tokens in lengths:
            whole: Any = asked.invoke("?", max_tokens=max_tokens)
            ways = [
                added_up(asked.stream("?", max_tokens=max_tokens)),
                added_up([chunk async for chunk in asked.astream("?", max_tokens=max_tokens)]),
                asked.invoke("?", max_tokens=max_tokens, stream=True),
                asked.stream_events("?", version="v3", max_tokens=max_tokens).output,
            ]
            for message in [whole, *ways]:
                assert calls_of(message) == []
                assert outlined(message.invalid_tool_calls) == outlined(whole.invalid_tool_calls) != []

    @pytest.mark.parametrize("version", [pytest.param("v0", marks=pytest.mark.slow), "v1"])
    def test_a_mark_cut_anywhere_is_no_text_streamed_and_whole_alike(self, scripted: Scripted, version: str) -> None:
        asked: Any = ChatVReason(model="scripted", output_version=version).bind_tools([zoom])
        scripted.says = f"Look. {CALL}"
        encode = scripted.engine.tokenizer.encode
        num_cut_calls = set()
        for max_tokens in range(len(encode("Look.")), len(encode(f"Look. {CALL}"[:20])) + 1, 2):
            whole: Any = asked.invoke("?", max_tokens=max_tokens)
            streamed = added_up(asked.stream("?", max_tokens=max_tokens))
            for message in (whole, streamed):
                assert (message.text, calls_of(message)) == ("Look.", [])
                assert message.response_metadata["finish_reason"] == "length"
                assert "<" not in (message.response_metadata["confidence"]["answer"]["text"] or "")
            assert outlined(streamed.invalid_tool_calls) == outlined(whole.invalid_tool_calls)
            num_cut_calls.add(len(whole.invalid_tool_calls))
        assert num_cut_calls == {0, 1}
        for message in (asked.invoke("?", stop=["_call"]), added_up(asked.stream("?", stop=["_call"]))):
            assert (message.text, len(message.invalid_tool_calls)) == ("Look.", 1)

    @pytest.mark.parametrize("version", [pytest.param("v0", marks=pytest.mark.slow), "v1"])
    def test_a_conversation_goes_on_after_a_call_that_was_cut(self, scripted: Scripted, version: str) -> None:
        """The block of such a call was refused as unknown under v1, and left out under v0."""
        asked: Any = ChatVReason(model="scripted", output_version=version).bind_tools([note])
        encode = scripted.engine.tokenizer.encode
        written = 'Look.\n<tool_call>\n{"name": "note", "arguments": {"text": "/data'
        for cut in (written, written[:30]):
            scripted.says = f"{cut} and more"
            messages = [
                asked.invoke("?", max_tokens=len(encode(cut))),
                added_up(asked.stream("?", max_tokens=len(encode(cut)))),
            ]
            scripted.says = "red"
            for message in [*messages, AIMessage(messages[1].content)] if version == "v1" else messages:
                assert asked.invoke([HumanMessage("?"), message, HumanMessage("Go on.")]).text == "red"
                assert f"<|im_start|>assistant\n{cut}<|im_end|>" in scripted.prompts[-1]

    def test_an_agent_whose_messages_are_streamed_runs_no_call_that_was_cut(self, scripted: Scripted) -> None:
        ran: list[str] = []

        @tool
        def remove(pattern: str) -> None:
            """Remove files."""
            ran.append(pattern)

        scripted.says = '<tool_call>\n{"name": "remove", "arguments": {"pattern": "/data/tmp/*.log"}}\n</tool_call>'
        num_tokens = len(scripted.engine.tokenizer.encode(scripted.says[: scripted.says.index("/tmp")]))
        agent: Any = create_agent(ChatVReason(model="scripted", max_tokens=num_tokens), [remove])
        *_, (_, last) = agent.stream({"messages": [("human", "?")]}, stream_mode=["messages", "values"])
        assert ran == []
        assert last["messages"][-1].tool_calls == []
        assert last["messages"][-1].invalid_tool_calls[0]["name"] == "remove"


def outlined(calls: Any) -> list[tuple[str, str]]:
    return [(call["name"], call["args"]) for call in calls]


class TestChoice:
    @pytest.mark.parametrize("choice", ["any", "required", True, "zoom", {"type": "tool", "name": "zoom"}])
    def test_a_demanded_call_is_made_after_the_thinking(
        self, scripted: Scripted, chat_model: ChatVReason, choice: Any
    ) -> None:
        scripted.says = f"<think>no need</think>\n{CALL}"
        message = chat_model.bind_tools([zoom], tool_choice=choice).invoke("?")
        assert calls_of(message) == [("zoom", {"second": 3})]

    def test_a_model_that_wants_to_write_something_else_makes_the_demanded_call(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = "<think>no need</think>It is red."
        message = chat_model.bind_tools([stop], tool_choice="stop").invoke("?")
        assert calls_of(message) == [("stop", {})]

    def test_a_call_by_name_calls_no_other(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        scripted.says = OTHER
        message = chat_model.bind_tools([zoom, note], tool_choice="zoom").invoke("?", max_tokens=60)
        names = {call["name"] for call in [*message.tool_calls, *message.invalid_tool_calls]}
        assert names == {"zoom"}

    def test_none_keeps_the_model_from_calling(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        scripted.says = f"No. {CALL}"
        message = chat_model.bind_tools([zoom], tool_choice="none").invoke("?", max_tokens=30)
        assert message.tool_calls == message.invalid_tool_calls == []
        assert "<tool_call>" not in message.content
        assert "<tools>" not in scripted.prompts[-1]

    def test_a_tool_that_is_not_there_is_an_error_with_the_names(self, chat_model: ChatVReason) -> None:
        with pytest.raises(ConfigError, match="must be 'auto', 'any', 'none' or one of the tools: zoom, note"):
            chat_model.bind_tools([zoom, note], tool_choice="zom")
        with pytest.raises(ModelInvalidRequestError, match="as there are no tools"):
            chat_model.bind_tools([], tool_choice="any")

    def test_a_tool_that_is_no_function_is_an_error(self, chat_model: ChatVReason) -> None:
        with pytest.raises(ConfigError, match="is not a function; give functions"):
            chat_model.bind_tools([{"type": "web_search"}])


class TestPrompt:
    def test_definitions_calls_and_results_reach_a_template_that_knows_no_tools(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = "red"
        call = {"name": "zoom", "args": {"second": 3}, "id": "1"}
        conversation = [
            HumanMessage("?"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("red circle", tool_call_id="1"),
        ]
        assert chat_model.bind_tools([zoom]).invoke(conversation).content == "red"
        prompt = scripted.prompts[-1]
        assert "<tools>" in prompt
        assert '"name": "zoom", "description": "Look at one second' in prompt
        assert f"<|im_start|>assistant\n{CALL}<|im_end|>" in prompt
        assert "<|im_start|>user\n<tool_response>\nred circle\n</tool_response><|im_end|>" in prompt

    def test_anthropics_spelling_of_a_call_and_its_result_is_the_same_prompt(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = "red"
        use: Any = {"type": "tool_use", "id": "1", "name": "zoom", "input": {"second": 3}}
        result: Any = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "red circle"}]}
        chat_model.invoke(
            [HumanMessage("?"), AIMessage([use]), HumanMessage([result, {"type": "text", "text": "So?"}])]
        )
        assert f"<|im_start|>assistant\n{CALL}<|im_end|>" in scripted.prompts[-1]
        assert "<tool_response>\nred circle\n</tool_response>\nSo?" in scripted.prompts[-1]

    def test_any_part_of_a_talk_can_be_counted_and_trimmed(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        talk: list[BaseMessage] = [SystemMessage("Be short."), HumanMessage("a"), AIMessage("b"), HumanMessage("c")]
        counts = [chat_model.get_num_tokens_from_messages(talk[:length]) for length in range(5)]
        assert counts[0] == 0
        assert counts == sorted(set(counts))
        assert chat_model.get_num_tokens_from_messages([AIMessage("b")]) > 0
        for strategy in ("first", "last"):
            kept = trim_messages(
                talk, max_tokens=counts[-1] - 1, token_counter=chat_model, strategy=strategy, include_system=False
            )
            assert 0 < len(kept) < len(talk)
        assert trim_messages(talk, max_tokens=counts[-1], token_counter=chat_model) == talk

    def test_tools_count_as_tokens(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        question: list[BaseMessage] = [HumanMessage("?")]
        plain = chat_model.get_num_tokens_from_messages(question)
        assert chat_model.get_num_tokens_from_messages(question, tools=[zoom]) > plain + 50


class TestStructure:
    @pytest.mark.parametrize("method", ["json_schema", "json_mode"])
    def test_an_answer_in_json_is_an_instance_after_the_thinking(
        self, scripted: Scripted, chat_model: ChatVReason, method: Any
    ) -> None:
        scripted.says = '<think>two</think>\n{"color": "red", "number": 2}'
        assert chat_model.with_structured_output(Seen, method=method).invoke("?") == Seen(color="red", number=2)
        told = "Answer with JSON that follows this JSON schema" in scripted.prompts[-1]
        assert told is (method == "json_schema")

    def test_a_function_call_is_an_instance(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        scripted.says = '<tool_call>\n{"name": "Seen", "arguments": {"color": "red", "number": 2}}\n</tool_call>'
        chain = chat_model.with_structured_output(Seen, method="function_calling")
        assert chain.invoke("?") == Seen(color="red", number=2)

    def test_a_json_schema_gives_a_dict(self, scripted: Scripted, chat_model: ChatVReason) -> None:
        scripted.says = '{"color": "red", "number": 2}'
        assert chat_model.with_structured_output(Seen.model_json_schema()).invoke("?") == {"color": "red", "number": 2}

    def test_a_model_that_wants_to_write_something_else_cannot(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = "<think>x</think>It is red."
        schema = {
            "type": "object",
            "title": "a",
            "properties": {"color": {"enum": ["red", "blue"]}},
            "required": ["color"],
        }
        answer = chat_model.with_structured_output(schema).invoke("?")
        assert answer["color"] in ("red", "blue")
        assert list(answer) == ["color"]

    def test_raw_is_kept_with_the_error_where_it_cannot_be_parsed(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = '{"color": "red", "number": 2}'
        found = chat_model.with_structured_output(Seen, include_raw=True).invoke("?")
        assert (found["parsed"], found["parsing_error"]) == (Seen(color="red", number=2), None)
        assert found["raw"].response_metadata["confidence"]["answer"]["kind"] == "json"
        cut = chat_model.with_structured_output(Seen, include_raw=True, max_tokens=5).invoke("?")
        assert isinstance(cut["parsing_error"], OutputParserException)
        assert cut["raw"].response_metadata["finish_reason"] == "length"

    @pytest.mark.parametrize("limit", [{"max_tokens": 24}, {"stop": ["red"]}], ids=["length", "stop"])
    @pytest.mark.parametrize("schema", SCHEMAS, ids=["pydantic", "dict"])
    @pytest.mark.parametrize(
        "method", ["json_schema", pytest.param("json_mode", marks=pytest.mark.slow), "function_calling"]
    )
    async def test_an_answer_that_was_cut_is_an_error(
        self, scripted: Scripted, chat_model: ChatVReason, method: Any, schema: Any, limit: dict[str, Any]
    ) -> None:
        """LangChain's parsers complete the JSON: half of a text once was an answer, and half of a call none."""
        answer = '{"color": "dark red, nearly brown, with a tinge of blue", "number": 2}'
        scripted.says = tool_calls_of("Seen", answer) if method == "function_calling" else answer
        if method == "function_calling" and "max_tokens" in limit:
            limit = {"max_tokens": 45}
        asked = chat_model.with_structured_output(schema, method=method, **limit)
        with pytest.raises(OutputParserException, match="raise max_tokens, or leave out a stop text"):
            asked.invoke("?")
        with pytest.raises(OutputParserException, match="ended before it was whole"):
            _ = [*asked.stream("?")]
        with pytest.raises(OutputParserException, match="ended before it was whole"):
            _ = [state async for state in asked.astream("?")]
        raw = chat_model.with_structured_output(schema, method=method, include_raw=True, **limit)
        for found in (raw.invoke("?"), await raw.ainvoke("?"), [*raw.stream("?")][-1]):
            assert found["parsed"] is None
            assert isinstance(found["parsing_error"], OutputParserException)
            assert isinstance(found["raw"], AIMessage)

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_an_answer_that_is_whole_at_its_last_token_is_none_that_was_cut(
        self, scripted: Scripted, chat_model: ChatVReason, method: Any
    ) -> None:
        answer = '{"color": "red", "number": 2}'
        scripted.says = tool_calls_of("Seen", answer) if method == "function_calling" else answer
        num_tokens = len(scripted.engine.tokenizer.encode(scripted.says))
        asked = chat_model.with_structured_output(Seen, method=method, include_raw=True, max_tokens=num_tokens)
        found = asked.invoke("?")
        assert found["raw"].response_metadata["finish_reason"] == "length"
        assert found["parsed"] == Seen(color="red", number=2)

    def test_a_number_that_more_digits_might_have_followed_is_refused(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = "123456"
        schema = {"title": "n", "type": "integer"}
        assert chat_model.with_structured_output(schema).invoke("?") == 123456
        with pytest.raises(OutputParserException, match="raise max_tokens"):
            chat_model.with_structured_output(schema, max_tokens=3).invoke("?")

    @pytest.mark.parametrize("length", [4, 20, 45])
    def test_under_output_version_v1_a_function_call_that_was_cut_is_an_error_too(
        self, scripted: Scripted, length: int
    ) -> None:
        """The first of the lengths ends within the mark before the call."""
        scripted.says = tool_calls_of("Seen", '{"color": "dark red, nearly brown, with a tinge of blue", "number": 2}')
        chat_model: Any = ChatVReason(model="scripted", output_version="v1", max_tokens=length)
        asked = chat_model.with_structured_output(Seen, method="function_calling")
        with pytest.raises(OutputParserException, match="raise max_tokens"):
            asked.invoke("?")
        with pytest.raises(OutputParserException, match="raise max_tokens"):
            _ = [*asked.stream("?")]

    @pytest.mark.parametrize("schema", SCHEMAS, ids=["pydantic", "dict"])
    @pytest.mark.parametrize(
        "method", ["json_schema", pytest.param("json_mode", marks=pytest.mark.slow), "function_calling"]
    )
    async def test_a_whole_answer_is_the_last_state_of_every_stream(
        self, scripted: Scripted, method: Any, schema: Any
    ) -> None:
        answer = '{"color": "red", "number": 2}'
        scripted.says = tool_calls_of("Seen", answer) if method == "function_calling" else answer
        expected: Any = Seen(color="red", number=2) if schema is Seen else json.loads(answer)
        for options in ({}, {"streaming": False}, {"output_version": "v1"}):
            chat_model: Any = ChatVReason(model="scripted", max_tokens=120, **options)
            asked = chat_model.with_structured_output(schema, method=method)
            assert [*asked.stream("?")][-1] == expected
            assert [state async for state in asked.astream("?")][-1] == expected
            raw = [*chat_model.with_structured_output(schema, method=method, include_raw=True).stream("?")][-1]
            assert (raw["parsed"], raw["parsing_error"]) == (expected, None)

    def test_tokens_without_an_alternative_are_no_signal_and_entropies_stay_those_of_the_raw_logits(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        scripted.says = '<think>x</think>{"c": "green"}'
        schema = {"type": "object", "title": "a", "properties": {"c": {"enum": ["red", "green"]}}, "required": ["c"]}
        (generation,) = scripted.engine.generate(
            [chat_model.for_call(None, {"response_format": json_schema(schema)})._prepare([HumanMessage("?")]).request]
        )
        trace = generation.trace
        assert 0 < sum(trace.forced) < len(trace.forced)
        assert generation.text == scripted.says
        forced = [entropy for entropy, is_forced in zip(trace.entropy, trace.forced, strict=True) if is_forced]
        assert max(forced) > 0  # not those of a distribution with one token

    def test_a_response_format_beside_tools_leaves_the_choice(
        self, scripted: Scripted, chat_model: ChatVReason
    ) -> None:
        both = chat_model.bind_tools([zoom], response_format=json_schema(Seen.model_json_schema()))
        scripted.says = CALL
        assert calls_of(both.invoke("?")) == [("zoom", {"second": 3})]
        scripted.says = '{"color": "red", "number": 2}'
        assert json.loads(str(both.invoke("?").content)) == {"color": "red", "number": 2}

    @pytest.mark.parametrize("where", ["schema", "tool"])
    def test_what_of_a_schema_is_not_enforced_is_said(
        self, scripted: Scripted, chat_model: ChatVReason, where: str
    ) -> None:
        numbers = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 2}
        schema = {"title": "a", "type": "object", "properties": {"n": numbers}, "required": ["n"]}
        scripted.says = '{"n": [1, 1]}'
        asked: Any = chat_model.bind(response_format=json_schema(schema))
        if where == "tool":
            asked = chat_model.bind_tools([{**schema, "description": "b"}], tool_choice="a")
        with pytest.warns(SchemaWarning, match="uniqueItems.*check it afterwards"):
            message = asked.invoke("?")
        assert [w for w in message.response_metadata["confidence"]["warnings"] if "uniqueItems" in w]
        enforced = chat_model.bind(response_format=json_schema(Seen.model_json_schema())).invoke("?")
        assert not [w for w in enforced.response_metadata["confidence"]["warnings"] if w.startswith("schema")]

    def test_wrong_formats_say_what_is_right(self, chat_model: ChatVReason) -> None:
        with pytest.raises(ConfigError, match="use one of: json_schema, function_calling, json_mode"):
            chat_model.with_structured_output(Seen, method="magic")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="needs one; give a Pydantic class"):
            chat_model.with_structured_output(None)
        with pytest.raises(ConfigError, match=r"give \{'type': 'json_object'\} or"):
            chat_model.invoke("?", response_format={"type": "yaml"})


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def tool_calls_of(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@pytest.mark.parametrize("says", ["日本語😀", "ünïcode"])
def test_bytes_of_logprobs_put_the_text_together(scripted: Scripted, says: str) -> None:
    """A token can be a part of a character."""
    scripted.says = f"<think>a</think><answer>{says}</answer>"
    message = ChatVReason(model="scripted", top_logprobs=1, max_tokens=120).invoke("?")
    content = message.response_metadata["logprobs"]["content"]
    assert b"".join(bytes(entry["bytes"]) for entry in content).decode().startswith(scripted.says)
    assert all(entry["top_logprobs"][0]["bytes"] == entry["bytes"] for entry in content[:-1])
    without_record = AIMessage(message.content, response_metadata={"logprobs": {"content": content}})
    assert confidence_of(without_record).answer["text"] == says


def test_a_call_that_a_stop_text_cuts_is_not_said_to_be_called(scripted: Scripted, chat_model: ChatVReason) -> None:
    scripted.says = "<think>a</think>" + CALL
    asked = chat_model.bind_tools([zoom], stop=['"arguments"'])
    for message in (asked.invoke("?"), added_up(asked.stream("?"))):
        assert (message.tool_calls, len(message.invalid_tool_calls)) == ([], 1)
        assert message.response_metadata["finish_reason"] == "stop"


def test_what_a_schema_leaves_open_is_bounded_so_that_every_answer_ends(scripted: Scripted) -> None:
    """Else a model that was not trained on schemas writes one string, number or call after the other."""
    limits = FormatLimits(thought_tokens=8, string_chars=20)
    words = scripted.engine.grammar_words
    two = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"type": "string"}, '"' + 20 * "x" + '"', '"' + 21 * "x"),
        (two, "{}", '{"a": "' + 11 * "x"),
        ({"type": "string", "maxLength": 30}, '"' + 30 * "x" + '"', '"' + 31 * "x"),
        ({"type": "integer"}, "-3", 17 * "1"),
        ({"type": "number"}, "0.25", "0.1234567891"),
        ({"type": "array", "items": {"type": "null"}}, "[" + ", ".join(32 * ["null"]) + "]", "[" + 33 * "null, "),
        ({"type": "object"}, '{"a": {"b": [1, null, "x"]}}', '{"a": "' + 21 * "x"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"a": 1}', '{"' + 65 * "a"),
    ]
    for schema, whole, longer in cases:
        grammar = OutputFormat(schema=schema).grammar(words, starts_in_reasoning=False, limits=limits)
        for text, is_allowed in ((whole, True), (longer, False)):
            matcher = LLMatcher(words.tokens, grammar)
            tokens = scripted.engine.tokenizer.encode(text, add_special_tokens=False)
            assert (matcher.try_consume_tokens(tokens) == len(tokens)) is is_allowed, (schema, text)
        matcher = LLMatcher(words.tokens, grammar)
        thinking = scripted.engine.tokenizer.encode("<think>" + 40 * " on", add_special_tokens=False)
        assert matcher.try_consume_tokens(thinking) < 12, "the thinking ends"


def test_the_bundled_model_is_said_not_to_know_tools_and_schemas() -> None:
    model = ChatVReason(max_tokens=2)
    with pytest.warns(UntrainedFormatWarning, match="load a published model for them"):
        model.bind_tools([zoom]).invoke("?")
    with pytest.warns(UntrainedFormatWarning, match="load a published model for them"):
        model.invoke("?", response_format={"type": "json_object"})


def test_a_schema_needs_no_title(scripted: Scripted, chat_model: ChatVReason) -> None:
    schema = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
    ways: list[tuple[Any, str]] = [
        ("json_schema", '{"color": "red"}'),
        ("json_mode", '{"color": "red"}'),
        ("function_calling", '<tool_call>\n{"name": "answer", "arguments": {"color": "red"}}\n</tool_call>'),
    ]
    for method, says in ways:
        scripted.says = says
        assert chat_model.with_structured_output(schema, method=method).invoke("?") == {"color": "red"}
    wrongs: list[Any] = [int, "x", list[str]]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match="a BaseTool or a JSON schema with a title"):
            chat_model.with_structured_output(wrong)
    with pytest.raises(ConfigError, match="a BaseTool or a JSON schema with a title"):
        chat_model.bind_tools([schema])
