"""Is an answer right, and what is it worth? One option stated, the same open answer, or a number near enough.

An answer that cannot be read is wrong and says so; it is never guessed at. This module does not know who answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from vreason_agent.answers import match_option, normalize_answer, option_label
from vreason_agent.errors import quote
from vreason_agent.evaluation.answer import Answer
from vreason_agent.evaluation.dataset import Question

TOLERANCES = tuple(round(0.5 - 0.05 * step, 2) for step in range(10))
"""Relative errors of the mean relative accuracy: 1 minus its thresholds .50, .55, … .95."""


@dataclass(frozen=True)
class Score:
    """A verdict with its reason.

    Attributes:
        is_correct: Whether the answer counts as right.
        is_parsed: Whether there was an answer to compare; an unparsed one has no confidence either.
        reason: The comparison in words.
        points: What the answer is worth, in [0, 1]: 1 or 0, and between them for a number near the true one.
    """

    is_correct: bool
    is_parsed: bool
    reason: str
    points: float = 0.0


def score(question: Question, answer: Answer) -> Score:
    """Compare an answer with the truth.

    With options, `choice` decides where there is one; else `answer` must state the true option (see `match_option`).
    Without, `question.scoring` decides: `exact`, the two texts are the same after `normalize_answer`; `numerical`, the
    numbers are equal after rounding to two decimals, and either both are written with a decimal mark or neither (K.
    Feng et al., Video-R1, arXiv 2503.21776); `mra`, the share of `TOLERANCES` that the relative error does not exceed
    (J. Yang et al., VSI-Bench, arXiv 2412.14171); `mra_strict`, the same with errors below the tolerance, as Video-R1's
    script has it. An answer that is worth a part of a point is not correct.
    """
    if answer.error is not None:
        return Score(is_correct=False, is_parsed=False, reason=answer.error)
    given = answer.answer or answer.choice or ""
    if not given.strip():
        return Score(is_correct=False, is_parsed=False, reason="no answer found in the output")
    if question.options:
        return _score_option(question, given, answer.choice)
    if question.scoring == "exact":
        return _verdict(given, question.answer, float(normalize_answer(given) == normalize_answer(question.answer)))
    return _score_number(question, given)


def _score_option(question: Question, given: str, choice: str | None) -> Score:
    labels = [option_label(index) for index in range(len(question.options))]
    index = labels.index(choice) if choice in labels else match_option(given, question.options)
    if index is None:
        return Score(False, False, f"{quote(given)} is none of the options {quote(list(question.options))}")
    chosen = question.options[index]
    return _verdict(chosen, question.answer, float(chosen == question.answer))


def _score_number(question: Question, given: str) -> Score:
    number, truth = _number(given), _number(question.answer)
    if number is None or truth is None:
        return Score(False, False, f"{quote(given)} is not a number to compare with {quote(question.answer)}")
    if question.scoring == "numerical":
        same_form = _has_decimal_mark(given) == _has_decimal_mark(question.answer)
        return _verdict(given, question.answer, float(same_form and round(number, 2) == round(truth, 2)))
    error = abs(number - truth) / (abs(truth) or 1e-8)
    slack = 1e-6 if question.scoring == "mra" else -1e-6  # an error of exactly .05 is inside, or outside where strict
    return _verdict(given, question.answer, sum(error < limit + slack for limit in TOLERANCES) / len(TOLERANCES))


def _number(text: str) -> float | None:
    """Return the number that a text is, thousands separated by commas or not, with a unit or in words or not."""
    for words in (text, normalize_answer(text), *normalize_answer(text).split()[:1]):
        try:
            return float(words.replace(",", "").strip().rstrip("."))
        except ValueError:
            continue
    return None


def _has_decimal_mark(text: str) -> bool:
    return "." in text.strip().rstrip(".") or "," in text


def _verdict(given: str, truth: str, points: float) -> Score:
    relation = "equals" if points == 1 else "is not" if points == 0 else f"is worth {points:g} of"
    return Score(points == 1, True, f"{quote(given)} {relation} {quote(truth)}", points)
