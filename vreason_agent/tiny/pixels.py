"""Pixels to model inputs for training, and the vision tower run over many pairs at once.

The steps are those of `vreason_agent.model.preprocess`. Knows no question and no world.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vreason_agent.model import preprocess
from vreason_agent.model.preprocess import normalize, resize_frames
from vreason_agent.model.vision_settings import VisionSettings
from vreason_agent.tiny.build import MERGE, PATCH_PX, SIDE_PX, TEMPORAL_PATCH

SETTINGS = VisionSettings(PATCH_PX, MERGE, TEMPORAL_PATCH)


def shrink(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize frames uint8 `(n, height, width, 3)` to `(n, SIDE_PX, SIDE_PX, 3)`."""
    frames = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    small: NDArray[np.uint8] = resize_frames(frames, SIDE_PX, SIDE_PX).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(small)


def patchify(frames: Tensor) -> Tensor:
    """Frames uint8 `(num_pairs, 2, SIDE_PX, SIDE_PX, 3)` to float patches `(num_pairs, num_patches, patch_dim)`."""
    patches, _ = preprocess.patchify(normalize(frames.flatten(0, 1).permute(0, 3, 1, 2), SETTINGS), SETTINGS)
    return patches.view(len(frames), -1, SETTINGS.patch_dim)


def see_pairs(visual: Any, patches: Tensor) -> Tensor:
    """Run the vision tower on all pairs: `(num_pairs, num_patches, patch_dim)` to `(num_pairs, num_tokens, hidden)`.

    Equal to the tower's own forward, which loops over the pairs; all its blocks attend in full.
    """
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    num_pairs, num_patches, _ = patches.shape
    embed = visual.patch_embed.proj
    hidden = functional.linear(patches.to(embed.weight.dtype), embed.weight.flatten(1))
    cos, sin = visual.rotary_pos_emb(hidden, _patch_positions())
    for block in visual.blocks:
        attention = block.attn
        qkv = attention.qkv(block.norm1(hidden)).view(
            num_pairs, num_patches, 3, attention.num_heads, attention.head_dim
        )
        query, key, value = qkv.unbind(2)
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        mixed = functional.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        )
        hidden = hidden + attention.proj(mixed.transpose(1, 2).reshape(num_pairs, num_patches, -1))
        hidden = hidden + block.mlp(block.norm2(hidden))
    merged: Tensor = visual.merger(hidden)
    return merged.view(num_pairs, num_patches // MERGE**2, -1)


def _patch_positions() -> Tensor:
    grid = SIDE_PX // PATCH_PX
    rows = torch.arange(grid).view(grid // MERGE, 1, MERGE, 1).expand(-1, grid // MERGE, -1, MERGE)
    columns = torch.arange(grid).view(1, grid // MERGE, 1, MERGE).expand(grid // MERGE, -1, MERGE, -1)
    return torch.stack([rows.reshape(-1), columns.reshape(-1)], dim=1)
