"""A threshold on the confidence under which the share of wrong answers is bounded, or the statement that none is.

One gate over scores, or a whole ladder that answers at the first rung that is confident enough. The tests are those of
`vreason_agent.confidence.risk`. This module does not know where the confidences come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vreason_agent.confidence.risk import LADDER_THRESHOLDS, Gate, RiskThreshold, certify_gates, check_bounds
from vreason_agent.evaluation.metrics import require_equal_length

FIRST_COVERAGE, STEP = 0.2, 0.05


def certify_threshold(
    scores: Sequence[float], correct: Sequence[bool], *, max_risk: float, confidence: float = 0.9
) -> RiskThreshold:
    """Return the lowest threshold whose risk is bounded, by labelled answers that the scores were not fitted on.

    The thresholds tried are quantiles of the scores, so that no label chooses them (see `certify_gates`). Answers are
    taken as independent: with several questions a video the confidence is overstated.

    Args:
        scores: Confidence of each answer; larger is more confident.
        correct: Whether each answer is right.
        max_risk: Bound on P(wrong | answered), in (0, 1).
        confidence: Probability that the bound holds, in (0, 1).

    Raises:
        ConfigError: A bound outside (0, 1).
        EvaluationError: `scores` and `correct` have different lengths.
    """
    check_bounds(max_risk, confidence)
    require_equal_length(scores, correct)
    values, wrong = np.asarray(scores, dtype=float), ~np.asarray(correct, dtype=bool)
    gates = []
    for coverage in np.arange(FIRST_COVERAGE, 1 + STEP / 2, STEP) if len(values) else ():
        threshold = float(np.quantile(values, max(0.0, 1 - coverage), method="lower"))
        answered = values >= threshold
        gates.append(Gate(threshold, int(answered.sum()), int(wrong[answered].sum())))
    return certify_gates(gates, len(values), max_risk=max_risk, confidence=confidence)


def ladder_gates(
    rungs: Sequence[tuple[Sequence[float | None], Sequence[bool]]], thresholds: Sequence[float] = LADDER_THRESHOLDS
) -> list[Gate]:
    """Return what each threshold does to a ladder that answers at its first rung with at least that probability.

    Args:
        rungs: From few frames to many, the probability of each question's answer and whether it is right; `None`, an
            answer that could not be read, is never given.
        thresholds: From strict to lenient.

    Raises:
        EvaluationError: The rungs have different questions.
    """
    gates = []
    for threshold in thresholds:
        answered: dict[int, bool] = {}
        for probabilities, correct in rungs:
            require_equal_length(probabilities, rungs[0][0])
            require_equal_length(probabilities, correct)
            for index, (value, is_right) in enumerate(zip(probabilities, correct, strict=True)):
                if index not in answered and value is not None and value >= threshold:
                    answered[index] = bool(is_right)
        gates.append(Gate(threshold, len(answered), sum(not is_right for is_right in answered.values())))
    return gates
