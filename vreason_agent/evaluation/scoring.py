"""Is an answer right? One option stated, or the same open answer, as `vreason_agent.answers` reads and compares them.

An answer that cannot be read is wrong and says so; it is never guessed at. This module does not know who answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from vreason_agent.answers import match_option, normalize_answer, option_label
from vreason_agent.errors import quote
from vreason_agent.evaluation.answer import Answer
from vreason_agent.evaluation.dataset import Question


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

    With options, `choice` decides where there is one; else `answer` must state the true option (see `match_option`).
    Without, the two texts must be the same after `normalize_answer`.
    """
    if answer.error is not None:
        return Score(is_correct=False, is_parsed=False, reason=answer.error)
    given = answer.answer or answer.choice or ""
    if not given.strip():
        return Score(is_correct=False, is_parsed=False, reason="no answer found in the output")
    if question.options:
        return _score_option(question, given, answer.choice)
    return _verdict(given, question.answer, is_correct=normalize_answer(given) == normalize_answer(question.answer))


def _score_option(question: Question, given: str, choice: str | None) -> Score:
    labels = [option_label(index) for index in range(len(question.options))]
    index = labels.index(choice) if choice in labels else match_option(given, question.options)
    if index is None:
        return Score(False, False, f"{quote(given)} is none of the options {quote(list(question.options))}")
    chosen = question.options[index]
    return _verdict(chosen, question.answer, is_correct=chosen == question.answer)


def _verdict(given: str, truth: str, *, is_correct: bool) -> Score:
    return Score(is_correct, True, f"{quote(given)} {'equals' if is_correct else 'is not'} {quote(truth)}")
