"""`with_structured_output`: a schema as a tool or as a response format, and the parser that reads the answer.

This module knows no model: it works on what `bind_tools` and `bind` of a chat model return.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from vreason_agent.errors import ConfigError

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS: tuple[str, ...] = get_args(Method)


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
        msg = f"method={method!r} is not known; use one of: {', '.join(METHODS)}"
        raise ConfigError(msg)
    if method == "json_mode":
        llm = _bind(chat_model, method, schema, {"type": "json_object"}, **kwargs)
        parser = _json_parser(schema)
    elif schema is None:
        msg = f"schema=None: method {method!r} needs one; give a Pydantic class or a JSON schema, or method='json_mode'"
        raise ConfigError(msg)
    elif method == "json_schema":
        llm = _bind(chat_model, method, schema, _response_format(schema), **kwargs)
        parser = _json_parser(schema)
    else:
        llm, parser = _as_function(chat_model, schema, strict, **kwargs)
    return _with_raw(llm, parser) if include_raw else llm | parser


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
        return llm, PydanticToolsParser(tools=[schema], first_tool_only=True)
    return llm, JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _json_parser(schema: Any) -> BaseOutputParser[Any]:
    return PydanticOutputParser(pydantic_object=schema) if is_basemodel_subclass(schema) else JsonOutputParser()


def _with_raw(llm: Runnable[Any, Any], parser: BaseOutputParser[Any]) -> Runnable[Any, Any]:
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
