"""Raw signals: what the trace of one generation says about how settled the model was.

Every signal keeps its own name and unit; none is a probability of being correct, and `None` means that it could not
be measured. Entropies are in nats, of the raw next-token distribution, without the tokens a grammar forced. The
definitions of the final phase, the peak and the drop are the trace's own. This module knows no model, no tokenizer and
no threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import exp
from statistics import fmean, linear_regression
from typing import Protocol

from vreason_agent.confidence.options import OPTION_SIGNALS

SIGNAL_NAMES = (
    "final_entropy",
    "entropy_drop",
    "peak_entropy",
    "mean_entropy",
    "weakest_window_entropy",
    "answer_probability",
    "joint_probability",
    "answer_entropy",
    "perplexity",
    "self_certainty",
    "slope",
    "num_increases",
    "num_tokens",
    "unsteered_final_entropy",
    *OPTION_SIGNALS,
)
WINDOW_SHARE, MIN_WINDOW_TOKENS = 0.1, 8  # confidence research: windows of thousands of tokens never fit a video trace

Span = tuple[int, int]


class Trace(Protocol):
    """What is read of a `DecodingTrace`: one entry per generated token in every sequence."""

    @property
    def logprobs(self) -> Sequence[float]:
        """Log-probability of each token."""

    @property
    def entropy(self) -> Sequence[float]:
        """Entropy at each token, nats."""

    @property
    def entropy_ema(self) -> Sequence[float | None]:
        """Moving average of the entropy, nats; `None` before it starts."""

    @property
    def forced(self) -> Sequence[bool]:
        """Whether a grammar left no choice about the token."""

    @property
    def unsteered_entropy(self) -> Sequence[float | None] | None:
        """Entropy of the base model at the same prefix, nats, where it was recorded."""

    @property
    def self_certainty(self) -> Sequence[float | None] | None:
        """Divergence of each distribution from the even one, nats, where it was recorded."""

    def peak(self, stop: int | None = None) -> tuple[int, float] | None:
        """Step and value (nats) of the highest moving average before `stop`; `None` without a free step."""

    def final_steps(self, stop: int | None = None) -> Sequence[int]:
        """Free steps after the peak, before `stop`; the peak's own where none follows."""

    def final_entropy(self, stop: int | None = None) -> float | None:
        """Mean entropy of the final steps."""

    def entropy_drop(self, stop: int | None = None) -> float | None:
        """Relative fall from the peak to the final phase; 0 where the entropy was at its peak when the answer ended."""


def read_signals(
    trace: Trace, answer_span: Span | None = None, *, options: Mapping[str, float | None] | None = None
) -> dict[str, float | None]:
    """Return every raw signal of one generation under its name.

    Args:
        trace: Per-token record of the generation.
        answer_span: Token indices `[start, stop)` of the answer text; `None` when no answer could be read, and then the
            final phase ends with the generation and the three answer signals are `None`.
        options: What `read_option_signals` gave; without options its signals are `None`.

    Returns:
        One entry per name in `SIGNAL_NAMES`:
        `final_entropy` mean entropy after the peak, to the end of the answer (lower: more settled);
        `entropy_drop` (peak - final) / peak (higher: settled more), 0 where the answer ended at the peak;
        `peak_entropy` highest moving average; `mean_entropy` over the generation;
        `weakest_window_entropy` highest mean over a window of a tenth of the trace, at least 8 tokens;
        `answer_probability` geometric mean probability of the answer's tokens, in (0, 1];
        `joint_probability` their product: the probability of the whole answer at its place, in (0, 1];
        `answer_entropy` mean entropy over them; `perplexity` exp of minus the mean log-probability of all free tokens,
        from 1 (F. Jelinek et al., 1977; lower: more settled); `self_certainty` mean divergence of the distributions
        from an even one, nats, from 0 (Kang et al., arXiv 2502.18581; higher: more settled, of one vocabulary only);
        `slope` least-squares, nats per token;
        `num_increases` steps after the peak on which the moving average rose; `num_tokens` generated;
        `unsteered_final_entropy` as `final_entropy`, of the base model at the same prefixes, if it was recorded;
        and those of `read_option_signals`.
    """
    stop = answer_span[1] if answer_span else None
    peak = trace.peak(stop)
    free = [value for value, forced in zip(trace.entropy, trace.forced, strict=True) if not forced]
    return {
        "final_entropy": trace.final_entropy(stop),
        "entropy_drop": trace.entropy_drop(stop),
        "peak_entropy": None if peak is None else peak[1],
        "mean_entropy": _mean(free),
        "weakest_window_entropy": _weakest_window(free),
        "answer_probability": _answer_probability(trace, answer_span),
        "joint_probability": _joint_probability(trace, answer_span),
        "answer_entropy": _answer_entropy(trace, answer_span),
        "perplexity": _perplexity(trace),
        "self_certainty": _self_certainty(trace),
        "slope": linear_regression(range(len(free)), free).slope if len(free) > 1 else None,
        "num_increases": _num_increases(trace, stop),
        "num_tokens": len(trace.entropy),
        "unsteered_final_entropy": _unsteered_final_entropy(trace, stop),
        **{name: (options or {}).get(name) for name in OPTION_SIGNALS},
    }


