"""Which tools a call may use, and whether it must: every spelling of tools and of `tool_choice` in use, as one value.

This module knows no prompt and no grammar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
