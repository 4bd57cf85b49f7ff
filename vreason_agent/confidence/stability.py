"""When are two answers the same, and did an answer hold when more frames were shown?

The equivalence is stated, small and symmetric: option letters decide where both answers have one; otherwise texts are
equal without regard to case, surrounding punctuation, white space, a leading article, and whether a number up to twenty
is written in digits or in words. Nothing else is merged: "red" and "red circle" are different answers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_TENS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_TEENS = (
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
)
_DIGITS = {word: str(number) for number, word in enumerate(_TENS + _TEENS)}
_ARTICLES = {"a", "an", "the"}


def normalize_answer(text: str) -> str:
    """Return the form in which equivalent answers are equal (see the module's docstring)."""
    words = [_strip_punctuation(word) for word in unicodedata.normalize("NFKC", text).casefold().split()]
    words = [_DIGITS.get(word, word) for word in words if word]
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


def same_answer(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two answers, given as `text` and `choice`, are the same; an unread answer equals nothing."""
    if one.get("choice") and other.get("choice"):
        return bool(one["choice"] == other["choice"])
    if one.get("text") is None or other.get("text") is None:
        return False
    return normalize_answer(one["text"]) == normalize_answer(other["text"])


def num_agreeing(answers: Sequence[Mapping[str, Any]]) -> int:
    """Return how many of the latest answers in a row are the same as the last one (0 when the last was not read)."""
    if not answers or not same_answer(answers[-1], answers[-1]):
        return 0
    count = 0
    for answer in reversed(answers):
        if not same_answer(answer, answers[-1]):
            break
        count += 1
    return count


def largest_group(answers: Sequence[Mapping[str, Any]], *, weights: Sequence[float] | None = None) -> list[int]:
    """Return the indices of the most frequent answer; among equals the group with the latest member wins.

    Args:
        answers: each as `text` and `choice`.
        weights: votes of each, from 0 on; `None` gives every answer one.
    """
    votes = [1.0] * len(answers) if weights is None else weights
    groups: list[list[int]] = []
    for index, answer in enumerate(answers):
        home = next((group for group in groups if same_answer(answers[group[0]], answer)), None)
        if home is not None:
            home.append(index)
        elif same_answer(answer, answer):
            groups.append([index])
    return max(groups, key=lambda group: (sum(votes[index] for index in group), group[-1]), default=[])


def _strip_punctuation(word: str) -> str:
    def is_mark(character: str) -> bool:
        return unicodedata.category(character)[0] == "P"

    while word and is_mark(word[0]) and not (word[0] == "-" and word[1:2].isdigit()):
        word = word[1:]
    while word and is_mark(word[-1]) and word[-1] != "%":
        word = word[:-1]
    return word


def repeated_option(options: Sequence[str]) -> str | None:
    """Return the first option that repeats an earlier one, apart from case and surrounding space; `None` for none."""
    seen: set[str] = set()
    for option in options:
        if (key := option.strip().casefold()) in seen:
            return option
        seen.add(key)
    return None
