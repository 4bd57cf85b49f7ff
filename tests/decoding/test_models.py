"""Which models can be steered, in which state, and what the others are told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    StaticCache,
)

from tests.decoding.forcing import TeacherForcing
from tests.decoding.naive import naive_decode
from tests.decoding.tiny_models import FAMILIES, ROUNDING_NATS, make_batch, make_model, make_prompt, to_float64
from vreason_agent.decoding import VReasonConfig, decode, vreason_generate
from vreason_agent.decoding.last_layer import LastLayer, check_state, find_steering_point
from vreason_agent.errors import GenerationError, VReasonError

REPLAYING = VReasonConfig(apply_to="current", num_optim_steps=2, record_unsteered_entropy=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("config", [VReasonConfig(), REPLAYING], ids=["next", "current"])
def test_eager_and_sdpa_attention_steer_alike(family: str, config: VReasonConfig, greedy: GenerationConfig) -> None:
    traces = []
    for attention in ("eager", "sdpa"):
        model = to_float64(make_model(family, sharpness=4.0, attn_implementation=attention))
        prompt = make_batch(model, [make_prompt(model), make_prompt(model, seed=1)])
        traces.append(decode(model, **prompt.arguments, config=config, generation_config=greedy).traces)
    for eager, sdpa in zip(*traces, strict=True):
        assert eager.token_ids == sdpa.token_ids
        # Eager attention rounds its weights to float32: by 2^-24, in three layers, of logits to 60.
        assert eager.entropy == pytest.approx(sdpa.entropy, abs=1e-5)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_bfloat16_models_are_steered(family: str, greedy: GenerationConfig) -> None:
    model: Any = make_model(family, sharpness=4.0)
    model = model.to(torch.bfloat16)
    arguments = make_prompt(model).arguments
    off = decode(model, **arguments, config=VReasonConfig(schedule="off"), generation_config=greedy)
    for config in (VReasonConfig(), REPLAYING):
        result = decode(model, **arguments, config=config, generation_config=greedy)
        assert result.traces[0].entropy != off.traces[0].entropy
        assert result.cache.layers[-1].values.dtype is torch.bfloat16  # type: ignore[union-attr]


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_models_are_steered_as_float64_ones(family: str, greedy: GenerationConfig) -> None:
    """The tolerance: 1,000 roundings of 2^-24 as a random walk, of logits to 60, times entropy's slope of 2 log V."""
    exact = to_float64(make_model(family, sharpness=4.0))
    prompt = make_prompt(exact)
    first = decode(exact, **prompt.arguments, config=REPLAYING, generation_config=greedy)
    forcing = LogitsProcessorList([TeacherForcing(prompt.length, first.sequences[0])])
    usual = make_model(family, sharpness=4.0)
    again = decode(
        usual, **prompt.arguments, config=REPLAYING, generation_config=greedy, logits_processor=forcing
    ).traces[0]
    assert again.entropy == pytest.approx(first.traces[0].entropy, abs=1e-3)
    assert again.unsteered_entropy == pytest.approx(first.traces[0].unsteered_entropy, abs=1e-3)


