"""What an answer must look like, as a grammar and as instructions: tool calls, JSON, or free text.

The thinking is always free: what is demanded begins after `</think>`. Free text with tools at hand is free up to a
`<tool_call>`, and from there on a call. This module knows no LangChain class and no decoding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vreason_agent.chat.schema import closed, json_term, unenforced
from vreason_agent.chat.tools import MAX_PARALLEL_CALLS, ToolUse
from vreason_agent.errors import ConfigError, quote
from vreason_agent.model.grammar import GrammarWords

CALL_BEGIN, CALL_END = "<tool_call>\n", "\n</tool_call>"
_THINK, _THOUGHT, _CALL, _CALLED = "<think>", "</think>", "<tool_call>", "</tool_call>"
_INSTRUCTIONS = "Answer with JSON that follows this JSON schema, and with nothing else:\n{schema}"


@dataclass(frozen=True)
class FormatLimits:
    """Where an output of a demanded form ends at the latest: a model that was not trained on it would write on and on.

    Attributes:
        thought_tokens: Most tokens of the thinking before JSON or a call that is demanded.
        string_chars: Most characters that the strings without a `maxLength` share.
        calls: Most calls in one answer.
    """

    thought_tokens: int
    string_chars: int
    calls: int = MAX_PARALLEL_CALLS


@dataclass(frozen=True)
class OutputFormat:
    """The form of one answer.

    Attributes:
        use: The tools that may or must be called.
        schema: JSON schema of the answer; `None` for text.
        is_told: Whether the schema is to be put into the prompt.
    """

    use: ToolUse = field(default_factory=ToolUse)
    schema: Mapping[str, Any] | None = None
    is_told: bool = False

    @property
    def has_calls(self) -> bool:
        """Whether the answer may hold calls."""
        return self.use.mode != "none"

    @property
    def is_enforced(self) -> bool:
        """Whether there is anything to enforce."""
        return self.schema is not None or bool(self.use.tools)

    @cached_property
    def unenforced(self) -> tuple[str, ...]:
        """What of the schemas is not enforced, such as `Unimplemented keys: ["uniqueItems"]`; usually nothing."""
        tools = [_parameters(tool["function"]) for tool in self.use.callable_tools] if self.has_calls else []
        schemas = [*tools, *([] if self.schema is None else [self.schema])]
        return tuple(dict.fromkeys(note for schema in schemas for note in unenforced(schema)))

    @property
    def instructions(self) -> str | None:
        """What the prompt says about the form beyond the tools; `None` for nothing."""
        if self.schema is None or not self.is_told or self.use.mode == "required":
            return None
        return _INSTRUCTIONS.format(schema=json.dumps(closed(self.schema), ensure_ascii=False))

    def grammar(self, words: GrammarWords, *, starts_in_reasoning: bool, limits: FormatLimits) -> str:
        """Return the grammar of an output.

        Args:
            words: The model's.
            starts_in_reasoning: Whether the prompt itself ended in `<think>`.
            limits: Where an output that has to be JSON or a call ends at the latest.
        """
        is_demanded = self.schema is not None or self.use.mode == "required"
        rules = self._demanded(words, limits) if is_demanded else self._free(words, limits)
        thought = words.free_text("thought", _THOUGHT, max_tokens=limits.thought_tokens if is_demanded else None)
        think = "" if starts_in_reasoning else words.word(_THINK)
        starts = [f"{think} {thought.until} {'(BREAK)? ' if is_demanded else ''}body"]
        starts += [] if is_demanded else [f"{think} {thought.without}"]
        starts += [] if starts_in_reasoning else ["body"]
        return "\n".join([f"start: {' | '.join(starts)}", "BREAK: /\\n{1,2}/", thought.text, *rules])

    def _demanded(self, words: GrammarWords, limits: FormatLimits) -> list[str]:
        forms = []
        rules = []
        if self.schema is not None and self.use.mode != "required":
            forms.append("json")
            rules.append(f"json: {json_term(self.schema, max_chars=limits.string_chars)}")
        if self.has_calls:
            forms.append(f"{words.word(_CALL)} calls")
            rules += self._calls(words, limits)
        return [f"body: {' | '.join(forms)}", *rules]

    def _free(self, words: GrammarWords, limits: FormatLimits) -> list[str]:
        said = words.free_text("said", _CALL, never=(_THINK,))
        if not self.has_calls:
            return [f"body: {said.without}", said.text]
        return [f"body: {said.without} | {said.until} calls", said.text, *self._calls(words, limits)]

    def _calls(self, words: GrammarWords, limits: FormatLimits) -> list[str]:
        functions = [tool["function"] for tool in self.use.callable_tools]
        names = [f"call_{index}" for index in range(len(functions))]
        max_more = min(self.use.max_calls, limits.calls) - 1
        more = f' ("\\n" {words.word(_CALL)} call){{0,{max_more}}}' if max_more else ""
        rules = [f"calls: call{more}", f'call: "\\n" ({" | ".join(names)}) "\\n" {words.word(_CALLED)}']
        for name, function in zip(names, functions, strict=True):
            begin = f'{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "arguments": '
            arguments = json_term(_parameters(function), max_chars=limits.string_chars)
            rules.append(f'{name}: {words.word(begin)} {arguments} "}}"')
        return rules


def _parameters(function: Mapping[str, Any]) -> Mapping[str, Any]:
    return function.get("parameters") or {"type": "object", "properties": {}}


def answer_grammar(words: GrammarWords, answer: str, *, starts_in_reasoning: bool) -> str:
    """Return the grammar of an output that thinks freely and then gives this one answer between `<answer>` marks.

    Args:
        words: The model's.
        answer: Its text.
        starts_in_reasoning: Whether the prompt itself ended in `<think>`.
    """
    thought = words.free_text("thought", _THOUGHT, never=("<answer>",))
    think = "" if starts_in_reasoning else words.word(_THINK)
    starts = [f"{think} {thought.until} (BREAK)? body", *([] if starts_in_reasoning else ["body"])]
    body = " ".join(words.word(text) for text in ("<answer>", answer, "</answer>"))
    return "\n".join([f"start: {' | '.join(starts)}", "BREAK: /\\n{1,2}/", thought.text, f"body: {body}"])


def response_schema(response_format: Any) -> Mapping[str, Any] | None:
    """Return the JSON schema that OpenAI's `response_format` demands, `None` for text.

    Raises:
        ConfigError: If it has another form.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return response_format.get("schema") or {"type": "object"}
    schema = response_format.get("json_schema", {}).get("schema") if kind == "json_schema" else None
    if isinstance(schema, Mapping):
        return schema
    msg = (
        f"response_format={quote(response_format)} cannot be read; give {{'type': 'json_object'}} or "
        "{'type': 'json_schema', 'json_schema': {'name': ..., 'schema': {...}}}, or use with_structured_output"
    )
    raise ConfigError(msg)
