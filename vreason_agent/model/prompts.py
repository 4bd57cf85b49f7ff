"""How questions, options and tools are put into words; `vreason_agent.answers` reads the replies.

The question prompts are defaults: `load_model(..., question_prompt=..., answer_parser=...)` replaces them. Tools are
written out for chat templates that know none, in the words of Qwen's own templates: definitions in the system turn
between `<tools>` marks, each call between `<tool_call>` marks, each result in a user turn between `<tool_response>`
marks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from vreason_agent.answers import ParsedAnswer, option_label, parse_answer
from vreason_agent.errors import ConfigError, quote
from vreason_agent.model.parts import Part, Role, TextPart, ToolCall, Turn

__all__ = [
    "TOOLS_PROMPT",
    "AnswerParser",
    "ParsedAnswer",
    "QuestionPrompt",
    "needs_tools",
    "parse_answer",
    "plain_prompt",
    "reasoning_prompt",
    "with_instructions",
    "write_out_tools",
]

QuestionPrompt: TypeAlias = Callable[[str, Sequence[str]], str]
"""Question and options to the text of the user's turn."""
AnswerParser: TypeAlias = Callable[[str, Sequence[str]], ParsedAnswer]
"""Generated text and options to the answer."""

_SEPARATOR = " / "


def reasoning_prompt(question: str, options: Sequence[str] = ()) -> str:
    """The default for published models: think first, then answer; options under letters.

    An option of several lines is written as a JSON string, so that its lines are not taken for options.
    """
    lines = [question, *(["Options:"] if options else [])]
    for index, option in enumerate(options):
        written = option if len(option.splitlines()) <= 1 else json.dumps(option, ensure_ascii=False)
        lines.append(f"{option_label(index)}. {written}")
    form = "the letter of the one best option" if options else "a short answer, a word or a number where that suffices"
    lines += [
        "",
        "First think step by step about what the frames show and when, between <think> and </think>. "
        f"Then give {form} between <answer> and </answer>.",
    ]
    return "\n".join(lines)


def plain_prompt(question: str, options: Sequence[str] = ()) -> str:
    """The bundled model's prompt: it was trained to think without being told to, and on options between slashes.

    Raises:
        ConfigError: an option holds the slash or a line break, so that it could not be told from its neighbors.
    """
    for option in options:
        if _SEPARATOR in f" {option} " or len(option.splitlines()) > 1:
            raise ConfigError(
                f"option {quote(option)} holds {quote(_SEPARATOR)} or a line break, which is what this model's "
                "prompt puts "
                "between options. Write it without, for example 'a/b' for 'a / b', or pass "
                "load_model(..., question_prompt=reasoning_prompt), which writes options under letters"
            )
    return f"{question}\nOptions: {_SEPARATOR.join(options)}" if options else question


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
