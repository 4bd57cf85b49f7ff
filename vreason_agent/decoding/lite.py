"""V-Reason Lite: drop the video tokens of lowest value norm from a filled key-value cache.

Implements the Lite variant of Sridhar et al., "Video Reasoning without Training", arXiv 2510.17045; the norm is the L2
norm of a token's cached value vector, mean over heads, ranked in each layer by itself. Kept entries keep the positions
that are already rotated into their keys; later positions must be passed explicitly. This module knows no model.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from vreason_agent.decoding.cache import LiteLayer, move_entries
from vreason_agent.errors import GenerationError


class LiteResult(NamedTuple):
    """Masks over the shortened cache, whose length is the same in every layer and row.

    Attributes:
        video_mask: `(batch, kept_length)`, bool: which entries of the last layer are video tokens.
        attention_mask: `(batch, kept_length)` or `None` as it was given; valid for every layer, since only padding is
            masked and no padding is dropped.
    """

    video_mask: torch.Tensor
    attention_mask: torch.Tensor | None


def drop_video_tokens(
    cache: DynamicCache, video_mask: torch.Tensor, *, keep_ratio: float, attention_mask: torch.Tensor | None
) -> LiteResult:
    """Shorten every attention layer of `cache` in place, keeping the order of what remains.

    A layer that lost entries becomes a `LiteLayer`, which says so to whoever is handed the cache later.

    Args:
        cache: Filled by the prompt, entries `(batch, num_kv_heads, length, head_dim)`.
        video_mask: `(batch, length)`, bool, the video tokens.
        keep_ratio: Share of each row's video tokens to keep, rounded up, in (0, 1]. Smaller: more is dropped.
        attention_mask: `(batch, length)` with 0 at left padding, or `None`.

    Raises:
        GenerationError: the rows would lose different numbers of tokens, or a layer keeps a window only.
    """
    num_dropped = _num_dropped(video_mask, keep_ratio)
    keep = torch.empty(0)
    layers: list[Any] = cache.layers
    if any(isinstance(layer, DynamicSlidingWindowLayer) for layer in layers):
        raise GenerationError(
            "Lite cannot drop video tokens from layers with a sliding window, which keep no entry for each token; "
            "leave --lite out (VReasonConfig(lite=False))"
        )
    # A recurrent state beside the attention layers has no entries to drop.
    for number in (number for number, layer in enumerate(layers) if isinstance(layer, DynamicLayer)):
        layer = layers[number]
        keep = _kept_indices(layer.values, video_mask.to(layer.values.device), num_dropped)
        where = keep[:, None, :, None].expand(-1, layer.keys.shape[1], -1, layer.keys.shape[-1])
        layer.keys, layer.values = layer.keys.gather(2, where), layer.values.gather(2, where)
        if num_dropped:
            layers[number] = LiteLayer(num_dropped)
            move_entries(layer, layers[number])
    keep = keep.to(video_mask.device)
    masks = None if attention_mask is None else attention_mask.gather(1, keep)
    return LiteResult(video_mask.gather(1, keep), masks)


def _num_dropped(video_mask: torch.Tensor, keep_ratio: float) -> int:
    counts = video_mask.sum(dim=1).tolist()
    # The ratio as it was written: 0.55 * 100 is 55.00000000000001 in binary, and would keep 56.
    ratio = Fraction(repr(float(keep_ratio)))
    dropped = {count - math.ceil(ratio * count) for count in counts}
    if len(dropped) > 1:
        raise GenerationError(
            f"Lite needs rows that lose equally many tokens; their video tokens number {counts} at "
            f"lite_keep_ratio={keep_ratio:g}; decode them one by one, or give each the same frames"
        )
    return int(dropped.pop())


def _kept_indices(values: torch.Tensor, video_mask: torch.Tensor, num_dropped: int) -> torch.Tensor:
    """Return `(batch, kept_length)`, ascending: all but the `num_dropped` video tokens of lowest norm."""
    norms = torch.linalg.vector_norm(values.float(), dim=-1).mean(dim=1)  # (batch, length)
    ranked = norms.masked_fill(~video_mask, float("inf")).argsort(dim=-1, stable=True)
    return torch.sort(ranked[:, num_dropped:], dim=-1)[0]
