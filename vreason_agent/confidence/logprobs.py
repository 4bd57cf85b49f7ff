"""Signals from a server's `logprobs`, for messages of chat models that keep no confidence record.

Servers tell the likeliest few tokens only. What they leave out is taken as one more outcome, so that every entropy is a
lower bound of the true one; the units say so. Definitions of peak, final phase and drop are those of a `DecodingTrace`
with its default configuration. Knows no server and no chat model's class.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, zip_longest
from math import exp, isnan, log
from statistics import fmean
from typing import Any

from vreason_agent.answers import find_answer
from vreason_agent.confidence.signals import read_signals, token_span

EMA_DECAY, WARMUP_STEPS, MIN_FINAL_STEPS = 0.9, 8, 4  # as in VReasonConfig


@dataclass(frozen=True)
class LogprobTrace:
    """What `read_signals` reads of a generation, from the tokens that a server listed.

    Attributes:
        tokens: In the standard shape, each with `token`, `logprob` and, if asked for, `top_logprobs`.
    """

    tokens: Sequence[Mapping[str, Any]]

    @property
    def logprobs(self) -> list[float]:
        """Log-probability of each token."""
        return [float(token["logprob"]) for token in self.tokens]

    @cached_property
    def entropy(self) -> list[float]:
        """Lower bound of the entropy at each token, nats."""
        return [truncated_entropy(token) for token in self.tokens]

    @cached_property
    def entropy_ema(self) -> list[float | None]:
        """Moving average of the entropy, nats; `None` before it starts."""
        if len(self.entropy) < WARMUP_STEPS:
            return [None] * len(self.entropy)
        start, rest = fmean(self.entropy[:WARMUP_STEPS]), self.entropy[WARMUP_STEPS:]
        averages = accumulate(rest, lambda ema, new: EMA_DECAY * ema + (1 - EMA_DECAY) * new, initial=start)
        return [*[None] * (WARMUP_STEPS - 1), *averages]

    @property
    def forced(self) -> list[bool]:
        """Never known of a server's tokens."""
        return [False] * len(self.tokens)

    @property
    def unsteered_entropy(self) -> None:
        """Nothing is known to have been steered."""
        return None

    @property
    def self_certainty(self) -> None:
        """Needs the whole vocabulary, which no server lists."""
        return None

    def peak(self, stop: int | None = None) -> tuple[int, float] | None:
        """Step and value (nats) of the highest moving average before `stop`; of the mean where it did not start."""
        known = [(value, -step) for step, value in enumerate(self.entropy_ema[:stop]) if value is not None]
        if known:
            return -max(known)[1], max(known)[0]
        seen = self.entropy[:stop]
        return (len(seen) - 1, fmean(seen)) if seen else None

    def final_steps(self, stop: int | None = None) -> range:
        """Steps after the peak, before `stop`; the peak's own where none follows."""
        peak = self.peak(stop)
        if peak is None:
            return range(0)
        last = len(self.entropy[:stop])
        return range(min(peak[0] + 1, last - 1), last)

    def final_entropy(self, stop: int | None = None) -> float | None:
        """Mean entropy from the peak to `stop`."""
        steps = self.final_steps(stop)
        return fmean(self.entropy[step] for step in steps) if steps else None

    def entropy_drop(self, stop: int | None = None) -> float | None:
        """Relative fall from the peak to the final phase."""
        peak, final = self.peak(stop), self.final_entropy(stop)
        if peak is None or final is None:
            return None
        num_after = len(self.entropy[:stop]) - 1 - peak[0]
        return 0.0 if num_after < MIN_FINAL_STEPS or peak[1] <= 0 else (peak[1] - final) / peak[1]


def truncated_entropy(token: Mapping[str, Any]) -> float:
    """Entropy (nats) over the listed tokens and one more outcome for all that were left out: never above the true one.

    Args:
        token: `token`, `logprob` and perhaps `top_logprobs`.
    """
    known = {item["token"]: float(item["logprob"]) for item in (token, *(token.get("top_logprobs") or ()))}
    chances = [exp(min(logprob, 0.0)) for logprob in known.values()]
    chances.append(max(0.0, 1.0 - sum(chances)))
    return -sum(chance * log(chance) for chance in chances if chance > 0)


