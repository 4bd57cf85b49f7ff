"""What a generation leaves behind: nothing in the weights, base values only in the cache (method, point 2)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, PreTrainedModel

from tests.decoding.forcing import TeacherForcing
from tests.decoding.tiny_models import ROUNDING_NATS, TinyPrompt, make_prompt
from vreason_agent.decoding import VReasonConfig, decode
from vreason_agent.decoding.compat import cache_argument
from vreason_agent.errors import GenerationError

CONFIGS = {
    "next": VReasonConfig(),
    "current": VReasonConfig(apply_to="current", num_optim_steps=2, record_unsteered_entropy=True),
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def forced_cache(model: Any, prompt: TinyPrompt, tokens: list[int]) -> DynamicCache:
    """Step the plain model through prompt and tokens, with a call of its own for each token."""
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    arguments = prompt.arguments
    with torch.no_grad():
        model(
            input_ids=arguments["input_ids"], position_ids=arguments["position_ids"], **cache_argument(cache),
            **arguments["prefill_inputs"],
        )  # fmt: skip
        for step, token in enumerate(tokens[:-1]):
            positions = arguments["position_ids"][..., -1:] + 1 + step
            model(input_ids=torch.tensor([[token]]), position_ids=positions, **cache_argument(cache))
    return cache


def assert_same_entries(cache: Any, expected: Any) -> None:
    assert len(cache.layers) == len(expected.layers)
    for layer, other in zip(cache.layers, expected.layers, strict=True):
        assert torch.equal(layer.keys, other.keys)
        assert torch.equal(layer.values, other.values)


def assert_close_entries(cache: Any, expected: Any, *, exact: int) -> None:
    """The first `exact` entries must be equal, those of later tokens but for rounding."""
    for layer, other in zip(cache.layers, expected.layers, strict=True):
        for own, theirs in [(layer.keys, other.keys), (layer.values, other.values)]:
            assert torch.equal(own[:, :, :exact], theirs[:, :, :exact])
            assert torch.allclose(own, theirs, rtol=0.0, atol=ROUNDING_NATS)


@configs
def test_cache_holds_the_base_values_of_teacher_forcing(
    hf_model: PreTrainedModel, greedy: GenerationConfig, config: VReasonConfig
) -> None:
    prompt = make_prompt(hf_model)
    result = decode(hf_model, **prompt.arguments, config=config, generation_config=greedy)
    assert (result.traces[0].controller_norm[-1] or 0.0) > 0.0
    off, forcing = VReasonConfig(schedule="off"), TeacherForcing(prompt.length, result.sequences[0])
    unsteered = decode(
        hf_model, **prompt.arguments, config=off, generation_config=greedy,
        logits_processor=LogitsProcessorList([forcing]),
    )  # fmt: skip
    assert_same_entries(result.cache, unsteered.cache)
    assert_close_entries(result.cache, forced_cache(hf_model, prompt, result.sequences[0]), exact=prompt.length)


@configs
def test_lite_cache_equals_an_unsteered_lite_run(
    hf_model: PreTrainedModel, greedy: GenerationConfig, config: VReasonConfig
) -> None:
    prompt = make_prompt(hf_model, num_pairs=5)
    lite = VReasonConfig.from_dict({**config.to_dict(), "lite": True})
    steered = decode(hf_model, **prompt.arguments, config=lite, generation_config=greedy)
    forcing = LogitsProcessorList([TeacherForcing(prompt.length, steered.sequences[0])])
    plain = decode(
        hf_model, **prompt.arguments, config=VReasonConfig(schedule="off", lite=True), generation_config=greedy,
        logits_processor=forcing,
    )  # fmt: skip
    assert plain.sequences == steered.sequences
    assert_same_entries(steered.cache, plain.cache)
    trace = steered.traces[0]
    assert (trace.num_video_tokens, trace.num_video_tokens_kept) == (10, 5)
    assert steered.cache.get_seq_length() == prompt.length - 5 + len(steered.sequences[0]) - 1


@configs
def test_weights_and_switches_stay_as_they_were(
    hf_model: PreTrainedModel, greedy: GenerationConfig, config: VReasonConfig
) -> None:
    before = {name: tensor.clone() for name, tensor in hf_model.state_dict().items()}
    wanted = [parameter.requires_grad for parameter in hf_model.parameters()]
    prompt = make_prompt(hf_model)
    decode(hf_model, **prompt.arguments, config=config, generation_config=greedy)
    assert all(torch.equal(tensor, before[name]) for name, tensor in hf_model.state_dict().items())
    assert all(parameter.grad is None for parameter in hf_model.parameters())
    assert [parameter.requires_grad for parameter in hf_model.parameters()] == wanted
    assert torch.is_grad_enabled()
    assert not any(module._forward_pre_hooks for module in hf_model.modules())


def test_a_failing_callback_leaves_a_clean_cache_and_no_hook(
    sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    def fail(event: Any) -> None:
        if event.step == 20:
            raise RuntimeError("caller's own")

    prompt = make_prompt(sharp_model)
    cache = DynamicCache(config=sharp_model.config.get_text_config(decoder=True))
    config = VReasonConfig(apply_to="current")
    with pytest.raises(RuntimeError, match="caller's own"):
        decode(
            sharp_model, **prompt.arguments, config=config, generation_config=greedy, on_token=fail,
            cache=cache,
        )  # fmt: skip
    assert {type(layer).__name__ for layer in cache.layers} == {"DynamicLayer"}
    assert not any(module._forward_pre_hooks for module in sharp_model.modules())
    assert torch.is_grad_enabled()


def test_a_second_question_can_reuse_the_cache(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    prompt = make_prompt(sharp_model)
    first = decode(sharp_model, **prompt.arguments, config=VReasonConfig(), generation_config=greedy)
    cache = first.cache
    cache.crop(-(cache.get_seq_length() - prompt.length + 3))
    arguments = {name: value for name, value in prompt.arguments.items() if name != "prefill_inputs"}
    second = decode(sharp_model, **arguments, config=VReasonConfig(), generation_config=greedy, cache=cache)
    assert second.sequences == first.sequences


def test_a_cache_that_lite_shortened_is_refused_as_a_prefix(
    sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    prompt = make_prompt(sharp_model)
    arguments = {name: value for name, value in prompt.arguments.items() if name != "prefill_inputs"}
    for schedule in ("switching", "off"):
        cache = decode(
            sharp_model, **prompt.arguments, config=VReasonConfig(schedule=schedule, lite=True),
            generation_config=greedy,
        ).cache  # fmt: skip
        cache.crop(-42)  # what it generated, and three tokens to read anew
        with pytest.raises(GenerationError, match=r"lacks 3 video tokens.*in 3 of 3 layers.*lite=False\)"):
            decode(sharp_model, **arguments, generation_config=greedy, cache=cache)


def test_lite_that_drops_nothing_leaves_a_prefix(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    prompt = make_prompt(sharp_model)
    config = VReasonConfig(lite=True, lite_keep_ratio=1.0)
    first = decode(sharp_model, **prompt.arguments, config=config, generation_config=greedy)
    first.cache.crop(-42)
    arguments = {name: value for name, value in prompt.arguments.items() if name != "prefill_inputs"}
    second = decode(sharp_model, **arguments, generation_config=greedy, cache=first.cache)
    assert second.sequences == first.sequences


def test_steering_works_inside_inference_mode(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    prompt = make_prompt(sharp_model)
    outside = decode(sharp_model, **prompt.arguments, config=VReasonConfig(), generation_config=greedy)
    with torch.inference_mode():
        inside = decode(sharp_model, **prompt.arguments, config=VReasonConfig(), generation_config=greedy)
    assert inside.sequences == outside.sequences
