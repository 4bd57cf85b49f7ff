"""A threshold on the confidence under which the share of wrong answers is bounded, or the statement that none is.

Implements learn-then-test (A. N. Angelopoulos et al., 2021) for one gate: fixed-sequence tests of exact binomial
p-values from several starts. This module does not know where the confidences come from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vreason_agent.errors import ConfigError, quote
from vreason_agent.evaluation.metrics import require_equal_length

STARTS = (0.2, 0.4, 0.6, 0.8)
STEP = 0.05


@dataclass(frozen=True)
class RiskThreshold:
    """The lowest confidence to answer at, with what it promises.

    Attributes:
        threshold: Answer where the confidence is at least this; `None` where the data support no threshold.
        max_risk: Bound on the share of wrong answers among those given.
        confidence: Probability, over the draw of the labelled questions, that the bound holds.
        num_answered: Labelled questions that would be answered.
        num_wrong: Wrong ones among them.
        num_questions: All labelled questions.
    """

    threshold: float | None
    max_risk: float
    confidence: float
    num_answered: int
    num_wrong: int
    num_questions: int

    def __str__(self) -> str:
        """Return the promise as a sentence."""
        bound = f"at most {self.max_risk:.1%} of the given answers are wrong, with {self.confidence:.0%} confidence"
        if self.threshold is None:
            return f"{self.num_questions} labelled answers cannot support a threshold under which {bound}."
        share = self.num_answered / self.num_questions
        return f"Answering at a confidence of at least {self.threshold:.3f} ({share:.0%} of the questions), {bound}."


def certify_threshold(
    scores: Sequence[float], correct: Sequence[bool], *, max_risk: float, confidence: float = 0.9
) -> RiskThreshold:
    """Return the lowest threshold whose risk is bounded, by labelled answers that the scores were not fitted on.

    The thresholds tried are quantiles of the scores, so that no label chooses them. From each of four starts, tests go
    on to lower thresholds until the first fails; the starts share the error probability. Answers are taken as
    independent: with several questions a video the confidence is overstated.

    Args:
        scores: Confidence of each answer; larger is more confident.
        correct: Whether each answer is right.
        max_risk: Bound on P(wrong | answered), in (0, 1).
        confidence: Probability that the bound holds, in (0, 1).

    Raises:
        ConfigError: A bound outside (0, 1).
        EvaluationError: `scores` and `correct` have different lengths.
    """
    for name, value in (("max_risk", max_risk), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigError(f"{name}={quote(value)} must lie between 0 and 1, such as max_risk=0.1, confidence=0.9")
    require_equal_length(scores, correct)
    values, wrong = np.asarray(scores, dtype=float), ~np.asarray(correct, dtype=bool)
    error = (1 - confidence) / len(STARTS)
    best = RiskThreshold(None, max_risk, confidence, 0, 0, len(values))
    for start in STARTS if len(values) else ():
        for coverage in np.arange(start, 1 + STEP / 2, STEP):
            threshold = float(np.quantile(values, max(0.0, 1 - coverage), method="lower"))
            answered = values >= threshold
            num_answered, num_wrong = int(answered.sum()), int(wrong[answered].sum())
            if _binomial_tail(num_wrong, num_answered, max_risk) > error:
                break
            if num_answered > best.num_answered:
                best = RiskThreshold(threshold, max_risk, confidence, num_answered, num_wrong, len(values))
    return best


def _binomial_tail(successes: int, n: int, chance: float) -> float:
    """P(X <= successes) for X binomial: the p-value of "the risk is above `chance`"."""
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(chance)
        + (n - k) * math.log1p(-chance)
        for k in range(successes + 1)
    ]
    return min(1.0, math.fsum(math.exp(value) for value in logs))