class Int8Linear(nn.Module):
    """Stands in for the 8-bit layers of quantization libraries: integer weights, no parameters, called as a module."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = float(linear.weight.detach().abs().max()) / 127
        self.register_buffer("codes", (linear.weight.detach() / self.scale).round().to(torch.int8))
        self.bias = linear.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        codes: Any = self.codes
        return nn.functional.linear(hidden, codes.to(hidden.dtype) * self.scale, self.bias)


def quantize(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            quantize(child)


def test_quantized_layers_are_called_not_read(greedy: GenerationConfig) -> None:
    model: Any = to_float64(make_model("qwen2_5_vl", sharpness=4.0))
    quantize(model.model.language_model)
    model.lm_head = Int8Linear(model.lm_head)
    prompt = make_prompt(model)
    result = decode(model, **prompt.arguments, config=VReasonConfig(), generation_config=greedy)
    naive = naive_decode(model, prompt.inputs, prompt.arguments["position_ids"], VReasonConfig(), 40)
    assert result.sequences[0] == naive.tokens
    assert result.traces[0].entropy == pytest.approx(naive.entropy, abs=ROUNDING_NATS)


def test_frozen_weights_are_steered_too(greedy: GenerationConfig) -> None:
    model = make_model(sharpness=6.0)
    arguments = make_prompt(model).arguments
    trainable = decode(model, **arguments, config=VReasonConfig(), generation_config=greedy)
    model.requires_grad_(False)
    frozen = decode(model, **arguments, config=VReasonConfig(), generation_config=greedy)
    assert frozen.sequences == trainable.sequences
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_decoder_nobody_named_is_steered_where_its_last_layer_attends_to_everything(greedy: GenerationConfig) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "vocab_size": 120}
    model = Qwen2ForCausalLM(Qwen2Config(**sizes, num_attention_heads=2, num_key_value_heads=1)).eval()
    ids = torch.arange(8)[None]
    arguments: dict[str, Any] = {"input_ids": ids, "video_mask": ids < 4, "position_ids": ids}
    config = VReasonConfig(learning_rate=1.0)
    steered = decode(model, **arguments, config=config, generation_config=greedy).traces[0]
    plain = decode(model, **arguments, config=VReasonConfig(schedule="off"), generation_config=greedy).traces[0]
    assert steered.entropy != plain.entropy


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda model: setattr(model.config.get_text_config(), "layer_types", ["conv"]), "of the kind 'conv' and not"),
        (lambda model: delattr(model, "lm_head"), "not built as layers with self-attention, a norm and a head"),
        (lambda model: setattr(model.config, "is_encoder_decoder", True), "it is an encoder-decoder"),
    ],
)
def test_another_architecture_is_refused_with_its_name(change: Any, remedy: str) -> None:
    model = make_model()
    change(model)
    with pytest.raises(GenerationError, match=rf"model_type 'qwen2_5_vl'\): .*{remedy}.*--schedule off"):
        find_steering_point(model)


def refuse(model: PreTrainedModel, remedy: str, greedy: GenerationConfig, **changes: Any) -> None:
    arguments = {**make_prompt(make_model()).arguments, **changes}
    with pytest.raises(VReasonError, match=remedy):
        decode(model, **{"config": VReasonConfig(), "generation_config": greedy, **arguments})


def test_states_that_cannot_be_steered_are_refused(greedy: GenerationConfig) -> None:
    refuse(make_model().train(), r"in training mode; call hf_model.eval\(\)", greedy)
    flex = make_model()
    flex.config.get_text_config(decoder=True)._attn_implementation = "flash_attention_2"
    model: Any = make_model()
    model.lm_head.to("meta")
    with pytest.raises(GenerationError, match="offloaded; place them on a device in device_map"):
        _last_layer(model)
    with pytest.raises(GenerationError, match="'flash_attention_2' is not supported; load it with attn_implementation"):
        _last_layer(flex)
    with torch.inference_mode():
        made_there = make_model()
    with pytest.raises(GenerationError, match=r"under torch\.inference_mode; load it outside of that block"):
        _last_layer(made_there)
    split: Any = make_model()
    split._tp_size = 2
    with pytest.raises(GenerationError, match="tensor-parallel ranks; load it without tp_plan"):
        _last_layer(split)


def _last_layer(model: Any) -> LastLayer:
    point = find_steering_point(model)
    check_state(model, point)
    return LastLayer(point, DynamicCache(), lambda values: values)


def test_replaying_before_a_pass_is_refused() -> None:
    layer: Any = _last_layer(make_model())
    with pytest.raises(GenerationError, match="step the model with this cache first"):
        layer.logits()


def test_logits_that_are_not_finite_are_refused(greedy: GenerationConfig) -> None:
    model: Any = make_model()
    with torch.no_grad():
        model.model.language_model.norm.weight[0] = float("nan")
    refuse(model, "logits are not finite; load it in another dtype", greedy)


def test_a_dropped_graph_is_refused(greedy: GenerationConfig) -> None:
    model: Any = make_model()
    head = model.lm_head.forward
    model.lm_head.forward = torch.no_grad()(head)
    refuse(model, r"dropped the gradient.*VReasonConfig\(schedule='off'\)", greedy)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, r"shape \(1, 0\); give at least one token"),
        ({"video_mask": torch.ones(1, 2, dtype=torch.bool)}, r"video_mask has shape \(1, 2\); give it the shape of"),
        ({"position_ids": None}, "needs position_ids; compute them with hf_model.model.get_rope_index"),
        ({"position_ids": torch.zeros(3, 1, 2)}, r"its last two axes must be those of input_ids"),
        ({"generation_config": GenerationConfig()}, r"set GenerationConfig\(max_new_tokens=...\) to at least 1"),
        (
            {"generation_config": GenerationConfig(max_length=5)},
            "max_length=5 leave no token to generate after a prompt",
        ),
        ({"generators": []}, "0 generators for 1 rows; give one torch.Generator per row"),
        (
            {"cache": StaticCache(make_model().config, max_cache_len=64)},
            "plain DynamicCache; got StaticCache",
        ),
    ],
)
def test_arguments_that_cannot_be_decoded_are_refused(
    changes: dict[str, Any], remedy: str, greedy: GenerationConfig
) -> None:
    refuse(make_model(), remedy, greedy, **changes)


def test_right_padding_is_refused(greedy: GenerationConfig) -> None:
    model = make_model()
    mask = torch.ones_like(make_prompt(model).inputs["input_ids"])
    mask[0, -1] = 0
    refuse(model, "hides the last token of a row; pad on the left: padding_side='left'", greedy, attention_mask=mask)


def test_a_cache_of_the_whole_prompt_is_refused(greedy: GenerationConfig) -> None:
    model = make_model()
    cache = decode(model, **make_prompt(model).arguments, generation_config=greedy).cache
    refuse(model, r"is left to read: cache.crop\(-n\)", greedy, cache=cache)


def test_generate_on_embeddings_is_refused() -> None:
    model: Any = make_model()
    embeddings = torch.randn(1, 5, 32)
    with pytest.raises(GenerationError, match="as input_ids with explicit positions"):
        model.generate(
            inputs_embeds=embeddings, max_new_tokens=4, pad_token_id=0, custom_generate=vreason_generate,
            vreason=VReasonConfig(),
        )  # fmt: skip


def test_a_pass_that_outlives_the_hook_leaves_it_alone() -> None:
    """Another thread's pass may hold a hook that was removed; torch then calls it without keywords (seen in a race)."""
    last: Any = _last_layer(make_model())
    assert last._before(last._point.layer, ()) is None
    with pytest.raises(GenerationError, match="step the model with this cache first"):
        last.logits()
