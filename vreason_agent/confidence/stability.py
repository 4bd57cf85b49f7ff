"""Did an answer hold when more frames were shown? Answers are the same as `vreason_agent.answers` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vreason_agent.answers import same_answer


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
