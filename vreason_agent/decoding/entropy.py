"""The entropy of a next-token distribution, in nats, from raw logits.

Raw means before temperature, top-k, penalties and grammar masks: processed scores of a model whose config carries a
temperature near zero have entropy 0. This module knows nothing of steps, phases or the controller.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from vreason_agent.errors import quote


class Distribution(NamedTuple):
    """The next-token distributions of a batch.

    Attributes:
        log_probs: `(batch, vocab_size)`, float32 or better, natural logarithm.
        entropy: `(batch,)`, of the same type, nats, in [0, log vocab_size].
    """

    log_probs: torch.Tensor
    entropy: torch.Tensor


def distribution(logits: torch.Tensor) -> Distribution:
    """Return log-probabilities and entropy of raw `logits` `(batch, vocab_size)`; gradients flow through both."""
    log_probs = torch.log_softmax(logits.to(precise_dtype(logits)), dim=-1)
    # A logit of -inf has probability 0; the clamp keeps 0 * -inf, in value and gradient, at 0.
    finite = log_probs.clamp_min(torch.finfo(log_probs.dtype).min)
    return Distribution(log_probs, -(finite.exp() * finite).sum(dim=-1))


def self_certainty(log_probs: torch.Tensor) -> torch.Tensor:
    """Return `(batch,)`, nats: the divergence of an even distribution over the vocabulary from each of `log_probs`.

    Implements KL(U || p) = -mean(log p) - log V of Kang et al., "Scalable Best-of-N Selection for Large Language Models
    via Self-Certainty", arXiv 2502.18581: 0 for an even distribution, larger the more peaked. Tokens of probability 0
    are left out of mean and V. Values of different vocabularies do not compare.
    """
    is_possible = ~torch.isneginf(log_probs)
    count = is_possible.sum(dim=-1)
    total = log_probs.masked_fill(~is_possible, 0.0).sum(dim=-1)
    return (-total / count - count.to(log_probs.dtype).log()).clamp_min(0.0)


def precise_dtype(tensor: torch.Tensor) -> torch.dtype:
    """Return the type to compute with: float32 for half precision, otherwise the tensor's own."""
    return torch.promote_types(tensor.dtype, torch.float32)


def normalized_entropy(entropy: float, vocab_size: int) -> float:
    """Divide an entropy in nats by the largest one a vocabulary of `vocab_size` tokens allows; in [0, 1].

    Raises:
        ValueError: `vocab_size` is below 2.
    """
    if vocab_size < 2:
        raise ValueError(f"vocab_size={quote(vocab_size)} must be at least 2")
    return entropy / math.log(vocab_size)
