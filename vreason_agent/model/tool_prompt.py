"""Tools for chat templates that know none: definitions, calls and results written out as text.

The wording is that of Qwen's own templates: definitions in the system turn between `<tools>` marks, each call between
`<tool_call>` marks, each result in a user turn between `<tool_response>` marks.

This module does not know about templates, tokens or grammars.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from vreason_agent.model.parts import Part, Role, TextPart, ToolCall, Turn

__all__ = ["TOOLS_PROMPT", "needs_tools", "with_instructions", "write_out_tools"]

TOOLS_PROMPT = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def needs_tools(turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a conversation has to do with tools."""
    return bool(tools) or any(turn.calls or turn.role == "tool" for turn in turns)


def write_out_tools(turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Return turns of text and pictures only that say the same, roles alternating.

    Args:
        turns: may hold calls and turns of tools.
        tools: definitions in OpenAI's form, put into the system turn.
    """
    if tools:
        listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        turns = with_instructions(turns, TOOLS_PROMPT.format(tools=listed))
    written = [_written(turn) for turn in turns]
    return tuple(Turn(role, tuple(_parts(run))) for role, run in groupby(written, key=lambda turn: turn.role))


def with_instructions(turns: Sequence[Turn], text: str) -> tuple[Turn, ...]:
    """Return the turns with a text at the end of the system turn, which is made if there is none."""
    if turns and turns[0].role == "system":
        parts = (*turns[0].parts, TextPart(f"\n\n{text}"))
        return (Turn("system", parts), *turns[1:])
    return (Turn("system", (TextPart(text),)), *turns)


def _written(turn: Turn) -> Turn:
    role: Role = "user" if turn.role == "tool" else turn.role
    parts: Iterable[Part] = turn.parts
    if turn.role == "tool":
        parts = (TextPart("<tool_response>\n"), *turn.parts, TextPart("\n</tool_response>"))
    return Turn(role, tuple([*parts, *_calls(turn.calls, has_text=bool(turn.parts))]))


def _calls(calls: Sequence[ToolCall], *, has_text: bool) -> Iterator[TextPart]:
    for index, call in enumerate(calls):
        said = json.dumps({"name": call.name, "arguments": dict(call.arguments)}, ensure_ascii=False)
        between = "\n" if index or has_text else ""
        yield TextPart(f"{between}<tool_call>\n{said}\n</tool_call>")


def _parts(turns: Iterable[Turn]) -> Iterator[Part]:
    for index, turn in enumerate(turns):
        if index:
            yield TextPart("\n")
        yield from turn.parts
