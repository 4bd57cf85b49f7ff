"""What an answer must look like, as a grammar and as instructions: tool calls, JSON, or free text.

The thinking is always free: what is demanded begins after `</think>`. Free text with tools at hand is free up to a
`<tool_call>`, and from there on a call. This module knows no LangChain class and no decoding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from llguidance import LLMatcher

from vreason_agent.chat.tool_calls import MAX_PARALLEL_CALLS, ToolUse
from vreason_agent.errors import ConfigError, quote
from vreason_agent.model.grammar import GrammarWords

_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "prefixItems")
_NESTED = ("items", "additionalProperties")
# As Python's json.dumps and the templates spell it; what the library cannot enforce is left out, not refused.
_SPELLING = {
    "whitespace_flexible": False,
    "key_separator": ": ",
    "item_separator": ", ",
    "lenient": True,
    "coerce_one_of": True,
}
# Bounds where a schema has none: a model that was not trained on schemas would write on and on.
MAX_NUMBER, SMALLEST_STEP = 1e15, 1e-9
MAX_ITEMS, MAX_KEY_CHARS = 32, 64
_ANY = "any-json"
_NOT_FREE = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties", "patternProperties"}


def json_term(schema: Mapping[str, Any], *, max_chars: int) -> str:
    """Return the term of a grammar that JSON of this schema matches.

    Args:
        schema: A JSON schema.
        max_chars: Most characters of all strings without a `maxLength`, shared equally between them.
    """
    found = _bounded(closed(schema), max_chars)
    return f"%json {json.dumps({**found, 'x-guidance': _SPELLING}, ensure_ascii=False)}"


def unenforced(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of a schema the grammar leaves out, in the words of the library that enforces it."""
    term = f"%json {json.dumps({**closed(schema), 'x-guidance': _SPELLING}, ensure_ascii=False)}"
    _, notes = LLMatcher.validate_grammar_with_warnings(f"start: {term}", None)
    return tuple(dict.fromkeys(notes))


def closed(schema: Any) -> Any:
    """Return a JSON schema in which objects have the properties that it lists, and no other.

    A schema that says `additionalProperties` itself is left alone, and so is what lies under `allOf`, whose members
    complete each other.
    """
    return _changed(schema, _close)


def _close(schema: dict[str, Any]) -> None:
    if "properties" in schema and "allOf" not in schema:
        schema.setdefault("additionalProperties", False)


def _bounded(schema: dict[str, Any], max_chars: int) -> dict[str, Any]:
    """Return a schema of which every answer ends: strings, numbers, lists and objects without a bound get one."""
    num_strings = 0

    def count(part: dict[str, Any]) -> None:
        nonlocal num_strings
        num_strings += _is_open_string(part)

    def bound(part: dict[str, Any]) -> None:
        if _is_open_string(part):
            part["maxLength"] = max(part.get("minLength", 0), max_chars // max(1, num_strings))
        if _has_type(part, "number") or _has_type(part, "integer"):
            _bound_number(part)
        if _has_type(part, "array"):
            part.setdefault("items", {"$ref": f"#/$defs/{_ANY}"})
            part.setdefault("maxItems", max(part.get("minItems", 0), MAX_ITEMS))
        if _has_type(part, "object") and not {"properties", "patternProperties", "allOf"} & part.keys():
            _bound_object(part)
        if not _NOT_FREE & part.keys():
            part["$ref"] = f"#/$defs/{_ANY}"

    _changed(schema, count)
    anything = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null", "array", "object")]}
    return dict(_changed({**schema, "$defs": {**schema.get("$defs", {}), _ANY: anything}}, bound))


def _has_type(schema: Mapping[str, Any], name: str) -> bool:
    kind = schema.get("type")
    return (kind == name or (isinstance(kind, list) and name in kind)) and not {"enum", "const"} & schema.keys()


def _is_open_string(schema: Mapping[str, Any]) -> bool:
    return _has_type(schema, "string") and not {"maxLength", "pattern", "format"} & schema.keys()


def _bound_number(schema: dict[str, Any]) -> None:
    low, high = schema.get("minimum", 0), schema.get("maximum", 0)
    if not {"minimum", "exclusiveMinimum"} & schema.keys() and high > -MAX_NUMBER:
        schema["minimum"] = -MAX_NUMBER
    if not {"maximum", "exclusiveMaximum"} & schema.keys() and low < MAX_NUMBER:
        schema["maximum"] = MAX_NUMBER
    if _has_type(schema, "number"):
        schema.setdefault("multipleOf", SMALLEST_STEP)


def _bound_object(schema: dict[str, Any]) -> None:
    values = schema.get("additionalProperties", True)
    if values is not False:
        values = {"$ref": f"#/$defs/{_ANY}"} if values is True or values == {} else values
        schema["patternProperties"] = {f"^.{{0,{MAX_KEY_CHARS}}}$": values}
        schema["additionalProperties"] = False
        schema.setdefault("maxProperties", max(schema.get("minProperties", 0), MAX_ITEMS))


def _changed(schema: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """Return a copy of a schema that a function has changed, its nested schemas first; not those under `allOf`."""
    if not isinstance(schema, Mapping):
        return schema
    found = dict(schema)
    for key in _OF_SCHEMAS:
        if isinstance(schema.get(key), Mapping):
            found[key] = {name: _changed(item, change) for name, item in schema[key].items()}
    found |= {
        key: [_changed(item, change) for item in schema[key]] for key in _LISTS if isinstance(schema.get(key), list)
    }
    found |= {key: _changed(schema[key], change) for key in _NESTED if isinstance(schema.get(key), Mapping)}
    change(found)
    return found


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
        is_in_prompt: Whether the schema is to be put into the prompt.
    """

    use: ToolUse = field(default_factory=ToolUse)
    schema: Mapping[str, Any] | None = None
    is_in_prompt: bool = False

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
        if self.schema is None or not self.is_in_prompt or self.use.mode == "required":
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
