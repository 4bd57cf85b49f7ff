"""Whether a value given by a user is of a kind that can be worked with. This module knows no rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from numbers import Integral, Real
from typing import Any

from ..errors import ConfigError, is_utf8, quote


def is_whole(value: Any) -> bool:
    """Tell whether a value is an integer; True and False are none."""
    return not is_flag(value) and isinstance(value, Integral)


def is_number(value: Any) -> bool:
    """Tell whether a value is a real number that a float can hold; NaN, True and False are none."""
    if is_flag(value) or not isinstance(value, Real):
        return False
    try:
        return not isnan(value)
    except OverflowError:
        return False


def is_limit(value: Any) -> bool:
    """Tell whether a value is a finite number above 0."""
    return is_number(value) and isfinite(value) and value > 0


def is_flag(value: Any) -> bool:
    """Tell whether a value is True or False."""
    return isinstance(value, bool)


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False.

    Raises:
        ConfigError: If it is neither.
    """
    if not is_flag(value):
        msg = f"{name}={quote(value)}: use True or False"
        raise ConfigError(msg)


def as_float(value: float | None) -> float | None:
    """Return a number of whatever kind as one that a checkpointer keeps and a sentence can hold."""
    return None if value is None else float(value)


def are_variations(value: Any) -> bool:
    """Tell whether a value is a list of what further tries differ in, each something by names, and `prompt` a text."""
    return isinstance(value, (tuple, list)) and all(map(_is_variation, value))


def _is_variation(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value or not all(isinstance(name, str) for name in value):
        return False
    return isinstance(prompt := value.get("prompt", "?"), str) and bool(prompt.strip()) and is_utf8(prompt)


def is_one_of(value: Any, known: Sequence[str]) -> bool:
    """Tell whether a value is one of these texts, whatever it makes of being compared."""
    return isinstance(value, str) and value in known


def are_texts(value: Any) -> bool:
    """Tell whether a value is a list of texts."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, str) for each in value)
