"""Random tiny models of the three families and prompts with a made-up video, without a processor.

Equality and direction are tested in float64, where they hold on every processor, whatever order its vector units add
in: rounding came to 3e-14 nats over 40 steered tokens, the bundled weights included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import (
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

ROUNDING_NATS = 1e-11
"""Largest difference of two entropies in float64 that are equal but for rounding."""

VOCAB, VISION_START, VISION_END, IMAGE, VIDEO, PAD, EOS = 120, 110, 111, 112, 113, 114, 115
FAMILIES = ("qwen2_5_vl", "qwen3_vl", "qwen2_vl")
_TEXT: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_SPECIAL: dict[str, Any] = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": VISION_START,
    "vision_end_token_id": VISION_END,
    "tie_word_embeddings": False,
}


def make_model(family: str = "qwen2_5_vl", *, seed: int = 0, sharpness: float = 1.0, **kwargs: Any) -> PreTrainedModel:
    """Make a random model whose head is scaled by `sharpness`: 1 gives entropies near log V, larger ones vary."""
    torch.manual_seed(seed)
    model: Any = _MAKERS[family](**kwargs)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "language_model" in name:
                parameter.mul_(4.0)  # initializer_range 0.02 leaves layers without effect
        model.lm_head.weight.mul_(4.0 * sharpness)
    model.eval()
    return cast("PreTrainedModel", model)


def to_float64(model: PreTrainedModel) -> PreTrainedModel:
    """Convert a model in place, norms included, which transformers computes in float32 whatever the model's type."""
    model.to(dtype=torch.float64)  # type: ignore[call-arg]
    for module in model.modules():
        kind = type(module)
        if kind.__name__.endswith("RMSNorm"):
            module.__class__ = type(kind.__name__, (kind,), {"forward": _float64_norm})
    return model


def _float64_norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    scale = torch.rsqrt(hidden.square().mean(dim=-1, keepdim=True) + norm.variance_epsilon)
    result: torch.Tensor = norm.weight * hidden * scale
    return result


def _qwen2_5_vl(**kwargs: Any) -> Any:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    vision: dict[str, Any] = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 32,
    }
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 16}
    vision |= {"fullatt_block_indexes": [0], "tokens_per_second": 8}
    config = Qwen2_5_VLConfig(text_config={**_TEXT, "rope_parameters": rope}, vision_config=vision, **_SPECIAL)
    return Qwen2_5_VLForConditionalGeneration._from_config(config, **kwargs)


def _qwen2_vl(**kwargs: Any) -> Any:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    vision: dict[str, Any] = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    config = Qwen2VLConfig(text_config={**_TEXT, "rope_parameters": rope}, vision_config=vision, **_SPECIAL)
    return Qwen2VLForConditionalGeneration._from_config(config, **kwargs)


def _qwen3_vl(**kwargs: Any) -> Any:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 32,
    }
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 16}
    vision |= {"deepstack_visual_indexes": [0]}
    text = {**_TEXT, "head_dim": 8, "rope_parameters": rope}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **_SPECIAL)
    return Qwen3VLForConditionalGeneration._from_config(config, **kwargs)


_MAKERS: dict[str, Any] = {"qwen2_5_vl": _qwen2_5_vl, "qwen3_vl": _qwen3_vl, "qwen2_vl": _qwen2_vl}


@dataclass(frozen=True)
class TinyPrompt:
    """Inputs for `hf_model.generate(**inputs)` and the same for `decode(hf_model, **arguments)`."""

    inputs: dict[str, torch.Tensor]
    arguments: dict[str, Any]

    @property
    def length(self) -> int:
        return int(self.inputs["input_ids"].shape[1])


def make_prompt(model: PreTrainedModel, *, seed: int = 0, num_pairs: int = 3, num_text: int = 6) -> TinyPrompt:
    """One row: text, a video of `num_pairs` temporal pairs of noise with two tokens each, text."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(30, 100, (num_text + 3,), generator=generator).tolist()
    config: Any = model.config
    start, end, pad = config.vision_start_token_id, config.vision_end_token_id, config.video_token_id
    is_split = _has_block_per_pair(model)
    if is_split:  # one vision block per pair, text between
        blocks = [[20 + pair, start, pad, pad, end] for pair in range(num_pairs)]
    else:
        blocks = [[start, *[pad, pad] * num_pairs, end]] if num_pairs else []
    ids = torch.tensor([[*text[:3], *(token for block in blocks for token in block), *text[3:]]])
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if num_pairs:
        inputs["mm_token_type_ids"] = 2 * (ids == pad).int()
        inputs["pixel_values_videos"] = torch.randn(num_pairs * 8, _patch_values(model), generator=generator)
        is_one_video = config.model_type == "qwen3_vl" or not is_split
        inputs["video_grid_thw"] = torch.tensor([[num_pairs, 2, 4]] if is_one_video else [[1, 2, 4]] * num_pairs)
    return _with_arguments(model, inputs)


def _has_block_per_pair(model: PreTrainedModel) -> bool:
    config: Any = model.config
    return config.model_type == "qwen3_vl" or getattr(config, "vreason_family", "").endswith("timestamps")


def _patch_values(model: PreTrainedModel) -> int:
    vision: Any = model.config.vision_config
    assert vision.spatial_merge_size == 2
    return int(3 * vision.temporal_patch_size * vision.patch_size**2)


def make_batch(model: PreTrainedModel, prompts: list[TinyPrompt]) -> TinyPrompt:
    """Left-pad several one-row prompts into a batch."""
    length = max(prompt.length for prompt in prompts)

    def pad(tensor: torch.Tensor, value: int) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, (length - tensor.shape[1], 0), value=value)

    config: Any = model.config
    padding = config.vision_end_token_id  # any token: the mask hides it

    inputs = {
        "input_ids": torch.cat([pad(p.inputs["input_ids"], padding) for p in prompts]),
        "attention_mask": torch.cat([pad(p.inputs["attention_mask"], 0) for p in prompts]),
    }
    if any("video_grid_thw" in p.inputs for p in prompts):
        inputs["mm_token_type_ids"] = 2 * (inputs["input_ids"] == config.video_token_id).int()
        for name in ("pixel_values_videos", "video_grid_thw"):
            inputs[name] = torch.cat([p.inputs[name] for p in prompts if name in p.inputs])
    return _with_arguments(model, inputs)


def _with_arguments(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> TinyPrompt:
    arguments: dict[str, Any] = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    if "video_grid_thw" in inputs:
        names = ("mm_token_type_ids", "video_grid_thw", "attention_mask")
        body: Any = model.model
        arguments["position_ids"], _ = body.get_rope_index(
            inputs["input_ids"], **{name: inputs[name] for name in names}
        )
        arguments["video_mask"] = inputs["mm_token_type_ids"] == 2
        arguments["prefill_inputs"] = {name: inputs[name] for name in ("pixel_values_videos", "video_grid_thw")}
    return TinyPrompt(inputs, arguments)
