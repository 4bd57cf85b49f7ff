"""JSON text and plain data into dataclasses, checked on the way; what is wrong is a `ConfigError` that names the field.

This module knows no particular dataclass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from vreason_agent.errors import ConfigError

PLAIN = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)
"""The `__pydantic_config__` of a dataclass that `read_dataclass` reads."""

_MAX_BITS = 256
_MAX_CHARACTERS = 80
_Read = TypeVar("_Read")


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


def read_dataclass(kind: type[_Read], data: object, *, what: str) -> _Read:
    """Return the dataclass that JSON-plain data describes; fields with a default may be missing.

    Raises:
        ConfigError: a field is unknown, missing, or of another type; or the data is no JSON-plain mapping.
    """
    check_names(checked_mapping(data, what=what), kind, what=what)
    try:
        return TypeAdapter(kind).validate_json(json.dumps(data))
    except ValidationError as exc:
        raise _first_of(exc, what) from exc
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{what} is no JSON-plain data ({exc}); pass what to_dict() or to_json() gave") from exc


def _first_of(exc: ValidationError, what: str) -> ConfigError:
    """Word the first of pydantic's findings, or pass on the dataclass's own."""
    first = exc.errors()[0]
    own = first.get("ctx", {}).get("error")
    if isinstance(own, ConfigError):
        return own
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    return ConfigError(
        f"{what} field {field}={shown(first['input'])}: {first['msg']}; pass what to_dict() or to_json() gave"
    )
