"""What the Qwen-VL families share: patch settings from the folder's files, and pixel budgets like qwen-vl-utils."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vreason_agent.errors import quote
from vreason_agent.model.families.base import PairTimes, Segment, VideoLayout
from vreason_agent.model.vision_settings import PixelBudget, VisionSettings

__all__ = ["QwenVLFamily", "pixel_limits"]

MIN_FRAME_TOKENS = 128
"""Tokens of the smallest video frame (qwen-vl-utils, VIDEO_MIN_TOKEN_NUM)."""
MAX_FRAME_TOKENS = 768
"""Tokens of the largest video frame (qwen-vl-utils, VIDEO_MAX_TOKEN_NUM)."""
MAX_VIDEO_TOKENS = 115_200
"""Tokens of a whole video: 90 % of a context of 128,000 (qwen-vl-utils, MODEL_SEQ_LEN)."""
BICUBIC = 3
"""Pillow's number of the resampling, as preprocessor files write it."""
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
        _check_window(vision)
        _check_steps(processor)
        _check_sizes(processor, vision)
        return VisionSettings(
            patch_size=int(vision.patch_size),
            merge_size=int(vision.spatial_merge_size),
            temporal_patch_size=int(vision.temporal_patch_size),
            rescale_factor=_number(processor, "rescale_factor", default.rescale_factor),
            image_mean=_channels(processor, "image_mean", default.image_mean),
            image_std=_channels(processor, "image_std", default.image_std),
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

    Raises:
        ValueError: a limit is no whole number from 1 on, or the smallest area exceeds the largest.
    """
    size = {} if processor.get("size") is None else processor["size"]
    if not isinstance(size, Mapping):
        raise ValueError(f"size={quote(size)}: must be an object")
    low = _area(processor, size, "min_pixels", "shortest_edge")
    high = _area(processor, size, "max_pixels", "longest_edge")
    if low is not None and high is not None and low > high:
        raise ValueError(f"the smallest frame has {low} px, more than the {high} px of the largest")
    return low, high


def _area(processor: Mapping[str, Any], size: Mapping[str, Any], key: str, edge: str) -> int | None:
    found = ((key, processor.get(key)), (key, size.get(key)), (edge, size.get(edge)))
    name, value = next(((name, value) for name, value in found if value is not None), (key, None))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
        raise ValueError(f"{name}={quote(value)}: must be a whole number of pixels from 1 on")
    return int(value)


def _check_window(vision: Any) -> None:
    """A window that holds no token divides by zero at the first picture, not while loading."""
    window, token = getattr(vision, "window_size", None), vision.patch_size * vision.spatial_merge_size
    if window is not None and window < token:
        raise ValueError(f"window_size={quote(window)}: must be at least {token} px, the side of a token")


def _check_steps(processor: Mapping[str, Any]) -> None:
    """Refuse a file that leaves out or changes a step of the one preprocessing path that there is."""
    for key in ("do_resize", "do_rescale", "do_normalize"):
        if processor.get(key) is False:
            raise ValueError(f"{key}=False: frames are always resized, rescaled and normalized here")
    if (resample := processor.get("resample")) not in (None, BICUBIC):
        raise ValueError(f"resample={quote(resample)}: frames are resized bicubically, which is {BICUBIC}")


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


def _number(processor: Mapping[str, Any], key: str, default: float) -> float:
    value = processor.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError(f"{key}={quote(value)}: must be a number")
    return default if value is None else float(value)


def _channels(
    processor: Mapping[str, Any], key: str, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    values = default if processor.get(key) is None else processor[key]
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(type(v) in (int, float) for v in values):
        raise ValueError(f"{key}={quote(values)}: must be three numbers, one per channel")
    return float(values[0]), float(values[1]), float(values[2])
