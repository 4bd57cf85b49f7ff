"""V-Reason inside plain transformers: `hf_model.generate(**inputs, custom_generate=vreason_generate)`.

`generate` prepares inputs, positions, logits processors and stopping criteria and hands them over; the loop is the same
as in `decode`. This module knows `generate`'s contract for custom loops and no model class.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
    StopStringCriteria,
)
from transformers.generation.utils import GenerateDecoderOnlyOutput

from vreason_agent.decoding.cache import check_cache
from vreason_agent.decoding.compat import cache_argument, cache_of, seconds_now
from vreason_agent.decoding.config import VReasonConfig, checked_config
from vreason_agent.decoding.generation_options import check_generation_config
from vreason_agent.decoding.last_layer import FindPoint, find_steering_point
from vreason_agent.decoding.loop import DecodeLoop, DecodeResult
from vreason_agent.decoding.prompt import Prompt
from vreason_agent.decoding.rules import LoopRules, StopRules, check_stop_strings, pad_token_id, streamer_of_generate
from vreason_agent.decoding.sampling import TokenSampler
from vreason_agent.decoding.trace import DecodingSeconds, DecodingTrace, OnToken
from vreason_agent.errors import GenerationError


def vreason_generate(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    *,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    vreason: VReasonConfig | None = None,
    stop_strings: str | list[str] | None = None,
    stop_tokenizer: PreTrainedTokenizerBase | None = None,
    on_token: OnToken | None = None,
    trace_out: list[DecodingTrace] | None = None,
    find_point: FindPoint = find_steering_point,
    **model_kwargs: Any,
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Generate under V-Reason; call it through `generate`, which fills in the first five arguments.

    `hf_model.generate(**inputs, max_new_tokens=256, custom_generate=vreason_generate, vreason=VReasonConfig())`

    A `streamer` gets what it gets from `generate` itself; `on_token` tells more of each token. `generate` drops its
    `tokenizer` before a custom loop: give `stop_strings=[...], stop_tokenizer=tokenizer` for stop strings (inside a
    `generation_config`, transformers refuses them before the loop is asked). Sampling draws the whole batch from
    torch's global stream, as `generate` does; `decode` gives each row its own generator. An `assistant_model` never
    reaches the loop: it would change the speed and not the distribution of tokens, and is left unused.

    Args:
        model: The model that `generate` was called on.
        input_ids: `(batch, length)`, left padded.
        logits_processor: Prepared by `generate`.
        stopping_criteria: Prepared by `generate`.
        generation_config: Prepared by `generate`.
        vreason: The V-Reason configuration; `None`: the default.
        stop_strings: Strings that end a row, with the token that completes one.
        stop_tokenizer: The model's tokenizer; needed for `stop_strings` only.
        on_token: Called with each token; returning True ends that row with it.
        trace_out: A list that receives one `DecodingTrace` per row.
        find_point: Finds where the model is steered, as in `decode`.
        model_kwargs: Prepared by `generate`: cache, mask, positions, encoded frames.

    Returns:
        What `generate` returns: ids `(batch, length + new)`, or a `GenerateDecoderOnlyOutput` under
        `return_dict_in_generate`, whose cache holds base values only.

    Raises:
        ConfigError: `vreason` is no config, a generation option that the loop does not support, or stop strings without
            their tokenizer.
        GenerationError: the model cannot be steered, or its logits are not finite.
    """
    config = checked_config(vreason, keyword="vreason")
    # `generate` has repeated the rows already.
    check_generation_config(generation_config, done_before=("num_return_sequences",))
    check_stop_strings(stop_strings, stop_tokenizer, keyword="stop_tokenizer")
    if stop_strings is not None and stop_tokenizer is not None:
        stopping_criteria = StoppingCriteriaList([*stopping_criteria, StopStringCriteria(stop_tokenizer, stop_strings)])
    streamer = streamer_of_generate(model)
    with torch.inference_mode(False), torch.no_grad():
        cache = check_cache(cache_of(model_kwargs))
        prompt = _prompt(model, input_ids, model_kwargs)
        keep = bool(generation_config.return_dict_in_generate)
        rules = LoopRules(
            sampler=TokenSampler(logits_processor, do_sample=bool(generation_config.do_sample)),
            stop=StopRules(stopping_criteria),
            pad_token_id=pad_token_id(generation_config),
            on_token=on_token,
            streamer=streamer,
            keep_scores=keep and bool(generation_config.output_scores),
            keep_logits=keep and bool(generation_config.output_logits),
        )
        started = seconds_now(model.device)
        private: Any = model
        outputs = private._prefill(input_ids, generation_config, model_kwargs)
        seconds = DecodingSeconds(prefill=seconds_now(model.device) - started)
        loop = DecodeLoop(model, prompt, cache, config=config, rules=rules, seconds=seconds, find_point=find_point)
        result = loop.run(outputs.logits[:, -1].to(input_ids.device))
    if streamer is not None:
        streamer.end()
    if trace_out is not None:
        trace_out.extend(result.traces)
    return _as_output(result) if keep else result.input_ids


def _prompt(model: PreTrainedModel, input_ids: torch.Tensor, model_kwargs: dict[str, Any]) -> Prompt:
    position_ids = model_kwargs.get("position_ids")
    if position_ids is None or model_kwargs.get("inputs_embeds") is not None:
        raise GenerationError(
            "vreason_generate needs the prompt as input_ids with explicit positions; call hf_model.generate(**inputs) "
            "with input_ids, and with a transformers release whose generate prepares position_ids (5.23 does)"
        )
    video_token_id = getattr(model.config, "video_token_id", None)
    video_mask = (
        torch.zeros_like(input_ids, dtype=torch.bool) if video_token_id is None else input_ids == video_token_id
    )
    return Prompt(input_ids, model_kwargs.get("attention_mask"), position_ids, video_mask)


def _as_output(result: DecodeResult) -> GenerateDecoderOnlyOutput:
    output: Any = GenerateDecoderOnlyOutput  # its annotations are narrower than what transformers fills in
    return cast(
        "GenerateDecoderOnlyOutput",
        output(sequences=result.input_ids, scores=result.scores, logits=result.logits, **cache_argument(result.cache)),
    )
