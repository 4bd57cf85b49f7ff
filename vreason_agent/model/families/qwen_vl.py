"""What the Qwen-VL families share: patch settings from the folder's files, and pixel budgets like qwen-vl-utils."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vreason_agent.errors import quote
from vreason_agent.model.families.base import Grid, Kind, ModelFamily, VisionTokens, token_of
from vreason_agent.model.families.preprocessor import normalization_of, pixel_limits
from vreason_agent.model.vision_settings import FrameFit, PixelBudget, VisionSettings

if TYPE_CHECKING:
    import torch

__all__ = ["QwenVLFamily"]

MIN_FRAME_TOKENS = 128
"""Tokens of the smallest video frame (qwen-vl-utils, VIDEO_MIN_TOKEN_NUM)."""
MAX_FRAME_TOKENS = 768
"""Tokens of the largest video frame (qwen-vl-utils, VIDEO_MAX_TOKEN_NUM)."""
MAX_VIDEO_TOKENS = 115_200
"""Tokens of a whole video: 90 % of a context of 128,000 (qwen-vl-utils, MODEL_SEQ_LEN)."""
MIN_IMAGE_TOKENS, MAX_IMAGE_TOKENS = 4, 16_384
"""Tokens of the smallest and largest still image (qwen-vl-utils)."""


class QwenVLFamily(ModelFamily):
    """Base of the Qwen-VL families; one vision segment per video unless a subclass says otherwise."""

    rope_axes: Literal[1, 3] = 3
    encodes_patches_alone = True

    def vision_tokens(self, config: Any, tokenizer: Any) -> VisionTokens:
        """Pads between `<|vision_start|>` and `<|vision_end|>`."""
        names = ("video_token_id", "image_token_id", "vision_start_token_id", "vision_end_token_id")
        video, image, start, end = (token_of(config, tokenizer, name) for name in names)
        return VisionTokens(video, image, video, image, start, end)

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Patch sizes from the model's config, normalization from the preprocessor file."""
        vision = config.vision_config
        _check_window(vision)
        _check_sizes(processor, vision)
        return VisionSettings(
            patch_size=int(vision.patch_size),
            merge_size=int(vision.spatial_merge_size),
            temporal_patch_size=int(vision.temporal_patch_size),
            **normalization_of(processor),
        )

    def video_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """128 to 768 tokens per frame and 115,200 in total, as in qwen-vl-utils.

        The published preprocessor files limit still images; a file that asks for frames smaller than these defaults is
        meant for videos too, and obeyed.
        """
        token = settings.factor**2
        low, high = pixel_limits(processor)
        if high is not None and high < MAX_FRAME_TOKENS * token:
            return PixelBudget(min(low or high, high), high, MAX_VIDEO_TOKENS * token)
        return PixelBudget(MIN_FRAME_TOKENS * token, MAX_FRAME_TOKENS * token, MAX_VIDEO_TOKENS * token)

    def image_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """The limits of the preprocessor file, else 4 to 16,384 tokens as in qwen-vl-utils."""
        token = settings.factor**2
        low, high = pixel_limits(processor)
        return PixelBudget(low or MIN_IMAGE_TOKENS * token, high or MAX_IMAGE_TOKENS * token)

    def preprocess(
        self, kind: Kind, frames: np.ndarray, grids: Sequence[Grid], fit: FrameFit, settings: VisionSettings
    ) -> dict[str, torch.Tensor]:
        """Patches in temporal pairs, and the grid of every vision block."""
        import torch

        from vreason_agent.model.preprocess import patchify, prepare_frames

        patches, _ = patchify(prepare_frames(frames, fit, settings), settings)
        pixels, grid = (
            ("pixel_values_videos", "video_grid_thw") if kind == "video" else ("pixel_values", "image_grid_thw")
        )
        return {pixels: patches, grid: torch.tensor(grids)}


def _check_window(vision: Any) -> None:
    """A window that holds no token divides by zero at the first picture, not while loading."""
    window, token = getattr(vision, "window_size", None), vision.patch_size * vision.spatial_merge_size
    if window is not None and window < token:
        raise ValueError(f"window_size={quote(window)}: must be at least {token} px, the side of a token")


def _check_sizes(processor: Mapping[str, Any], vision: Any) -> None:
    """Refuse a file whose patches are not those that the model's config is made for."""
    sizes = {
        "patch_size": vision.patch_size,
        "merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
    }
    for key, own in sizes.items():
        if (value := processor.get(key)) not in (None, own):
            raise ValueError(f"{key}={quote(value)}: vision_config in config.json says {own}")
