"""Pixels to features: preprocess the pictures of each prompt and run the vision tower, prompt by prompt.

Prompts are encoded one at a time, so that a picture's features never depend on what else is in the batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.utils.generic import ModelOutput

from vreason_agent.model.draft import EncodedPrompt
from vreason_agent.model.encoding import PromptEncoder
from vreason_agent.model.preprocess import preprocess_frames

__all__ = ["Pixels", "VisionFeatures", "preprocess_prompt", "vision_inputs"]


@dataclass(frozen=True)
class Pixels:
    """The patches of one prompt, float32 `(num_patches, patch_dim)`, and the grids `(num_segments, 3)`."""

    video: torch.Tensor | None
    video_grids: torch.Tensor | None
    image: torch.Tensor | None
    image_grids: torch.Tensor | None


@dataclass
class VisionFeatures(ModelOutput):
    """What a vision tower made of several prompts, in the form that transformers' Qwen-VL models take it.

    Under `num_return_sequences` transformers' `generate` repeats the segments in place: these inputs serve one call.

    Attributes:
        pooler_output: one tensor `(num_tokens, hidden_size)` per segment.
        deepstack_features: for each injected layer one such tensor per segment (Qwen3-VL); `None` for others.
    """

    pooler_output: Sequence[torch.Tensor] | None = None
    deepstack_features: Sequence[Sequence[torch.Tensor]] | None = None


def preprocess_prompt(prompt: EncodedPrompt, encoder: PromptEncoder) -> Pixels:
    """Turn the pictures of a prompt into patches."""
    videos = [preprocess_frames(v.images, encoder.video.settings, encoder.video.budget) for v in prompt.videos]
    images = [preprocess_frames(i.image[None], encoder.image.settings, encoder.image.budget) for i in prompt.images]
    return Pixels(
        torch.cat([video.pixel_values for video in videos]) if videos else None,
        torch.tensor(prompt.video_grids) if videos else None,
        torch.cat([image.pixel_values for image in images]) if images else None,
        torch.tensor(prompt.image_grids) if images else None,
    )


@torch.no_grad()
def vision_inputs(hf_model: Any, pixels: Sequence[Pixels], device: torch.device) -> dict[str, Any]:
    """Encode the pictures of all prompts; returns the keyword arguments that the model's prefill takes.

    Models that cannot take features computed beforehand get the patches of the whole batch instead.
    """
    if "mm_encoder_outputs" not in inspect.signature(hf_model.forward).parameters:
        return _raw_inputs(pixels, device)
    features = {
        "video": _features(hf_model, pixels, "video", device),
        "image": _features(hf_model, pixels, "image", device),
    }
    found = {kind: value for kind, value in features.items() if value is not None}
    return {"mm_encoder_outputs": found} if found else {}


def _features(hf_model: Any, pixels: Sequence[Pixels], kind: str, device: torch.device) -> VisionFeatures | None:
    encode = getattr(hf_model.model, f"get_{kind}_features")
    outputs = []
    for one in pixels:
        patches, grids = getattr(one, kind), getattr(one, f"{kind}_grids")
        if patches is not None:
            outputs.append(encode(patches.to(device), grids.to(device), return_dict=True))
    return _join(outputs) if outputs else None


def _join(outputs: Sequence[Any]) -> VisionFeatures:
    pooled = tuple(segment for output in outputs for segment in output.pooler_output)
    layers = [getattr(output, "deepstack_features", None) or () for output in outputs]
    deepstack = tuple(tuple(s for layer in same for s in layer) for same in zip(*layers, strict=True))
    return VisionFeatures(pooled, deepstack or None)


def _raw_inputs(pixels: Sequence[Pixels], device: torch.device) -> dict[str, Any]:
    names: Mapping[str, str] = {
        "pixel_values_videos": "video",
        "video_grid_thw": "video_grids",
        "pixel_values": "image",
        "image_grid_thw": "image_grids",
    }
    joined = {
        name: [t for t in (getattr(one, field) for one in pixels) if t is not None] for name, field in names.items()
    }
    return {name: torch.cat(tensors).to(device) for name, tensors in joined.items() if tensors}
