"""The part of a video that a model's words name, by one rule.

A time is a number with `s`, `sec` or `seconds`, a clock time such as `1:05`, or a decimal number that begins a line, as
in a log of frames. `4 to 6 s`, `between 4 s and 6 s` and `4-6 s` name two. What counts are the times in the answer;
where it names none, those of the sentences that say the answer; where none does, all that are named. The part runs from
the earliest to the latest of them. This module knows no graph.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = r"\d+(?:\.\d+)?"
_UNIT = r"\s*(?:seconds?|secs?|s)\b"
_CLOCK = r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?\b"
_TIME = re.compile(
    rf"(?P<clock>{_CLOCK})"
    rf"|(?<![\d.:])(?:(?P<first>{_NUMBER})(?:{_UNIT})?\s*(?:and|to|until|-|\u2013)\s*)?(?P<last>{_NUMBER}){_UNIT}"
    r"|^\s*(?P<logged>\d+\.\d+)(?=\s)",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class NamedPart:
    """From the earliest to the latest time that was named, and where; one moment where they are the same.

    Attributes:
        start_seconds: The earliest.
        stop_seconds: The latest.
        where: What named it, as the subject of a sentence.
    """

    start_seconds: float
    stop_seconds: float
    where: str


def named_part(answer: str | None, reasoning: str) -> NamedPart | None:
    """Return the part that an answer, or the reasoning for it, names; `None` if they name no time."""
    sentences = _SENTENCE_END.split(reasoning)
    for texts, where in (
        ([answer or ""], "the answer"),
        ([sentence for sentence in sentences if _says(sentence, answer)], "the reasoning for the answer"),
        (sentences, "the reasoning"),
    ):
        if times := [time for text in texts for time in named_times(text)]:
            return NamedPart(min(times), max(times), where)
    return None


def named_times(text: str) -> list[float]:
    """Return the times that a text names, in seconds, in its order."""
    return [time for match in _TIME.finditer(text) for time in _seconds(match)]


def _seconds(match: re.Match[str]) -> Sequence[float]:
    if match["clock"]:
        parts = [float(part) for part in match["clock"].split(":")]
        return [sum(part * 60**power for power, part in enumerate(reversed(parts)))]
    return [float(match[name]) for name in ("first", "last", "logged") if match[name]]


def _says(sentence: str, answer: str | None) -> bool:
    """Tell whether the answer's words stand in a sentence, its times left out: a count is no second.

    An option's letter says nothing: `a` is in most sentences.
    """
    words = " ".join((answer or "").split()).strip(" .!?")
    if not words or (len(words) == 1 and words.isalpha()):
        return False
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", _TIME.sub(" ", sentence), re.IGNORECASE) is not None
