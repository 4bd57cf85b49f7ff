"""How the numbers of a judgment read in words: what settled an answer, or what is wrong with it.

This module knows no rule: whether a number counts, and how much is enough, is in the numbers that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import quote

# Signals that have a least value in the policy, with what is said where they are not measured, and where they fail it.
_JUDGED = (
    ("entropy_drop", "the final phase's entropy drop", "the final phase's entropy failed to drop"),
    ("answer_probability", "the answer's probability", "the answer's tokens are unsure"),
)


def praise(numbers: Mapping[str, Any]) -> str:
    """Return what settled an answer that nothing is wrong with."""
    held = numbers["num_agreeing"]
    measured = [
        f"{name.replace('_', ' ')} {numbers[name]:.3f} >= {least:g}"
        for name, *_ in _JUDGED
        if (least := numbers[f"min_{name}"]) is not None
    ]
    stable = f"the answer was the same {held} times in a row" if held > 1 else "it was given on one look"
    return ", and ".join([*measured, stable])


def concerns_of(answer: str | None, numbers: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an answer, `None` being one that could not be read."""
    found = (
        "no answer could be read from the output" if answer is None else None,
        *(_about_signal(name, numbers, *words) for name, *words in _JUDGED),
        _about_agreement(answer, numbers["num_agreeing"], numbers["min_agreeing"]),
    )
    return [concern for concern in found if concern]


def _about_signal(name: str, numbers: Mapping[str, Any], subject: str, failure: str) -> str | None:
    value, least = numbers[name], numbers[f"min_{name}"]
    if least is None:
        return None
    if name == "entropy_drop" and value == 0:
        return f"entropy was still at its peak when the answer ended (needed: a drop of {least:.0%})"
    if value is None:
        return f"{subject} could not be measured (min_{name}={least:g})"
    return f"{failure}: {value:.3f} < min_{name}={least:g}" if value < least else None


def _about_agreement(answer: str | None, agreeing: int, needed: int) -> str | None:
    if answer is None or agreeing >= needed:
        return None
    return f"the answer {quote(answer)} has been given {agreeing} time(s) in a row, {needed} are needed"
