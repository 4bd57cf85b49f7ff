"""Is an answer right? Exact match on options, numbers by value, open text after light normalization.

An answer that cannot be read is wrong and says so; it is never guessed at. This module does not know who answered.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from dataclasses import dataclass

from vreason_agent.evaluation.answer import Answer
from vreason_agent.evaluation.dataset import Question

_NUMBER = re.compile(r"[-+]?(?:\d+(?:,\d{3})+|\d+)?(?:\.\d+)?")
_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


@dataclass(frozen=True)
class Score:
    """A verdict with its reason.

    Attributes:
        is_correct: Whether the answer counts as right.
        is_parsed: Whether there was an answer to compare; an unparsed one has no confidence either.
        reason: The comparison in words.
    """

    is_correct: bool
    is_parsed: bool
    reason: str


def score(question: Question, answer: Answer) -> Score:
    """Compare an answer with the truth.

    With options, the answer must be one option's text (after `normalize`) or its letter, and that option the true one.
    Without, numbers are compared by value and other text after `normalize`.
    """
    if answer.error is not None:
        return Score(is_correct=False, is_parsed=False, reason=answer.error)
    given = answer.answer if answer.answer is not None else answer.choice
    if given is None or not given.strip():
        return Score(is_correct=False, is_parsed=False, reason="no answer found in the output")
    if question.options:
        return _score_option(question, given)
    is_correct = _is_same(given, question.answer)
    return Score(is_correct, True, f"{given!r} {_relation(is_correct)} {question.answer!r}")


def normalize(text: str) -> str:
    """Fold case, Unicode form and white space, and drop punctuation and an article around the text."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return re.sub(r"^(?:the|an|a) (?=\S)", "", folded.strip(string.punctuation + " "))


def match_option(options: tuple[str, ...], given: str) -> int | None:
    """Return the index of the option that a text or a letter names, `None` if none or more than one does."""
    wanted = normalize(given)
    matches = [index for index, option in enumerate(options) if normalize(option) == wanted]
    if not matches and len(wanted) == 1 and wanted in string.ascii_lowercase[: len(options)]:
        matches = [string.ascii_lowercase.index(wanted)]
    return matches[0] if len(matches) == 1 else None


def parse_number(text: str) -> float | None:
    """Return the number that the whole text is (digits, or a word up to twelve), else `None`."""
    cleaned = normalize(text) if not text.strip().startswith(("-", "+", ".")) else text.strip()
    if cleaned in _NUMBER_WORDS:
        return float(_NUMBER_WORDS.index(cleaned))
    if not cleaned or not _NUMBER.fullmatch(cleaned) or not any(mark.isdigit() for mark in cleaned):
        return None
    return float(cleaned.replace(",", ""))


def _score_option(question: Question, given: str) -> Score:
    index = match_option(question.options, given)
    if index is None:
        return Score(False, False, f"{given!r} is none of the options {list(question.options)}")
    chosen = question.options[index]
    is_correct = chosen == question.answer
    return Score(is_correct, True, f"{chosen!r} {_relation(is_correct)} {question.answer!r}")


def _is_same(given: str, truth: str) -> bool:
    numbers = parse_number(given), parse_number(truth)
    if numbers[0] is not None and numbers[1] is not None:
        return math.isclose(numbers[0], numbers[1], rel_tol=1e-9, abs_tol=1e-9)
    return normalize(given) == normalize(truth)


def _relation(is_correct: bool) -> str:
    return "equals" if is_correct else "is not"
