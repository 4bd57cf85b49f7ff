"""What the options of a question say about an answer: how likely each was before the reasoning, and where it ended.

The log-probabilities come from one forward pass over the options on the generation's cache (`decoding.continuations`),
by the model without steering. This module knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Any

from vreason_agent.answers import same_answer

OPTION_SIGNALS = (
    "option_probability_before",
    "option_margin_before",
    "option_probability",
    "option_margin",
    "option_mass",
)


@dataclass(frozen=True)
class OptionProbabilities:
    """Each option's probability among the options, in [0, 1], in their order.

    Attributes:
        before: Right after the prompt, the reasoning skipped.
        after: Where the answer stands, after the reasoning; `None` where no place of an answer was found.
        mass: What all options together have of the probability there, in [0, 1]; `None` with `after`. Near 1: the model
            wants to say one of them.
    """

    before: Mapping[str, float]
    after: Mapping[str, float] | None = None
    mass: float | None = None

    @classmethod
    def of(
        cls, options: Sequence[str], before: Sequence[float], after: Sequence[float] | None = None
    ) -> OptionProbabilities:
        """Normalize log-probabilities (nats) of writing each option."""
        if after is None:
            return cls(_normalized(options, before))
        mass = min(1.0, fsum(exp(min(value, 0.0)) for value in after))
        return cls(_normalized(options, before), _normalized(options, after), mass)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        after = None if self.after is None else dict(self.after)
        return {"before": dict(self.before), "after": after, "mass": self.mass}


def read_option_signals(options: OptionProbabilities | None, answer: str | None) -> dict[str, float | None]:
    """Return one entry per name in `OPTION_SIGNALS`, `None` where it was not measured.

    Args:
        options: The options' probabilities, if there were options.
        answer: The option that was answered; of an answer that is none of them only `option_mass` is measured.

    Returns:
        `option_probability` the answer's probability among the options where it was given, in [0, 1];
        `option_margin` that minus the best other option's, in [-1, 1]; the same `_before` the reasoning: of the answer
        given in the end; `option_mass` the probability of all options together, in [0, 1]. All: higher is more settled.
    """
    if options is None:
        return dict.fromkeys(OPTION_SIGNALS)
    named = next((name for name in options.before if same_answer({"text": name}, {"text": answer})), None)
    before, after = _read(options.before, named), _read(options.after, named)
    return dict(zip(OPTION_SIGNALS, (*before, *after, options.mass), strict=True))


def option_shift(one: Mapping[str, float] | None, other: Mapping[str, float] | None) -> float | None:
    """Return the Jensen-Shannon divergence of two distributions over the same options, nats, in [0, log 2].

    J. Lin (1991). 0: more frames, or the reasoning, changed nothing. `None` where one is missing or the options differ.
    """
    if one is None or other is None or one.keys() != other.keys():
        return None
    pairs = [(one[name], other[name]) for name in one]
    return max(0.0, fsum(_relative(p, (p + q) / 2) + _relative(q, (p + q) / 2) for p, q in pairs) / 2)


def _relative(p: float, mean: float) -> float:
    return p * log(p / mean) if p > 0 else 0.0


def _read(probabilities: Mapping[str, float] | None, named: str | None) -> tuple[float | None, float | None]:
    if probabilities is None or named is None:
        return None, None
    others = [value for name, value in probabilities.items() if name != named]
    return probabilities[named], probabilities[named] - max(others, default=0.0)


def _normalized(options: Sequence[str], logprobs: Sequence[float]) -> dict[str, float]:
    highest = max(logprobs)
    weights = [exp(value - highest) for value in logprobs]
    return {option: weight / fsum(weights) for option, weight in zip(options, weights, strict=True)}
