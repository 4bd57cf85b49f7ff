"""Pixels to features: preprocess the pictures of each prompt and run the vision tower on what was not seen before.

Prompts are encoded one at a time, so that a picture's features never depend on what else is in the batch. This module
knows no architecture: `ModelFamily` says what the vision tower takes, and whether it sees each temporal patch alone.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from transformers.utils.generic import ModelOutput

from vreason_agent.decoding.compat import seconds_now
from vreason_agent.model.draft import EncodedPrompt, Picture
from vreason_agent.model.encoding import PromptEncoder
from vreason_agent.model.families.base import Kind, ModelFamily
from vreason_agent.model.reuse import ReuseStore

__all__ = [
    "Pixels",
    "VisionFeatures",
    "VisionReading",
    "block_keys",
    "preprocess_prompt",
    "read_vision",
    "vision_inputs",
]

Pixels: TypeAlias = Mapping[Kind, Mapping[str, torch.Tensor]]
"""What the vision tower takes for the pictures of one prompt, by kind of feature, then by name of the argument."""
PartKeys: TypeAlias = Sequence[Sequence[bytes]]
"""For each picture of a prompt a digest of what is encoded at once: each of its temporal patches, or all of it."""


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


@dataclass
class VisionReading:
    """The features of a batch, and what they took.

    Attributes:
        inputs: keyword arguments of the model's prefill.
        num_encoded: per prompt, temporal patches that the vision tower ran on, or whole pictures of families that see
            them at once.
        num_reused: per prompt, those whose features were kept from before.
        preprocess_seconds: wall time of resizing and cutting.
        vision_seconds: wall time of the vision tower; `None` where the prefill runs it.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    num_encoded: list[int] = field(default_factory=list)
    num_reused: list[int] = field(default_factory=list)
    preprocess_seconds: float = 0.0
    vision_seconds: float | None = None

    @property
    def done(self) -> VisionReading:
        """The same after the features were read."""
        return replace(self, inputs={})


def preprocess_prompt(prompt: EncodedPrompt, encoder: PromptEncoder) -> Pixels:
    """Turn the pictures of a prompt into what the vision tower takes."""
    family, made = encoder.family, defaultdict[Kind, list[dict[str, torch.Tensor]]](list)
    for picture in prompt.pictures:
        settings = encoder.spec(picture.kind).settings
        inputs = family.preprocess(picture.kind, picture.frames, picture.grids, picture.fit, settings)
        made[family.feature_kind(picture.kind)].append(inputs)
    return {kind: _joined(inputs) for kind, inputs in made.items()}


@torch.no_grad()
def vision_inputs(family: ModelFamily, hf_model: Any, pixels: Sequence[Pixels], device: torch.device) -> dict[str, Any]:
    """Encode the pictures of all prompts; returns the keyword arguments that the model's prefill takes.

    Models that cannot take features computed beforehand get the pixels of the whole batch instead.
    """
    kinds: list[Kind] = sorted({kind for one in pixels for kind in one})
    if not takes_features(hf_model):
        raw = [_joined([one[kind] for one in pixels if kind in one]) for kind in kinds]
        return {name: tensor.to(device) for inputs in raw for name, tensor in inputs.items()}
    found = {}
    for kind in kinds:
        moved = [{name: tensor.to(device) for name, tensor in one[kind].items()} for one in pixels if kind in one]
        found[kind] = _features([family.encode(hf_model, kind, inputs) for inputs in moved])
    return {"mm_encoder_outputs": found} if found else {}


def takes_features(hf_model: Any) -> bool:
    """Whether the model's prefill takes features that were computed beforehand."""
    return "mm_encoder_outputs" in inspect.signature(hf_model.forward).parameters


def part_keys(prompt: EncodedPrompt, encoder: PromptEncoder) -> list[list[bytes]]:
    """Return digests of a prompt's pictures: of their pixels and the size that they get."""
    return [_keys_of(picture, encoder) for picture in prompt.pictures]


def block_keys(prompt: EncodedPrompt, keys: PartKeys) -> list[bytes]:
    """Return a digest of each vision block of a prompt, in its order."""
    found: list[bytes] = []
    for picture, parts in zip(prompt.pictures, keys, strict=True):
        at = 0
        for index, (pairs, _, _) in enumerate(picture.grids):
            found.append(parts[0] + bytes([index]) if len(parts) == 1 else b"".join(parts[at : at + pairs]))
            at += pairs
    return [hashlib.blake2b(key, digest_size=16).digest() for key in found]


