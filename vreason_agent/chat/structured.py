"""`with_structured_output`: a schema as a tool or as a response format, and the parser that reads the answer.

LangChain's parsers complete JSON that was cut off; here that is an error, in a stream once its last chunk is there.
This module knows no model: it works on what `bind_tools` and `bind` of a chat model return.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableMap
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from vreason_agent.chat.tool_calls import read_tools
from vreason_agent.errors import ConfigError, quote

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS: tuple[str, ...] = get_args(Method)


class _WholeJson(JsonOutputParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _check_json(result[0])
        return super().parse_result(result, partial=partial)


class _WholeInstance(PydanticOutputParser[Any]):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _check_json(result[0])
        return super().parse_result(result, partial=partial)


class _WholeCall(JsonOutputKeyToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        generation = _with_calls(result[0])
        _check_call(generation)
        return super().parse_result([generation], partial=partial)


class _WholeCallInstance(PydanticToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        generation = _with_calls(result[0])
        _check_call(generation)
        return super().parse_result([generation], partial=partial)


def structured_output(
    chat_model: BaseChatModel, schema: Any, *, method: Method, include_raw: bool, strict: bool | None, **kwargs: Any
) -> Runnable[Any, Any]:
    """Return a chain that answers with instances of a schema.

    Args:
        chat_model: Has `bind_tools` and takes `response_format`.
        schema: A Pydantic class, a `TypedDict` class, or a JSON schema or OpenAI function as a dict.
        method: See `ChatVReason.with_structured_output`.
        include_raw: Return a dict of `raw`, `parsed` and `parsing_error` rather than raise.
        strict: Passed on to the definition of the function.
        **kwargs: Bound to the call as well.

    Raises:
        ConfigError: If there is no schema where the method needs one, or no such method.
    """
    if method not in METHODS:
        msg = f"method={quote(method)} is not known; use one of: {', '.join(METHODS)}"
        raise ConfigError(msg)
    schema = _readable_schema(schema)
    if method == "json_mode":
        shape = {} if schema is None else {"schema": convert_to_json_schema(schema)}
        llm = _bind(chat_model, method, schema, {"type": "json_object", **shape}, **kwargs)
        parser = _json_parser(schema)
    elif schema is None:
        msg = (
            f"schema=None: method {quote(method)} needs one; give a Pydantic class or a JSON schema, or "
            "method='json_mode'"
        )
        raise ConfigError(msg)
    elif method == "json_schema":
        llm = _bind(chat_model, method, schema, _response_format(schema), **kwargs)
        parser = _json_parser(schema)
    else:
        llm, parser = _as_function(chat_model, schema, strict, **kwargs)
    return _with_raw(llm, parser) if include_raw else llm | parser


def _readable_schema(schema: Any) -> Any:
    """Return a schema that LangChain can convert; a JSON schema without a title gets one, which nobody sees.

    Raises:
        ConfigError: If it is none.
    """
    if isinstance(schema, Mapping) and not any(schema.get(name) for name in ("title", "name", "function")):
        schema = {**schema, "title": "answer"}
    if schema is not None:
        read_tools([schema])
    return schema


def _bind(
    chat_model: BaseChatModel, method: Method, schema: Any, response_format: Mapping[str, Any], **kwargs: Any
) -> Runnable[Any, Any]:
    traced = {"kwargs": {"method": method}, "schema": None if schema is None else convert_to_json_schema(schema)}
    return chat_model.bind(response_format=response_format, ls_structured_output_format=traced, **kwargs)


def _response_format(schema: Any) -> dict[str, Any]:
    found = convert_to_json_schema(schema)
    name = str(found.get("title") or "answer")
    return {"type": "json_schema", "json_schema": {"name": name, "schema": found}}


def _as_function(
    chat_model: BaseChatModel, schema: Any, strict: bool | None, **kwargs: Any
) -> tuple[Runnable[Any, Any], BaseOutputParser[Any]]:
    tool = convert_to_openai_tool(schema, strict=strict)
    name = tool["function"]["name"]
    traced = {"kwargs": {"method": "function_calling", "strict": strict}, "schema": tool}
    llm = chat_model.bind_tools([schema], tool_choice=name, strict=strict, ls_structured_output_format=traced, **kwargs)
    if is_basemodel_subclass(schema):
        return llm, _WholeCallInstance(tools=[schema], first_tool_only=True)
    return llm, _WholeCall(key_name=name, first_tool_only=True)


def _json_parser(schema: Any) -> BaseOutputParser[Any]:
    return _WholeInstance(pydantic_object=schema) if is_basemodel_subclass(schema) else _WholeJson()


def _with_raw(llm: Runnable[Any, Any], parser: BaseOutputParser[Any]) -> Runnable[Any, Any]:
    def parsed(found: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return {**found, "parsed": parser.invoke(found["raw"], config), "parsing_error": None}

    def failed(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "parsed": None}

    # Functions, not assignments: a stream of those yields `raw` first, and falls back no more.
    fallbacks = [RunnableLambda(failed)]
    return RunnableMap(raw=llm) | RunnableLambda(parsed).with_fallbacks(fallbacks, exception_key="parsing_error")


def _with_calls(generation: Generation) -> Generation:
    """Return the generation of an AI message: LangChain streams one that came whole as a chunk without calls."""
    if not isinstance(generation, ChatGeneration) or isinstance(generation.message, AIMessage):
        return generation
    return ChatGeneration(message=AIMessage(**generation.message.model_dump(exclude={"type"})))


def _check_json(generation: Generation) -> None:
    """Refuse an answer that has ended but is not whole.

    Raises:
        OutputParserException: If it was cut off.
    """
    if (reason := _finish_reason(generation)) is None:
        return
    try:
        answer = json.loads(generation.text)
        is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
        is_whole = reason == "stop" or not is_number  # more digits might follow
    except json.JSONDecodeError:
        is_whole = False
    _check_whole(reason, generation.text, is_whole=is_whole)


def _check_call(generation: Generation) -> None:
    """Do the same for an answer that is a call: `None` would not tell that there is none."""
    if (reason := _finish_reason(generation)) is not None and isinstance(generation, ChatGeneration):
        message = generation.message
        calls, invalid = (
            (message.tool_calls, message.invalid_tool_calls) if isinstance(message, AIMessage) else ([], [])
        )
        text = "".join(str(call["args"]) for call in invalid) or generation.text
        _check_whole(reason, text, is_whole=bool(calls) and not invalid)


def _check_whole(reason: str, text: str, *, is_whole: bool) -> None:
    if not is_whole:
        msg = (
            f"the answer ended before it was whole, with finish_reason={quote(reason)}: {quote(text[-200:])}; "
            "raise max_tokens, "
            "or leave out a stop text that the answer holds"
        )
        raise OutputParserException(msg, llm_output=text)


def _finish_reason(generation: Generation) -> str | None:
    """Return why the answer ended; `None` for one that is still being written."""
    message = generation.message if isinstance(generation, ChatGeneration) else None
    return None if message is None else message.response_metadata.get("finish_reason")
