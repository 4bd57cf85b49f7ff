"""What the Qwen-VL families share: patch settings from the folder's files, and pixel budgets like qwen-vl-utils.

This module does not know how a family tells time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vreason_agent.model.family import PairTimes, Segment, VideoLayout
from vreason_agent.model.preprocess import PixelBudget, VisionSettings

__all__ = ["QwenVLFamily", "pixel_limits"]

MIN_FRAME_TOKENS = 128
"""Tokens of the smallest video frame (qwen-vl-utils, VIDEO_MIN_TOKEN_NUM)."""
MAX_FRAME_TOKENS = 768
"""Tokens of the largest video frame (qwen-vl-utils, VIDEO_MAX_TOKEN_NUM)."""
MAX_VIDEO_TOKENS = 115_200
"""Tokens of a whole video: 90 % of a context of 128,000 (qwen-vl-utils, MODEL_SEQ_LEN)."""
MIN_IMAGE_TOKENS, MAX_IMAGE_TOKENS = 4, 16_384
"""Tokens of the smallest and largest still image (qwen-vl-utils)."""


class QwenVLFamily:
    """Base of the Qwen-VL families; one vision segment per video unless a subclass says otherwise."""

    name: str = ""
    architecture: str = ""
    time_route: str = "none: the order of the frames only"
    prompt_style: Literal["reasoning", "plain"] = "reasoning"

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Patch sizes from the model's config, normalization from the preprocessor file."""
        vision = config.vision_config
        default = VisionSettings()
        return VisionSettings(
            patch_size=int(vision.patch_size),
            merge_size=int(vision.spatial_merge_size),
            temporal_patch_size=int(vision.temporal_patch_size),
            rescale_factor=float(processor.get("rescale_factor", default.rescale_factor)),
            image_mean=_channels(processor.get("image_mean", default.image_mean)),
            image_std=_channels(processor.get("image_std", default.image_std)),
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

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """One segment, pairs one temporal position apart."""
        return VideoLayout((Segment(len(pairs)),))


def pixel_limits(processor: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Smallest and largest frame area of a preprocessor file, px, under the old keys or the new ones (`size`).

    A key that is null counts as absent.
    """
    size = processor.get("size")
    size = size if isinstance(size, Mapping) else {}
    lows = (processor.get("min_pixels"), size.get("min_pixels"), size.get("shortest_edge"))
    highs = (processor.get("max_pixels"), size.get("max_pixels"), size.get("longest_edge"))
    return _first_number(lows), _first_number(highs)


def _first_number(values: Sequence[Any]) -> int | None:
    return next((int(value) for value in values if value is not None), None)


def _channels(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
