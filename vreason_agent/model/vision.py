"""Pixels to features: preprocess the pictures of each prompt and run the vision tower, prompt by prompt.

Prompts are encoded one at a time, so that a picture's features never depend on what else is in the batch. This module
knows no architecture: `ModelFamily` says what the vision tower takes.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from transformers.utils.generic import ModelOutput

from vreason_agent.model.draft import EncodedPrompt
from vreason_agent.model.encoding import PromptEncoder
from vreason_agent.model.families.base import Kind, ModelFamily

__all__ = ["Pixels", "VisionFeatures", "preprocess_prompt", "vision_inputs"]

Pixels: TypeAlias = Mapping[Kind, Mapping[str, torch.Tensor]]
"""What the vision tower takes for the pictures of one prompt, by kind of feature, then by name of the argument."""


@dataclass
class VisionFeatures(ModelOutput):
    """What a vision tower made of several prompts, in the form that transformers' models take it.

    Under `num_return_sequences` transformers' `generate` repeats the segments in place: these inputs serve one call.

    Attributes:
        pooler_output: one tensor `(num_tokens, hidden_size)` per segment, or one tensor for all frames.
        deepstack_features: for each injected layer one such tensor per segment (Qwen3-VL); `None` for others.
    """

    pooler_output: Any = None
    deepstack_features: Sequence[Sequence[torch.Tensor]] | None = None


def preprocess_prompt(prompt: EncodedPrompt, encoder: PromptEncoder) -> Pixels:
    """Turn the pictures of a prompt into what the vision tower takes."""
    family, made = encoder.family, defaultdict[Kind, list[dict[str, torch.Tensor]]](list)
    for picture in prompt.pictures:
        settings = (encoder.video if picture.kind == "video" else encoder.image).settings
        inputs = family.preprocess(picture.kind, picture.frames, picture.grids, picture.fit, settings)
        made[family.feature_kind(picture.kind)].append(inputs)
    return {kind: _joined(inputs) for kind, inputs in made.items()}


@torch.no_grad()
def vision_inputs(family: ModelFamily, hf_model: Any, pixels: Sequence[Pixels], device: torch.device) -> dict[str, Any]:
    """Encode the pictures of all prompts; returns the keyword arguments that the model's prefill takes.

    Models that cannot take features computed beforehand get the pixels of the whole batch instead.
    """
    kinds: list[Kind] = sorted({kind for one in pixels for kind in one})
    if "mm_encoder_outputs" not in inspect.signature(hf_model.forward).parameters:
        raw = [_joined([one[kind] for one in pixels if kind in one]) for kind in kinds]
        return {name: tensor.to(device) for inputs in raw for name, tensor in inputs.items()}
    found = {}
    for kind in kinds:
        moved = [{name: tensor.to(device) for name, tensor in one[kind].items()} for one in pixels if kind in one]
        found[kind] = _features([family.encode(hf_model, kind, inputs) for inputs in moved])
    return {"mm_encoder_outputs": found} if found else {}


def _joined(inputs: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([one[name] for one in inputs]) for name in inputs[0]}


def _features(outputs: Sequence[Any]) -> VisionFeatures:
    pooled = [output.pooler_output for output in outputs]
    is_one_tensor = isinstance(pooled[0], torch.Tensor)
    layers = [getattr(output, "deepstack_features", None) or () for output in outputs]
    deepstack = tuple(tuple(s for layer in same for s in layer) for same in zip(*layers, strict=True))
    return VisionFeatures(
        torch.cat(pooled) if is_one_tensor else tuple(segment for one in pooled for segment in one), deepstack or None
    )
