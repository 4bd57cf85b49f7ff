"""Bounds on the share of wrong answers among those given: thresholds with a guarantee, and a watch over it.

Implements learn-then-test (A. N. Angelopoulos et al., 2021) by fixed-sequence tests of exact binomial p-values from
several starts. Only the standard library; this module does not know where confidences come from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vreason_agent.errors import ConfigError, quote

NUM_STARTS = 4
LADDER_THRESHOLDS = (
    *(0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.9, 0.875),
    *(0.85, 0.825, 0.8, 0.775, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.2, 0.0),
)
"""Probabilities that a ladder may accept at, fixed before any label is seen."""


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


@dataclass(frozen=True)
class Gate:
    """What one threshold does on labelled questions.

    Attributes:
        threshold: Answers are given from this confidence on.
        num_answered: Questions answered.
        num_wrong: Wrong answers among them.
    """

    threshold: float
    num_answered: int
    num_wrong: int


def certify_gates(
    gates: Sequence[Gate], num_questions: int, *, max_risk: float, confidence: float = 0.9
) -> RiskThreshold:
    """Return the gate that answers most among those whose risk is bounded.

    From each of four evenly spread starts, tests go on to later gates until the first fails; the starts share the error
    probability. What is answered and where must not depend on the labels; questions are taken as independent.

    Args:
        gates: From strict to lenient.
        num_questions: All labelled questions.
        max_risk: Bound on P(wrong | answered), in (0, 1).
        confidence: Probability that the bound holds, in (0, 1).

    Raises:
        ConfigError: A bound outside (0, 1).
    """
    check_bounds(max_risk, confidence)
    error = (1 - confidence) / NUM_STARTS
    best = RiskThreshold(None, max_risk, confidence, 0, 0, num_questions)
    for start in range(NUM_STARTS):
        for gate in gates[start * len(gates) // NUM_STARTS :]:
            if binomial_tail(gate.num_wrong, gate.num_answered, max_risk) > error:
                break
            if gate.num_answered > best.num_answered:
                counts = (gate.num_answered, gate.num_wrong, num_questions)
                best = RiskThreshold(gate.threshold, max_risk, confidence, *counts)
    return best


def check_bounds(max_risk: float, confidence: float) -> None:
    """Raise `ConfigError` where a bound is outside (0, 1)."""
    for name, value in (("max_risk", max_risk), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigError(f"{name}={quote(value)} must lie between 0 and 1, such as max_risk=0.1, confidence=0.9")


def binomial_tail(successes: int, n: int, chance: float) -> float:
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


class RiskMonitor:
    """Watches whether answers given under a guarantee still keep it, on those whose truth becomes known.

    A bet against the bound whose stake is worth more the more answers are wrong (I. Waudby-Smith and A. Ramdas, 2024):
    while at most `max_risk` of the answers are wrong, the bet ever reaches `1 / false_alarm` with a probability of at
    most `false_alarm`, however long one watches (J. Ville, 1939).

    Attributes:
        max_risk: The bound that was promised.
        false_alarm: Probability of ever warning while the bound holds.
        num_seen: Labelled answers so far.
        num_wrong: Wrong ones among them.
    """

    def __init__(self, max_risk: float, *, false_alarm: float = 0.05) -> None:
        """Begin to watch.

        Raises:
            ConfigError: A bound outside (0, 1).
        """
        check_bounds(max_risk, false_alarm)
        self.max_risk, self.false_alarm = max_risk, false_alarm
        self.num_seen = self.num_wrong = 0
        # A mixture of stakes, each of which is worth 1 in the mean at a risk of `max_risk`.
        self._stakes = [share / max_risk / 8 for share in range(1, 8)]
        self._logs = [0.0] * len(self._stakes)
        self._highest = 0.0

    def observe(self, *, is_correct: bool) -> bool:
        """Take in one answer that was given, and return whether the guarantee is void by now."""
        self.num_seen += 1
        self.num_wrong += not is_correct
        excess = (not is_correct) - self.max_risk
        self._logs = [log + math.log1p(stake * excess) for log, stake in zip(self._logs, self._stakes, strict=True)]
        wealth = math.fsum(math.exp(min(log, 700.0)) for log in self._logs) / len(self._logs)
        self._highest = max(self._highest, wealth)
        return self.is_void

    @property
    def is_void(self) -> bool:
        """Whether more answers were wrong than the bound allows by chance; it stays so."""
        return self._highest >= 1 / self.false_alarm

    def __str__(self) -> str:
        """Return the state as a sentence."""
        seen = f"{self.num_wrong} of {self.num_seen} labelled answers were wrong"
        if not self.is_void:
            return f"{seen}: no evidence that more than {self.max_risk:.0%} are."
        return (
            f"The guarantee is void: {seen}, more than the promised {self.max_risk:.0%} (chance of a false alarm at "
            f"most {self.false_alarm:.0%}). Label new questions and run: vreason-agent calibrate RUN --out FILE"
        )
