"""Tool calls in a model's output, read while they are written.

A call is `{"name": ..., "arguments": {...}}`; its arguments are passed on as they come, in LangChain's tool-call
chunks. LangChain completes JSON that was cut off, and so would run a tool with half of an argument: what a call that
is not whole leaves behind is broken beyond that.
This module knows no marks around a call and no grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.utils.function_calling import convert_to_openai_tool

from vreason_agent.errors import ConfigError, quote

MAX_PARALLEL_CALLS = 16
Mode = Literal["auto", "required", "none"]
_MODES: dict[Any, Mode] = {
    None: "auto",
    "auto": "auto",
    False: "none",
    "none": "none",
    True: "required",
    "any": "required",
    "required": "required",
}


@dataclass(frozen=True)
class ToolUse:
    """The tools of one call.

    Attributes:
        tools: Definitions in OpenAI's form, all of them.
        mode: Whether the model may call one, must, or must not.
        callable_tools: Those that may be called.
        max_calls: Most calls in one answer.
    """

    tools: tuple[Mapping[str, Any], ...] = ()
    mode: Mode = "none"
    callable_tools: tuple[Mapping[str, Any], ...] = ()
    max_calls: int = MAX_PARALLEL_CALLS


def read_tools(tools: Sequence[Any], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Return tools (functions, Pydantic classes, `BaseTool`s, schemas) in OpenAI's form.

    Raises:
        ConfigError: If one has no name or no parameters that can be told.
    """
    return [_definition(tool, strict) for tool in tools]


def _definition(tool: Any, strict: bool | None) -> dict[str, Any]:
    try:
        definition = convert_to_openai_tool(tool, strict=strict)
    except (ValueError, TypeError) as exc:
        msg = f"{quote(tool)} has no name or no arguments that can be read; give a function, a Pydantic class, a "
        raise ConfigError(msg + "BaseTool or a JSON schema with a title") from exc
    if not definition.get("function", {}).get("name"):
        msg = f"tool {quote(definition)} is not a function; give functions, Pydantic classes, BaseTools or schemas"
        raise ConfigError(msg)
    return definition


def tool_use(tools: Sequence[Mapping[str, Any]] | None, choice: Any = None, *, is_parallel: bool = True) -> ToolUse:
    """Return what a call may do with its tools.

    Args:
        tools: Definitions in OpenAI's form.
        choice: `None` and `"auto"` leave it to the model; `"any"`, `"required"` and `True` make it call a tool,
            `"none"` and `False` keep it from it; a name, also inside of OpenAI's or Anthropic's dict, is that tool.
        is_parallel: Whether one answer may hold several calls.

    Raises:
        ConfigError: If the choice is none of these, or there is no such tool.
    """
    tools = tuple(tools or ())
    names = [tool["function"]["name"] for tool in tools]
    wanted = _unpacked(choice)
    limit = MAX_PARALLEL_CALLS if is_parallel else 1
    is_mode = wanted is None or isinstance(wanted, bool) or (wanted in _MODES and wanted not in names)
    if is_mode and (tools or _MODES[wanted] != "required"):
        return ToolUse(tools, _MODES[wanted] if tools else "none", tools, limit)
    if wanted not in names:
        found = f"one of the tools: {', '.join(names)}" if names else "nothing else, as there are no tools"
        msg = f"tool_choice={quote(choice)} must be 'auto', 'any', 'none' or {found}"
        raise ConfigError(msg)
    return ToolUse(tools, "required", (tools[names.index(wanted)],), 1)


def _unpacked(choice: Any) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    name = choice.get("function", choice).get("name")
    return name or choice.get("type")


_BEGIN = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')


@dataclass
class CallReader:
    """Reads one call after the other.

    Attributes:
        index: Which block of the message is read: calls count on from the one set before the first.
    """

    index: int = 0
    _text: str = field(default="", init=False)
    _num_passed: int = field(default=0, init=False)
    _has_begun: bool = field(default=False, init=False)

    def feed(self, text: str) -> list[ToolCallChunk]:
        """Return what is certain of the current call after some more text."""
        self._text += text
        chunks = []
        if not self._has_begun:
            name, start = _read_begin(self._text)
            if name is None or start == len(self._text):
                return []
            self._has_begun, self._num_passed = True, start
            chunks.append(self._chunk(args="", name=name, id=_new_id()))
        # The brace that closes the call is no part of its arguments: the last one is held back.
        certain = len(self._text.rstrip())
        certain -= self._text[:certain].endswith("}")
        if certain > self._num_passed:
            chunks.append(self._chunk(args=self._text[self._num_passed : certain]))
            self._num_passed = certain
        return chunks

    def end(self) -> list[ToolCallChunk]:
        """Return the rest of the current call, and go on to the next one."""
        rest = [] if _is_whole(self._text) else [self._broken_rest()]
        self.index += 1
        self._text, self._num_passed, self._has_begun = "", 0, False
        return rest

    def _broken_rest(self) -> ToolCallChunk:
        name, start = _read_begin(self._text)
        args = _broken(self._text[start:])
        if self._has_begun:
            return self._chunk(args[self._num_passed - start :])
        return self._chunk(args, name=name, id=_new_id())

    def _chunk(self, args: str, name: str | None = None, id: str | None = None) -> ToolCallChunk:
        return tool_call_chunk(name=name, args=args, id=id, index=self.index)


def read_call(text: str) -> ToolCall | InvalidToolCall:
    """Return a complete call; one that was cut off is invalid, with its text, made unreadable, as arguments."""
    try:
        found = json.loads(text)
        return tool_call(name=found["name"], args=dict(found["arguments"]), id=_new_id())
    except (ValueError, TypeError, KeyError) as exc:
        name, start = _read_begin(text)
        error = f"the call is not complete JSON: {exc}"
        return invalid_tool_call(name=name, args=_broken(text[start:]), id=_new_id(), error=error)


def text_as_written(name: str | None, args: str) -> str:
    """Return the text of a call that was cut off, from what `read_call` or a `CallReader` made of it."""
    written = args.removesuffix(_breakage(args))  # what is added opens no bracket
    return written if name is None else f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {written}'


def _read_begin(text: str) -> tuple[str | None, int]:
    """Return the name and where the arguments begin; `None` and 0 before both are certain."""
    begin = _BEGIN.match(text)
    return (json.loads(begin[1]), begin.end()) if begin else (None, 0)


def _is_whole(text: str) -> bool:
    return read_call(text)["type"] == "tool_call"


def _broken(args: str) -> str:
    """Return arguments that were cut off, followed by more closing brackets than open ones, in and out of a string.

    Closing braces or quotes could be what is missing; no completion makes JSON of this.
    """
    return args + _breakage(args)


def _breakage(args: str) -> str:
    closing = "]" * (args.count("[") + 1)
    return f'"{closing}"{closing}'


def _new_id() -> str:
    return f"call_{uuid4().hex[:24]}"
