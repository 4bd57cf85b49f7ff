"""Logits processors for tests: teacher forcing, and a small grammar."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor


class TeacherForcing(LogitsProcessor):
    """Makes the loop generate given tokens, without being a grammar."""

    def __init__(self, prompt_length: int, tokens: Sequence[int]) -> None:
        self._prompt_length = prompt_length
        self._tokens = tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        token = self._tokens[input_ids.shape[1] - self._prompt_length]
        return torch.full_like(scores, float("-inf")).index_fill(1, torch.tensor([token]), 0.0)


class EveryThirdIsForced(LogitsProcessor):
    """A grammar that prescribes every third token and leaves the others free."""

    is_grammar = True

    def __init__(self, prompt_length: int, token: int) -> None:
        self._prompt_length = prompt_length
        self._token = token

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if (input_ids.shape[1] - self._prompt_length) % 3 != 2:
            return scores
        return torch.full_like(scores, float("-inf")).index_fill(1, torch.tensor([self._token]), 0.0)
