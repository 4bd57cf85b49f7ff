"""Rope positions of generated tokens, always explicit.

transformers derives them from `rope_deltas`, state kept on the model that another video silently replaces. This module
knows no model.
"""

from __future__ import annotations

import torch


class NextPositions:
    """Positions of the tokens after a prompt: on each axis, the prompt's last position + 1 + the token's number.

    This is what `generate` does. A prompt ends in text, whose positions are the same on every rope axis; transformers'
    own `get_rope_index` for Qwen2.5-VL (5.23) may leave larger temporal positions behind in a long video, which
    therefore must not be taken for the end of the text.
    """

    def __init__(self, position_ids: torch.Tensor) -> None:
        """Read the prompt's positions, `(batch, length)`, `(3, batch, length)` or `(4, batch, length)`."""
        self._first = position_ids[..., -1:] + 1

    def at(self, step: int) -> torch.Tensor:
        """Return the positions of generated token `step` (from 0): the prompt's shape with length 1."""
        return self._first + step


def text_positions(input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """Return `(batch, length)` positions of a prompt without images or video, counted after the left padding."""
    if attention_mask is None:
        return torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp_min(0)
