"""The prompt of a batch as tensors that agree with each other.

This module knows of the model its device only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from vreason_agent.errors import GenerationError


@dataclass(frozen=True)
class Prompt:
    """The prompt of a batch, on the model's device.

    Attributes:
        input_ids: `(batch, length)`, left padded.
        attention_mask: `(batch, length)` with 0 at padding; `None` without padding.
        position_ids: `(batch, length)` or `(axes, batch, length)`, rope positions.
        video_mask: `(batch, length)`, bool: video tokens.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor | None
    position_ids: torch.Tensor
    video_mask: torch.Tensor


def make_prompt(
    hf_model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    video_mask: torch.Tensor | None,
    position_ids: torch.Tensor | None,
) -> Prompt:
    """Check the prompt's tensors (see `decode`) against each other and put them on the model's device.

    Raises:
        GenerationError: shapes that differ, no positions for a video, or padding on the right.
    """
    if input_ids.ndim != 2 or 0 in input_ids.shape:
        raise GenerationError(
            f"input_ids has shape {tuple(input_ids.shape)}; give at least one token as (batch, length)"
        )
    device = hf_model.device
    input_ids = input_ids.to(device)
    for name, mask in (("attention_mask", attention_mask), ("video_mask", video_mask)):
        if mask is not None and mask.shape != input_ids.shape:
            raise GenerationError(
                f"{name} has shape {tuple(mask.shape)}; give it the shape of input_ids, {tuple(input_ids.shape)}"
            )
    attention_mask = _needed_mask(attention_mask, device)
    video_mask = torch.zeros_like(input_ids) if video_mask is None else video_mask.to(device)
    if position_ids is None:
        if bool(video_mask.any()):
            raise GenerationError(
                "a prompt with video needs position_ids; compute them with hf_model.model.get_rope_index(...)"
            )
        position_ids = text_positions(input_ids, attention_mask)
    if position_ids.shape[-2:] != input_ids.shape:
        raise GenerationError(
            f"position_ids has shape {tuple(position_ids.shape)}; its last two axes must be those of input_ids, "
            f"{tuple(input_ids.shape)}"
        )
    return Prompt(input_ids, attention_mask, position_ids.to(device), video_mask.bool())


def _needed_mask(attention_mask: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    """Return the mask, or `None` if nothing is masked: transformers then builds none for the last token."""
    if attention_mask is None or bool((attention_mask != 0).all()):
        return None
    if bool((attention_mask[:, -1] == 0).any()):
        raise GenerationError("attention_mask hides the last token of a row; pad on the left: padding_side='left'")
    return attention_mask.to(device)


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
