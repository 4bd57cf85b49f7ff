"""How a batch is decoded: its rules, read from transformers' `GenerationConfig`.

This module knows transformers' generation options and no model class.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from vreason_agent.decoding.result import OnToken
from vreason_agent.decoding.sampling import TokenSampler
from vreason_agent.decoding.stopping import StopRules
from vreason_agent.decoding.streamer import Streamer
from vreason_agent.errors import ConfigError, quote


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
