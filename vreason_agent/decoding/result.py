"""What the loop gives: an event per token while it runs, and the batch's result.

This module knows nothing of how tokens are chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from vreason_agent.decoding.row import TopLogprobs
from vreason_agent.decoding.stopping import FinishReason
from vreason_agent.decoding.trace import DecodingTrace


@dataclass(frozen=True)
class TokenEvent:
    """One generated token, as `on_token` sees it while the loop runs.

    Attributes:
        row: Row of the batch.
        step: Number of the token in its row, from 0.
        token_id: The token.
        logprob: Natural logarithm of its raw probability.
        entropy: Entropy of the raw distribution it was drawn from, nats.
        phase: `exploration` or `exploitation`.
        top_logprobs: The most likely tokens with their raw log-probabilities, best first; empty unless asked for.
    """

    row: int
    step: int
    token_id: int
    logprob: float
    entropy: float
    phase: str
    top_logprobs: TopLogprobs = ()


OnToken = Callable[[TokenEvent], bool | None]


@dataclass
class DecodeResult:
    """What a batch generated.

    Attributes:
        sequences: Per row, the new token ids without padding, end token included.
        finish_reasons: Per row, `stop` (end token, stop string, a caller's criterion), `length` (token or time limit)
            or `cancelled` (`on_token` returned True).
        traces: Per row.
        top_logprobs: Per row and token, the most likely tokens and their raw log-probabilities; empty unless asked for.
        input_ids: `(batch, length)`, prompt and generated tokens, finished rows padded.
        cache: The key-value cache with base values only, of the prompt and all generated tokens but the last. Under
            Lite it lacks the video tokens that were dropped and cannot be the prefix of another prompt.
        scores: Per step, processed scores `(batch, vocab_size)`; `None` unless asked for.
        logits: Per step, raw logits `(batch, vocab_size)`; `None` unless asked for.
    """

    sequences: list[list[int]]
    finish_reasons: list[FinishReason]
    traces: list[DecodingTrace]
    top_logprobs: list[list[TopLogprobs]]
    input_ids: torch.Tensor
    cache: DynamicCache
    scores: tuple[torch.Tensor, ...] | None = None
    logits: tuple[torch.Tensor, ...] | None = None
