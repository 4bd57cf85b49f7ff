"""`decode`: read a prompt and decode a batch under V-Reason, without `generate`.

This module knows transformers' generation helpers (logits processors, stopping criteria) and no model class.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, PreTrainedModel, StoppingCriteriaList

from vreason_agent.decoding.cache import check_cache
from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.loop import DecodeLoop, DecodeResult, LoopRules, OnToken, Prompt
from vreason_agent.decoding.positions import text_positions
from vreason_agent.decoding.sampling import TokenSampler
from vreason_agent.decoding.stopping import StopRules
from vreason_agent.decoding.trace import DecodingSeconds
from vreason_agent.errors import ConfigError, GenerationError


def decode(
    hf_model: PreTrainedModel,
    *,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    video_mask: torch.Tensor | None = None,
    position_ids: torch.Tensor | None = None,
    prefill_inputs: Mapping[str, Any] | None = None,
    config: VReasonConfig | None = None,
    generation_config: GenerationConfig,
    logits_processor: LogitsProcessorList | None = None,
    stopping_criteria: StoppingCriteriaList | None = None,
    generators: Sequence[torch.Generator] | None = None,
    on_token: OnToken | None = None,
    num_top_logprobs: int = 0,
    past_key_values: DynamicCache | None = None,
    vision_seconds: float | None = None,
) -> DecodeResult:
    """Decode a batch; rows are independent of each other, with their own phase, controller, generator and end.

    Implements the decoding of Sridhar et al., "Video Reasoning without Training", arXiv 2510.17045; differs where the
    paper leaves a choice open (see `VReasonConfig`). Weights, their `requires_grad` and the base values in the cache
    are unchanged afterwards.

    Args:
        hf_model: A transformers model; steering knows Qwen2-VL, Qwen2.5-VL and Qwen3-VL, the `off` schedule any model
            with a `DynamicCache`.
        input_ids: `(batch, length)`, left padded.
        attention_mask: `(batch, length)`, 0 at padding; `None`: no padding.
        video_mask: `(batch, length)`, bool, the video tokens; `None`: none, so nothing is steered.
        position_ids: `(batch, length)` or `(3 or 4, batch, length)` rope positions; needed with video. `None`: counted
            after the padding, for text.
        prefill_inputs: Further model inputs of the first pass only: `pixel_values_videos`, `video_grid_thw`, ...
        config: The V-Reason configuration; `None`: the default.
        generation_config: Sampling rules and limits as transformers defines them, taken as given: unset sampling fields
            are off, whatever the model's own generation config says. Only unset `eos_token_id` and `pad_token_id` come
            from there. Needs `max_new_tokens` or `max_length`.
        logits_processor: Further processors, applied before the sampling rules. One with `is_grammar = True` states
            what a grammar allows (see `sampling`); under `apply_to="current"` processors run twice at an update.
        stopping_criteria: Further reasons to end a row.
        generators: When sampling, one `torch.Generator` per row, which makes a row of a batch what it is alone.
            `None`: torch's global stream for the whole batch, as in transformers.
        on_token: Called with each token; returning True ends that row with it.
        num_top_logprobs: Most likely tokens to report per token.
        past_key_values: A cache that holds the first entries of the prompt already (a prefix, as `DecodeResult.cache`
            leaves it); the rest is read. It is extended in place.
        vision_seconds: Wall time of encoding the frames, if the caller did it, for the trace.

    Raises:
        ConfigError: an argument contradicts another.
        GenerationError: the prompt is not decodable, the model cannot be steered, or its logits are not finite.
    """
    config = VReasonConfig() if config is None else config
    private: Any = hf_model  # transformers' helpers for generation carry an underscore
    # Autograd cannot run in inference mode, and the weights' gradients are not wanted outside of the controller.
    with torch.inference_mode(False), torch.no_grad():
        prompt = _prompt(hf_model, input_ids, attention_mask, video_mask, position_ids)
        prepared = prepare_generation_config(hf_model, generation_config, prompt.input_ids)
        check_generation_config(prepared)
        if prepared.prefill_chunk_size is not None:
            raise ConfigError(
                f"prefill_chunk_size={prepared.prefill_chunk_size!r} is not supported by decode; leave it out, or use "
                "hf_model.generate(..., custom_generate=vreason_generate)"
            )
        cache = check_cache(
            DynamicCache(config=hf_model.config.get_text_config(decoder=True))
            if past_key_values is None
            else past_key_values
        )
        rules = LoopRules(
            sampler=_sampler(hf_model, prompt, prepared, logits_processor, generators),
            stop=StopRules(private._get_stopping_criteria(prepared, StoppingCriteriaList(stopping_criteria or []))),
            pad_token_id=pad_token_id(prepared),
            on_token=on_token,
            num_top_logprobs=num_top_logprobs,
        )
        started = time.perf_counter()
        logits = _prefill(hf_model, prompt, cache, prefill_inputs or {})
        seconds = DecodingSeconds(vision=vision_seconds, prefill=time.perf_counter() - started)
        return DecodeLoop(hf_model, prompt, cache, config=config, rules=rules, seconds=seconds).run(logits)


def _prompt(
    hf_model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    video_mask: torch.Tensor | None,
    position_ids: torch.Tensor | None,
) -> Prompt:
    """Check the prompt's tensors against each other and put them on the model's device."""
    if input_ids.ndim != 2 or 0 in input_ids.shape:
        raise GenerationError(
            f"input_ids has shape {tuple(input_ids.shape)}; give at least one token as (batch, length)"
        )
    device = hf_model.device
    input_ids = input_ids.to(device)
    for name, mask in (("attention_mask", attention_mask), ("video_mask", video_mask)):
        if mask is not None and mask.shape != input_ids.shape:
            raise GenerationError(
                f"{name} has shape {tuple(mask.shape)}; give it the shape of input_ids, {tuple(input_ids.shape)}"
            )
    attention_mask = _needed_mask(attention_mask, device)
    video_mask = torch.zeros_like(input_ids) if video_mask is None else video_mask.to(device)
    if position_ids is None:
        if bool(video_mask.any()):
            raise GenerationError(
                "a prompt with video needs position_ids; compute them with hf_model.model.get_rope_index(...)"
            )
        position_ids = text_positions(input_ids, attention_mask)
    if position_ids.shape[-2:] != input_ids.shape:
        raise GenerationError(
            f"position_ids has shape {tuple(position_ids.shape)}; its last two axes must be those of input_ids, "
            f"{tuple(input_ids.shape)}"
        )
    return Prompt(input_ids, attention_mask, position_ids.to(device), video_mask.bool())


def _needed_mask(attention_mask: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    """Return the mask, or `None` if nothing is masked: transformers then builds none for the last token."""
    if attention_mask is None or bool((attention_mask != 0).all()):
        return None
    if bool((attention_mask[:, -1] == 0).any()):
        raise GenerationError("attention_mask hides the last token of a row; pad on the left: padding_side='left'")
    return attention_mask.to(device)


def _prefill(hf_model: PreTrainedModel, prompt: Prompt, cache: DynamicCache, inputs: Mapping[str, Any]) -> torch.Tensor:
    """Read what `cache` does not hold yet; returns the logits `(batch, vocab_size)` of the first new token."""
    past = cache.get_seq_length()
    if past >= prompt.input_ids.shape[1]:
        raise GenerationError(
            f"past_key_values holds {past} entries for a prompt of {prompt.input_ids.shape[1]} tokens; crop it so that "
            "at least the last token is left to read: past_key_values.crop(-n)"
        )
    outputs = hf_model(
        input_ids=prompt.input_ids[:, past:],
        attention_mask=prompt.attention_mask,
        position_ids=prompt.position_ids[..., past:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        return_dict=True,
        **inputs,
    )
    logits: torch.Tensor = outputs.logits[:, -1].to(prompt.input_ids.device)
    return logits


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
            f"max_new_tokens={prepared.max_new_tokens!r} and max_length={prepared.max_length!r} leave no token to "
            f"generate after a prompt of {length}; set GenerationConfig(max_new_tokens=...) to at least 1"
        )
    private: Any = hf_model
    private._prepare_special_tokens(prepared, True, device=input_ids.device, batch_size=input_ids.shape[0])
    return prepared


def check_generation_config(generation_config: GenerationConfig) -> None:
    """Refuse what this loop does not do rather than ignore it.

    Raises:
        ConfigError: beams, a disabled or non-dynamic cache, chunked prefill, or recorded attentions or hidden states.
    """
    unsupported = {
        "num_beams": (generation_config.num_beams or 1) > 1,
        "use_cache": generation_config.use_cache is False,
        "cache_implementation": generation_config.cache_implementation not in (None, "dynamic"),
        "guidance_scale": generation_config.guidance_scale not in (None, 1, 1.0),
        "output_attentions": bool(generation_config.output_attentions),
        "output_hidden_states": bool(generation_config.output_hidden_states),
    }
    for name, is_set in unsupported.items():
        if is_set:
            raise ConfigError(
                f"{name}={getattr(generation_config, name)!r} is not supported by V-Reason's loop; leave {name} out"
            )


def pad_token_id(generation_config: GenerationConfig) -> int:
    """Return the token that fills ended rows of a prepared config: padding, else the first end token, else 0."""
    padding = generation_config._pad_token_tensor
    return 0 if padding is None else int(padding)


def _sampler(
    hf_model: PreTrainedModel,
    prompt: Prompt,
    generation_config: GenerationConfig,
    processors: LogitsProcessorList | None,
    generators: Sequence[torch.Generator] | None,
) -> TokenSampler:
    do_sample = bool(generation_config.do_sample)
    if generators is not None and len(generators) != len(prompt.input_ids):
        raise ConfigError(
            f"{len(generators)} generators for {len(prompt.input_ids)} rows; give one torch.Generator per row"
        )
    private: Any = hf_model
    prepared = private._get_logits_processor(
        generation_config,
        input_ids_seq_length=prompt.input_ids.shape[1],
        encoder_input_ids=prompt.input_ids,
        logits_processor=LogitsProcessorList(processors or []),
        device=prompt.input_ids.device,
        model_kwargs={"attention_mask": prompt.attention_mask},
    )
    return TokenSampler(prepared, do_sample=do_sample, generators=generators)
