"""`decode`: read a prompt and decode a batch under V-Reason, without `generate`.

This module knows transformers' generation helpers (logits processors, stopping criteria) and no model class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from vreason_agent.decoding.cache import check_cache
from vreason_agent.decoding.compat import cache_argument, seconds_now
from vreason_agent.decoding.config import VReasonConfig, checked_config
from vreason_agent.decoding.generation_options import check_generation_config
from vreason_agent.decoding.last_layer import FindPoint, find_steering_point
from vreason_agent.decoding.loop import DecodeLoop, DecodeResult
from vreason_agent.decoding.prompt import Prompt, make_prompt
from vreason_agent.decoding.rules import (
    LoopRules,
    StopRules,
    check_stop_strings,
    pad_token_id,
    prepare_generation_config,
)
from vreason_agent.decoding.sampling import TokenSampler
from vreason_agent.decoding.trace import DecodingSeconds, OnToken
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
    tokenizer: PreTrainedTokenizerBase | None = None,
    generators: Sequence[torch.Generator] | None = None,
    on_token: OnToken | None = None,
    num_top_logprobs: int = 0,
    cache: DynamicCache | None = None,
    vision_seconds: float | None = None,
    find_point: FindPoint = find_steering_point,
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
            from there. Needs `max_new_tokens` or `max_length`; `output_scores` and `output_logits` fill the result's
            `scores` and `logits`. What the loop does not implement is refused (see `options`).
        logits_processor: Further processors, applied before the sampling rules. One with `is_grammar = True` states
            what a grammar allows (see `sampling`); under `apply_to="current"` processors run twice at an update.
        stopping_criteria: Further reasons to end a row.
        tokenizer: Needed for the config's `stop_strings` only.
        generators: When sampling, one `torch.Generator` per row, which makes a row of a batch what it is alone.
            `None`: torch's global stream for the whole batch, as in transformers.
        on_token: Called with each token; returning True ends that row with it.
        num_top_logprobs: Most likely tokens to report per token.
        cache: A cache that holds the first entries of the prompt already (a prefix, as `DecodeResult.cache`
            leaves it, unless Lite dropped some of them); the rest is read. It is extended in place.
        vision_seconds: Wall time of encoding the frames, if the caller did it, for the trace.
        find_point: Finds where the model is steered; a model family's own where the usual place is not it.

    Raises:
        ConfigError: `config` is no config, an argument contradicts another, or a generation option is not implemented.
        GenerationError: the prompt is not decodable, the model cannot be steered, or its logits are not finite.
    """
    config = checked_config(config, keyword="config")
    # Autograd cannot run in inference mode, and the weights' gradients are not wanted outside of the controller.
    with torch.inference_mode(False), torch.no_grad():
        prompt = make_prompt(hf_model, input_ids, attention_mask, video_mask, position_ids)
        check_generation_config(generation_config)
        prepared = prepare_generation_config(hf_model, generation_config, prompt.input_ids)
        if cache is None:
            cache = DynamicCache(config=hf_model.config.get_text_config(decoder=True))
        check_cache(cache)
        rules = LoopRules(
            sampler=_sampler(hf_model, prompt, prepared, logits_processor, generators),
            stop=_stop_rules(hf_model, prepared, stopping_criteria, tokenizer),
            pad_token_id=pad_token_id(prepared),
            on_token=on_token,
            num_top_logprobs=num_top_logprobs,
            keep_scores=bool(prepared.output_scores),
            keep_logits=bool(prepared.output_logits),
        )
        started = seconds_now(hf_model.device)
        logits = read_prompt(hf_model, prompt, cache, prefill_inputs or {})
        seconds = DecodingSeconds(vision=vision_seconds, prefill=seconds_now(hf_model.device) - started)
        loop = DecodeLoop(hf_model, prompt, cache, config=config, rules=rules, seconds=seconds, find_point=find_point)
        return loop.run(logits)


def read_prompt(
    hf_model: PreTrainedModel, prompt: Prompt, cache: DynamicCache, inputs: Mapping[str, Any]
) -> torch.Tensor:
    """Read what `cache` does not hold yet; returns the logits `(batch, vocab_size)` of the token after the prompt.

    Raises:
        GenerationError: the cache holds the whole prompt already.
    """
    past = cache.get_seq_length()
    if past >= prompt.input_ids.shape[1]:
        raise GenerationError(
            f"cache holds {past} entries for a prompt of {prompt.input_ids.shape[1]} tokens; crop it so that "
            "at least the last token is left to read: cache.crop(-n)"
        )
    outputs = hf_model(
        input_ids=prompt.input_ids[:, past:],
        attention_mask=prompt.attention_mask,
        position_ids=prompt.position_ids[..., past:],
        use_cache=True,
        logits_to_keep=1,
        return_dict=True,
        **cache_argument(cache),
        **inputs,
    )
    logits: torch.Tensor = outputs.logits[:, -1].to(prompt.input_ids.device)
    return logits


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
    private: Any = hf_model  # transformers' helpers for generation carry an underscore
    prepared = private._get_logits_processor(
        generation_config,
        input_ids_seq_length=prompt.input_ids.shape[1],
        encoder_input_ids=prompt.input_ids,
        logits_processor=LogitsProcessorList(processors or []),
        device=prompt.input_ids.device,
        model_kwargs={"attention_mask": prompt.attention_mask},
    )
    return TokenSampler(prepared, do_sample=do_sample, generators=generators)


def _stop_rules(
    hf_model: PreTrainedModel,
    generation_config: GenerationConfig,
    criteria: StoppingCriteriaList | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> StopRules:
    check_stop_strings(generation_config.stop_strings, tokenizer, keyword="tokenizer")
    private: Any = hf_model
    return StopRules(
        private._get_stopping_criteria(generation_config, StoppingCriteriaList(criteria or []), tokenizer=tokenizer)
    )