def token_span(token_texts: Sequence[str], char_span: Span | None) -> Span | None:
    """Return the tokens `[start, stop)` that cover a stretch of the text, or `None` if there is none.

    Args:
        token_texts: Text of each generated token; joined, they are the text that `char_span` counts in.
        char_span: Characters `[start, stop)`.
    """
    if char_span is None or char_span[0] >= char_span[1]:
        return None
    ends = list(accumulate(len(text) for text in token_texts))
    covering = [
        index
        for index, (text, end) in enumerate(zip(token_texts, ends, strict=True))
        if end > char_span[0] and end - len(text) < char_span[1]
    ]
    if not covering or char_span[1] > ends[-1]:
        return None
    return covering[0], covering[-1] + 1


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _free_steps(trace: Trace, span: Span | None) -> list[int]:
    return [step for step in range(*span) if not trace.forced[step]] if span else []


def _answer_probability(trace: Trace, span: Span | None) -> float | None:
    logprob = _mean([trace.logprobs[step] for step in _free_steps(trace, span)])
    return None if logprob is None else exp(min(logprob, 0.0))


def _joint_probability(trace: Trace, span: Span | None) -> float | None:
    steps = _free_steps(trace, span)
    return exp(min(sum(trace.logprobs[step] for step in steps), 0.0)) if steps else None


def _self_certainty(trace: Trace) -> float | None:
    if trace.self_certainty is None:
        return None
    steps = _free_steps(trace, (0, len(trace.logprobs)))
    return _mean([value for step in steps if (value := trace.self_certainty[step]) is not None])


def _perplexity(trace: Trace) -> float | None:
    logprob = _mean([trace.logprobs[step] for step in _free_steps(trace, (0, len(trace.logprobs)))])
    return None if logprob is None else exp(min(-logprob, 700.0))


def _answer_entropy(trace: Trace, span: Span | None) -> float | None:
    return _mean([trace.entropy[step] for step in _free_steps(trace, span)])


def _weakest_window(values: Sequence[float]) -> float | None:
    width = max(MIN_WINDOW_TOKENS, round(WINDOW_SHARE * len(values)))
    if len(values) <= width:
        return _mean(values)
    return max(fmean(values[start : start + width]) for start in range(len(values) - width + 1))


def _num_increases(trace: Trace, stop: int | None) -> int | None:
    if trace.peak(stop) is None:
        return None
    averages = [average for step in trace.final_steps(stop) if (average := trace.entropy_ema[step]) is not None]
    return sum(later > earlier for earlier, later in pairwise(averages))


def _unsteered_final_entropy(trace: Trace, stop: int | None) -> float | None:
    unsteered = trace.unsteered_entropy
    if unsteered is None:
        return None
    return _mean([value for step in trace.final_steps(stop) if (value := unsteered[step]) is not None])