@torch.no_grad()
def read_vision(
    prompts: Sequence[EncodedPrompt],
    keys: Sequence[PartKeys],
    encoder: PromptEncoder,
    hf_model: Any,
    store: ReuseStore,
    *,
    num_known: int = 0,
) -> VisionReading:
    """Return the features of all prompts' pictures, running the vision tower on what the store does not hold.

    Args:
        prompts: of one batch.
        keys: of each prompt, as `part_keys` gives them.
        encoder: made the prompts.
        hf_model: a model that `takes_features`.
        store: keeps features by content.
        num_known: first vision blocks of the only prompt that need no features: they were read before.
    """
    reading, found = VisionReading(), defaultdict[Kind, list[Any]](list)
    begin, seconds = time.perf_counter(), 0.0
    for prompt, prompt_keys in zip(prompts, keys, strict=True):
        reading.num_encoded.append(0)
        reading.num_reused.append(0)
        at = 0
        for picture, parts in zip(prompt.pictures, prompt_keys, strict=True):
            known = min(max(num_known - at, 0), len(picture.grids))
            at += len(picture.grids)
            if known == len(picture.grids):
                continue
            features, spent = _picture_features(picture, parts, known, encoder, hf_model, store, reading)
            found[encoder.family.feature_kind(picture.kind)] += features
            seconds += spent
    if found:
        reading.inputs = {"mm_encoder_outputs": {kind: _features(found[kind]) for kind in sorted(found)}}
    reading.vision_seconds = seconds
    reading.preprocess_seconds = time.perf_counter() - begin - seconds
    return reading


def _picture_features(
    picture: Picture,
    keys: Sequence[bytes],
    num_known: int,
    encoder: PromptEncoder,
    hf_model: Any,
    store: ReuseStore,
    reading: VisionReading,
) -> tuple[list[Any], float]:
    """Return outputs that hold a picture's features from a block on, and the seconds of the vision tower."""
    is_split = len(keys) > 1
    first = sum(grid[0] for grid in picture.grids[:num_known]) if is_split else 0
    parts: dict[bytes, Any] = {key: store.find(key) for key in keys[first:]}
    missing = [key for key, part in parts.items() if part is None]
    reading.num_reused[-1] += len(parts) - len(missing)
    reading.num_encoded[-1] += len(missing)
    seconds = 0.0
    if missing:
        chosen = [keys.index(key) for key in missing] if is_split else None
        output, seconds = _encode(picture, chosen, encoder, hf_model)
        for key, part in zip(missing, _split(output, len(missing)) if is_split else [output], strict=True):
            parts[key] = part
            store.keep(key, part, _num_bytes(part))
    if not is_split:
        return [parts[keys[0]]], seconds
    blocks, at = [], first
    for pairs, _, _ in picture.grids[num_known:]:
        blocks.append(_block([parts[key] for key in keys[at : at + pairs]]))
        at += pairs
    return blocks, seconds


def _encode(picture: Picture, chosen: Sequence[int] | None, encoder: PromptEncoder, hf_model: Any) -> tuple[Any, float]:
    """Run the vision tower on a picture, or on some of its temporal patches as blocks of their own."""
    family, settings = encoder.family, encoder.spec(picture.kind).settings
    frames, grids = picture.frames, picture.grids
    if chosen is not None:
        pair, (_, rows, columns) = settings.temporal_patch_size, grids[0]
        frames = np.concatenate([frames[pair * index : pair * (index + 1)] for index in chosen])
        grids = ((1, rows, columns),) * len(chosen)
    inputs = family.preprocess(picture.kind, frames, grids, picture.fit, settings)
    moved = {name: tensor.to(hf_model.device) for name, tensor in inputs.items()}
    began = seconds_now(hf_model.device)
    output = family.encode(hf_model, family.feature_kind(picture.kind), moved)
    return output, seconds_now(hf_model.device) - began


def _keys_of(picture: Picture, encoder: PromptEncoder) -> list[bytes]:
    fit, frames = picture.fit, np.ascontiguousarray(picture.frames)
    pair, num_patches = encoder.spec(picture.kind).settings.temporal_patch_size, sum(grid[0] for grid in picture.grids)
    size = f"{picture.kind} {frames.shape[1:]} {fit.height_px} {fit.width_px}"
    if not encoder.family.encodes_patches_alone or -(-len(frames) // pair) != num_patches:
        return [_digest(frames, f"{size} {picture.grids}")]
    return [_digest(frames[start : start + pair], size) for start in range(0, len(frames), pair)]


def _digest(frames: np.ndarray, size: str) -> bytes:
    key = hashlib.blake2b(size.encode(), digest_size=16).digest()
    return hashlib.blake2b(frames.data, digest_size=16, key=key).digest()


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


def _split(output: Any, num_parts: int) -> list[VisionFeatures]:
    """Return an output of several blocks as one output each, with tensors of their own."""
    deepstack = getattr(output, "deepstack_features", None) or ()
    return [
        VisionFeatures(
            (output.pooler_output[index].clone(),), tuple((layer[index].clone(),) for layer in deepstack) or None
        )
        for index in range(num_parts)
    ]


def _block(parts: Sequence[VisionFeatures]) -> VisionFeatures:
    """Return the output of one block of several temporal patches."""
    whole = _features(parts)
    deepstack = tuple((torch.cat(list(layer)),) for layer in whole.deepstack_features or ()) or None
    return VisionFeatures((torch.cat(list(whole.pooler_output)),), deepstack)


def _num_bytes(output: Any) -> int:
    layers = getattr(output, "deepstack_features", None) or ()
    tensors = [output.pooler_output] if isinstance(output.pooler_output, torch.Tensor) else list(output.pooler_output)
    tensors += [tensor for layer in layers for tensor in layer]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
