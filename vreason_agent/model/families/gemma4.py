"""Gemma 4: frames of at most 70 tokens in their own aspect, each after its time, over sliding and full attention.

The last layer attends to the whole context. In the small models it owns no keys and values but is handed those of an
earlier layer (`num_kv_shared_layers`): the controller then changes what is handed over, in the last layer's call alone,
and not the earlier layer's own cache. With `attention_k_eq_v` keys and values come from one projection, and only the
values are steered. Logits are capped; the layer's per-layer input is replayed with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vreason_agent.model.families.base import (
    Grid,
    Kind,
    ModelFamily,
    PairTimes,
    Segment,
    VideoLayout,
    VisionTokens,
    token_of,
)
from vreason_agent.model.families.preprocessor import normalization_of
from vreason_agent.model.vision_settings import FrameFit, PixelBudget, VisionSettings, aspect_preserving_size

if TYPE_CHECKING:
    import torch

    from vreason_agent.decoding.last_layer import SteeringPoint

__all__ = ["Gemma4"]

VIDEO_TOKENS, IMAGE_TOKENS = 70, 280
"""Tokens of a frame and of a still image where the preprocessor file sets none."""


class Gemma4(ModelFamily):
    """Gemma 4 (`gemma4`)."""

    name = "gemma4"
    architecture = "Gemma4ForConditionalGeneration"
    time_route = "text: minutes and seconds before each frame"
    needs_token_types = True

    def vision_tokens(self, config: Any, tokenizer: Any) -> VisionTokens:
        """Video and image tokens between the marks of an image."""
        if "<|video|>" not in tokenizer.get_vocab():  # published tokenizers lack it, and the library adds it
            tokenizer.add_special_tokens({"additional_special_tokens": ["<|video|>"]})
        names = ("video_token_id", "image_token_id", "boi_token_id", "eoi_token_id")
        video, image, start, end = (token_of(config, tokenizer, name) for name in names)
        return VisionTokens(video, image, video, image, start, end)

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Patches of the vision tower, pooled."""
        vision = config.vision_config
        values = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3, **processor}
        return VisionSettings(int(vision.patch_size), int(vision.pooling_kernel_size), 1, **normalization_of(values))

    def video_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """`max_soft_tokens` of the preprocessor file."""
        return _budget(settings, processor, VIDEO_TOKENS)

    def image_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """`max_soft_tokens` of the preprocessor file."""
        return _budget(settings, processor, IMAGE_TOKENS)

    def fit(self, num_frames: int, height: int, width: int, settings: VisionSettings, budget: PixelBudget) -> FrameFit:
        """The largest size of the same aspect within the budget."""
        max_patches = (
            budget.frame_max_pixels(num_frames, frames_per_pair=1) // settings.factor**2 * settings.merge_size**2
        )
        high, wide = aspect_preserving_size(height, width, settings, max_patches)
        grid = (num_frames, high // settings.patch_size, wide // settings.patch_size)
        return FrameFit(grid, math.prod(grid) // settings.merge_size**2, high, wide, max_patches)

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """Every frame after its time in minutes and seconds."""
        times = [f"{int(time // 60):02d}:{int(time % 60):02d}" for time, _ in pairs]
        pieces = [piece for k, time in enumerate(times) for piece in (f"{' ' if k else ''}{time} ", Segment(1))]
        note = (
            "Gemma 4 is told the time of a frame in whole seconds, so that some of the frames get the same one. "
            "Sample fewer frames or a longer range to tell them apart.",
        )
        return VideoLayout(tuple(pieces), note if len(set(times)) < len(times) else ())

    def preprocess(
        self, kind: Kind, frames: np.ndarray, grids: Sequence[Grid], fit: FrameFit, settings: VisionSettings
    ) -> dict[str, torch.Tensor]:
        """Patches `(num_frames, max_patches, patch_dim)` with their columns and rows, padded with -1."""
        import torch

        from vreason_agent.model.preprocess import prepare_frames

        pictures, size = prepare_frames(frames, fit, settings), settings.patch_size
        _, rows, columns = fit.grid_thw
        patches = pictures.reshape(len(frames), 3, rows, size, columns, size).permute(0, 2, 4, 3, 5, 1)
        patches = patches.reshape(len(frames), rows * columns, -1)
        x, y = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy")
        places = torch.stack((x, y), dim=-1).reshape(1, -1, 2).repeat(len(frames), 1, 1)
        padding = (0, 0, 0, fit.max_patches - rows * columns)
        patches = torch.nn.functional.pad(patches, padding)
        places = torch.nn.functional.pad(places, padding, value=-1)
        if kind == "image":
            return {"pixel_values": patches, "image_position_ids": places}
        count = torch.tensor([len(frames)])
        return {"pixel_values_videos": patches, "video_position_ids": places, "num_frames_per_video": count}

    def steering_point(self, hf_model: Any) -> SteeringPoint:
        """The last layer, with the values that it is handed or owns; the capped logits after it."""
        from vreason_agent.decoding.last_layer import SteeringPoint

        decoder, text = hf_model.model.language_model, hf_model.config.get_text_config()
        layer, cap = decoder.layers[-1], text.final_logit_softcapping

        def logits(hidden: torch.Tensor) -> torch.Tensor:
            raw: torch.Tensor = hf_model.lm_head(decoder.norm(hidden))
            return raw if cap is None else (raw / cap).tanh() * cap

        if not layer.self_attn.is_kv_shared_layer:
            return SteeringPoint(layer, logits)
        kind = layer.self_attn.layer_type
        own = text.layer_types[: text.num_hidden_layers - text.num_kv_shared_layers]
        stored = len(own) - 1 - own[::-1].index(kind)

        def replace(kwargs: dict[str, Any], steer: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
            shared = kwargs["shared_kv_states"]
            keys, values = shared[kind]
            return {**kwargs, "shared_kv_states": type(shared)({**shared, kind: (keys, steer(values))})}

        return SteeringPoint(layer, logits, stored, replace)


def _budget(settings: VisionSettings, processor: Mapping[str, Any], default: int) -> PixelBudget:
    tokens = processor.get("max_soft_tokens") or default
    if type(tokens) is not int or tokens < 1:
        raise ValueError(f"max_soft_tokens={tokens!r}: must be a whole number from 1 on")
    return PixelBudget(settings.factor**2, tokens * settings.factor**2)
