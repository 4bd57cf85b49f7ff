"""JSON schemas as a grammar can enforce them: closed objects, and JSON spelled in one way.

This module knows no LangChain class and no model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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


def json_term(schema: Mapping[str, Any]) -> str:
    """Return the term of a grammar that JSON of this schema matches."""
    return f"%json {json.dumps({**closed(schema), 'x-guidance': _SPELLING}, ensure_ascii=False)}"


def unenforced(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of a schema the grammar leaves out, in the words of the library that enforces it."""
    _, notes = LLMatcher.validate_grammar_with_warnings(f"start: {json_term(schema)}", None)
    return tuple(dict.fromkeys(notes))


def closed(schema: Any) -> Any:
    """Return a JSON schema in which objects have the properties that it lists, and no other.

    A schema that says `additionalProperties` itself is left alone, and so is what lies under `allOf`, whose members
    complete each other.
    """
    if not isinstance(schema, Mapping):
        return schema
    found = dict(schema)
    for key in _OF_SCHEMAS:
        if isinstance(schema.get(key), Mapping):
            found[key] = {name: closed(item) for name, item in schema[key].items()}
    found |= {key: [closed(item) for item in schema[key]] for key in _LISTS if isinstance(schema.get(key), list)}
    found |= {key: closed(schema[key]) for key in _NESTED if isinstance(schema.get(key), Mapping)}
    if "properties" in schema and "allOf" not in schema:
        found.setdefault("additionalProperties", False)
    return found
