"""How a batch is decoded, and when and why its sequences end, read from transformers' `GenerationConfig` and criteria.

This module knows transformers' generation options and no model class.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    MaxLengthCriteria,
    MaxTimeCriteria,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from vreason_agent.decoding.sampling import TokenSampler
from vreason_agent.decoding.trace import OnToken
from vreason_agent.errors import ConfigError, quote

_GENERATE = inspect.unwrap(GenerationMixin.generate).__code__
FinishReason = Literal["stop", "length", "cancelled"]


class StopRules:
    """Tells why each row ends after a token, if it does.

    Criteria on length or time give `length`; every other one (end token, stop string, the caller's) gives `stop`,
    which wins where both hold.
    """

    def __init__(self, criteria: StoppingCriteriaList) -> None:
        self._limits = [c for c in criteria if isinstance(c, MaxLengthCriteria | MaxTimeCriteria)]
        self._stops = StoppingCriteriaList(
            c for c in criteria if not isinstance(c, MaxLengthCriteria | MaxTimeCriteria)
        )

    def check(
        self, input_ids: torch.Tensor, scores: tuple[torch.Tensor, ...] | None = None
    ) -> list[FinishReason | None]:
        """Return a reason or `None` per row.

        Args:
            input_ids: `(batch, length)`, prompt and everything generated so far.
            scores: Processed scores per step, for criteria that read them.
        """
        num_rows = input_ids.shape[0]
        stops = self._stops(input_ids, scores).tolist() if self._stops else [False] * num_rows
        is_full = any(bool(torch.as_tensor(limit(input_ids, scores)).any()) for limit in self._limits)
        limit_reason: FinishReason | None = "length" if is_full else None
        return ["stop" if stop else limit_reason for stop in stops]


class Streamer(Protocol):
    """What transformers asks of a streamer."""

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt `(batch, length)`, then the tokens `(batch,)` of each step."""

    def end(self) -> None:
        """Take note that nothing follows."""


@dataclass(frozen=True)
class LoopRules:
    """How tokens are chosen, watched and ended.

    Attributes:
        sampler: From logits to tokens.
        stop: When a row ends.
        pad_token_id: Fed and stored for rows that have ended.
        on_token: Called with every token of every row; returning True ends the row with that token.
        streamer: Given the tokens `(batch,)` of every step, padding of ended rows included, as transformers does.
        num_top_logprobs: Most likely tokens to report per token, at least 0.
        keep_scores: Collect processed scores of every step; needs `vocab_size` floats per token.
        keep_logits: Collect raw logits of every step.
    """

    sampler: TokenSampler
    stop: StopRules
    pad_token_id: int = 0
    on_token: OnToken | None = None
    streamer: Streamer | None = None
    num_top_logprobs: int = 0
    keep_scores: bool = False
    keep_logits: bool = False


def prepare_generation_config(
    hf_model: PreTrainedModel, generation_config: GenerationConfig, input_ids: torch.Tensor
) -> GenerationConfig:
    """Return a copy with `max_length` for prompts `input_ids` `(batch, length)` and the special tokens as tensors.

    Raises:
        ConfigError: no limit on the length, or none that leaves room for a token.
    """
    prepared = copy.deepcopy(generation_config)
    for name in ("eos_token_id", "pad_token_id"):
        if getattr(prepared, name) is None:
            setattr(prepared, name, getattr(hf_model.generation_config, name))
    length = input_ids.shape[1]
    if prepared.max_new_tokens is not None:
        prepared.max_length = length + prepared.max_new_tokens
    if prepared.max_length is None or prepared.max_length <= length:
        raise ConfigError(
            f"max_new_tokens={quote(prepared.max_new_tokens)} and max_length={quote(prepared.max_length)} leave "
            "no token to "
            f"generate after a prompt of {length}; set GenerationConfig(max_new_tokens=...) to at least 1"
        )
    private: Any = hf_model
    private._prepare_special_tokens(prepared, True, device=input_ids.device, batch_size=input_ids.shape[0])
    return prepared


def pad_token_id(generation_config: GenerationConfig) -> int:
    """Return the token that fills ended rows of a prepared config: padding, else the first end token, else 0."""
    padding = generation_config._pad_token_tensor
    return 0 if padding is None else int(padding)


def check_stop_strings(
    stop_strings: str | list[str] | None, tokenizer: PreTrainedTokenizerBase | None, *, keyword: str
) -> None:
    """Refuse stop strings without the tokenizer that finds them; `keyword` is the caller's name for it.

    Raises:
        ConfigError: `stop_strings` is given and `tokenizer` is not.
    """
    if stop_strings is not None and tokenizer is None:
        raise ConfigError(
            f"stop_strings={quote(stop_strings)} are found in text, which needs the model's tokenizer; pass it as "
            f"{keyword}=tokenizer"
        )


def streamer_of_generate(model: PreTrainedModel) -> Streamer | None:
    """Return the streamer that the running `model.generate(...)` was given; `None` without one, or without that."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if frame.f_code is _GENERATE and frame.f_locals["self"] is model:
            streamer: Streamer | None = frame.f_locals["streamer"]
            return streamer
        frame = frame.f_back
    return None