def read_tokens(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tokens of a message's `response_metadata` in the standard shape; none where any cannot be read.

    The standard shape of a token is `{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob"}]}`. Read are:
    `logprobs["content"]` as a list of them (OpenAI, vLLM, Groq, Hugging Face's endpoints, llama.cpp's chat),
    `logprobs` as that list itself (Ollama), `logprobs_result` as the list or as `chosen_candidates` and
    `top_candidates` (Google), and `logprobs` with `tokens`, `token_logprobs` and `top_logprobs` by token (the older
    completions of OpenAI, llama.cpp, Together and Fireworks).

    Args:
        metadata: Of a chat model's message.
    """
    found = metadata.get("logprobs") or metadata.get("logprobs_result")
    if isinstance(found, Mapping):
        found = found.get("content") or _from_candidates(found) or _from_columns(found)
    tokens = list(found) if isinstance(found, list | tuple) else []
    return tokens if all(map(_is_token, tokens)) else []


def has_logprobs(metadata: Mapping[str, Any]) -> bool:
    """Return whether a message's `response_metadata` holds log-probabilities, in whatever form."""
    found = metadata.get("logprobs") or metadata.get("logprobs_result")
    return any(found.values()) if isinstance(found, Mapping) else bool(found)


def _from_candidates(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    def standard(candidate: Any) -> dict[str, Any]:
        is_known = isinstance(candidate, Mapping)
        return {"token": candidate.get("token"), "logprob": candidate.get("log_probability")} if is_known else {}

    chosen, top = _rows(found, "chosen_candidates"), _rows(found, "top_candidates")
    listed = [[*map(standard, row.get("candidates") or ())] if isinstance(row, Mapping) else [] for row in top]
    return [
        {**standard(candidate), "top_logprobs": others}
        for candidate, others in zip_longest(chosen, listed)
        if candidate
    ]


def _from_columns(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    tokens, logprobs, top = (_rows(found, name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if len(tokens) != len(logprobs):
        return []
    listed = [
        [{"token": token, "logprob": logprob} for token, logprob in row.items()] if isinstance(row, Mapping) else []
        for row in top or [None] * len(tokens)
    ]
    return [
        {"token": token, "logprob": logprob, "top_logprobs": others}
        for token, logprob, others in zip(tokens, logprobs, listed, strict=False)
    ]


def _rows(found: Mapping[str, Any], name: str) -> list[Any]:
    rows = found.get(name)
    return list(rows) if isinstance(rows, list | tuple) else []


def _is_token(item: Any) -> bool:
    if not isinstance(item, Mapping) or not _is_scored(item):
        return False
    others = item.get("top_logprobs") or ()
    return isinstance(others, list | tuple) and all(
        isinstance(other, Mapping) and _is_scored(other) for other in others
    )


def _is_scored(item: Mapping[str, Any]) -> bool:
    logprob = item.get("logprob")
    is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool) and not isnan(logprob)
    return isinstance(item.get("token"), str) and is_number


def read_logprob_signals(tokens: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the signals of a generation whose tokens a server listed.

    The answer stands where `find_answer` says.

    Args:
        tokens: In the standard shape, at least one.
    """
    texts = texts_of(tokens)
    return read_signals(LogprobTrace(tokens), token_span(texts, find_answer("".join(texts))))


def texts_of(tokens: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each token adds to the text: by its `bytes` where all have them, as a token can be half a character.

    Args:
        tokens: In the standard shape.
    """
    pieces = [_bytes_of(token) for token in tokens]
    if None in pieces:
        return [str(token["token"]) for token in tokens]
    decoder = getincrementaldecoder("utf-8")("replace")
    return [decoder.decode(piece or b"") for piece in pieces]


def _bytes_of(token: Mapping[str, Any]) -> bytes | None:
    given = token.get("bytes")
    is_list = isinstance(given, list | tuple) and all(type(byte) is int and 0 <= byte < 256 for byte in given)
    return bytes(given) if is_list and given is not None else None


def units_of(tokens: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the numbers are of: the fewest alternatives listed bound how much of the vocabulary was seen."""
    fewest = min(len(token.get("top_logprobs") or ()) for token in tokens)
    units = {"entropy": "nats, a lower bound", "source": "logprobs of the server", "vocab": f"top_k={fewest}"}
    return {**units, "slope": "nats per token"}
