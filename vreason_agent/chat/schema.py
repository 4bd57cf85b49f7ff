"""JSON schemas as a grammar can enforce them: closed objects, bounded values, and JSON spelled in one way.

This module knows no LangChain class and no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from llguidance import LLMatcher

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
