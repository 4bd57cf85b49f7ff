"""JSON text and plain data into the types that a dataclass's annotations name, checked on the way.

Types understood: `bool`, `int`, `float` (finite), `str`, enums, tuples of one type, dataclasses, and any of them or
`None`. A dataclass with a `from_dict` of its own is read by that. This module knows no particular dataclass.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from vreason_agent.errors import ConfigError

_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
_MAX_BITS = 256
_MAX_CHARACTERS = 80


def shown(value: object) -> str:
    """Return `repr` in at most 80 characters; Python refuses to write out integers of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return f"<a whole number of {value.bit_length()} bits>"
    text = repr(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 3]}..."


def json_object(text: str, *, what: str) -> Mapping[str, Any]:
    """Return the JSON object in `text`; `what` names it in messages.

    Raises:
        ConfigError: the text is no JSON, or JSON but no object.
    """
    try:
        data = json.loads(text)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(
            f"{what} must be a JSON object; got {shown(text)} ({exc}); write it as {{...}}, as to_json() does"
        ) from exc
    return checked_mapping(data, what=what)


def checked_mapping(data: object, *, what: str) -> Mapping[str, Any]:
    """Return `data` if it is a mapping.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{what} must be a JSON object; got {shown(data)}; write it as {{...}}, as to_dict() does")
    return data


def check_names(data: Mapping[str, Any], kind: type[Any], *, what: str) -> None:
    """Refuse keys that are no field of the dataclass `kind`.

    Raises:
        ConfigError: there is one.
    """
    known = [field.name for field in fields(kind)]
    unknown = [key for key in data if key not in known]
    if unknown:
        raise ConfigError(f"unknown {what} field {shown(unknown[0])}; use one of: {', '.join(known)}")


def read_fields(kind: type[Any], data: object, *, what: str) -> dict[str, Any]:
    """Return the arguments of the dataclass `kind` that `data` describes; fields with a default may be missing.

    Raises:
        ConfigError: a field is unknown, missing, or of another type.
    """
    given = checked_mapping(data, what=what)
    check_names(given, kind, what=what)
    missing = [f.name for f in fields(kind) if f.name not in given and f.default is f.default_factory is MISSING]
    if missing:
        raise ConfigError(f"{what} lacks the field {missing[0]!r}; pass what to_dict() or to_json() gave")
    hints = get_type_hints(kind)
    return {name: _read(hints[name], value, f"{what} field {name!r}") for name, value in given.items()}


def _read(kind: Any, value: Any, what: str) -> Any:
    options = get_args(kind)
    if get_origin(kind) is tuple:
        return tuple(_read(options[0], item, f"{what}[{index}]") for index, item in enumerate(_items(value, what)))
    if NoneType in options:
        return None if value is None else _read(next(o for o in options if o is not NoneType), value, what)
    if is_dataclass(kind):
        own: Any = kind
        return own.from_dict(value) if hasattr(own, "from_dict") else own(**read_fields(own, value, what=what))
    if issubclass(kind, Enum):
        return _member(kind, value, what)
    if not _is_a(kind, value):
        raise ConfigError(f"{what}={shown(value)} must be {_WORDS[kind]}; pass what to_dict() or to_json() gave")
    return value


def _items(value: object, what: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{what}={shown(value)} must be a list; pass what to_dict() or to_json() gave")
    return value


def _member(kind: type[Enum], value: object, what: str) -> Enum:
    allowed = {member.value: member for member in kind}
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{what}={shown(value)} is not known; use one of: {', '.join(allowed)}")
    return allowed[value]


def _is_a(kind: type[Any], value: Any) -> bool:
    if kind is float:
        return type(value) is int or (type(value) is float and math.isfinite(value))
    return type(value) is kind
