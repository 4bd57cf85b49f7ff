"""How a model cuts frames into patches and what they may cost: sizes and numbers, no pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vreason_agent.errors import ConfigError, quote

__all__ = [
    "MAX_ASPECT_RATIO",
    "FrameFit",
    "PixelBudget",
    "VisionSettings",
    "aspect_preserving_size",
    "fit_frames",
    "smart_resize",
]

MAX_ASPECT_RATIO = 200
"""The longest side over the shortest side that `smart_resize` of the Qwen-VL models accepts."""


@dataclass(frozen=True)
class VisionSettings:
    """How the vision tower cuts and scales frames; the values come from `preprocessor_config.json`.

    Attributes:
        patch_size: side of one square patch, px.
        merge_size: patches per side that become one token; a token covers `patch_size * merge_size` px per side.
        temporal_patch_size: frames per patch in time (2: a temporal pair).
        rescale_factor: factor from a pixel value 0..255 to the range that mean and std are given in.
        image_mean: per channel (red, green, blue), subtracted after rescaling.
        image_std: per channel, divided by after subtracting the mean.
        do_normalize: whether mean and deviation are applied at all.
        resample: filter of the resize.
        side_px: side of the square that every frame becomes, px; `None` where the aspect is kept.
        longest_px: longer side of a frame after a first resize, px; `None` where there is but one resize.

    Raises:
        ConfigError: a size is below 1, the factor or a deviation is not above 0, or a number is not finite.
    """

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    do_normalize: bool = True
    resample: Literal["bicubic", "lanczos"] = "bicubic"
    side_px: int | None = None
    longest_px: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.patch_size, self.merge_size, self.temporal_patch_size)
        above_zero = (self.rescale_factor, *self.image_std)
        if min(sizes) < 1 or not all(0 < number < math.inf for number in above_zero) or not _finite(self.image_mean):
            raise ConfigError(
                f"{self}: sizes must be at least 1, rescale_factor and image_std above 0, all numbers finite; take the "
                "values of the model's published preprocessor_config.json"
            )

    @property
    def factor(self) -> int:
        """Side of the square that one token covers, px; frame sides are multiples of it."""
        return self.patch_size * self.merge_size

    @property
    def patch_dim(self) -> int:
        """Numbers in one flattened patch: channels x temporal_patch_size x patch_size x patch_size."""
        return 3 * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True)
class PixelBudget:
    """Limits on the pixels, and so on the tokens, that frames may cost.

    A token covers `VisionSettings.factor` squared pixels of a temporal pair: pixels per frame divided by factor squared
    are tokens per pair.

    Attributes:
        min_pixels: smallest area of one frame after the resize, px; smaller frames are enlarged.
        max_pixels: largest area of one frame after the resize, px; larger means more detail and more tokens.
        max_total_pixels: area of all temporal pairs together, px, each pair counted once as its tokens are; `None` for
            no limit. With many frames it lowers the area of each, but never below 1.05 x `min_pixels` (the rule of
            qwen-vl-utils), so the token total may then exceed it; the prompt is checked against the context later.

    Raises:
        ConfigError: a limit is below 1 or `min_pixels` exceeds `max_pixels`.
    """

    min_pixels: int
    max_pixels: int
    max_total_pixels: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise ConfigError(
                f"pixel budget min_pixels={quote(self.min_pixels)}, max_pixels={quote(self.max_pixels)}: "
                "both must be at least 1 and min_pixels at most max_pixels; pass PixelBudget(min_pixels=3136, "
                "max_pixels=602112) or similar"
            )
        if self.max_total_pixels is not None and self.max_total_pixels < 1:
            raise ConfigError(
                f"pixel budget max_total_pixels={quote(self.max_total_pixels)}: must be at least 1; pass None for "
                "no limit"
            )

    def frame_max_pixels(self, num_frames: int, *, frames_per_pair: int = 2) -> int:
        """Largest area of each of `num_frames` frames, px."""
        if self.max_total_pixels is None:
            return self.max_pixels
        share = self.max_total_pixels * frames_per_pair // num_frames
        return max(min(self.max_pixels, share), int(self.min_pixels * 1.05))


@dataclass(frozen=True)
class FrameFit:
    """What frames will be after the resize.

    Attributes:
        grid_thw: temporal patches, patches down, patches across.
        num_tokens: tokens of all of them.
        height_px: height of each frame.
        width_px: width of each frame.
        max_patches: patches that each frame is padded to; 0 for no padding.
    """

    grid_thw: tuple[int, int, int]
    num_tokens: int
    height_px: int
    width_px: int
    max_patches: int = 0


def smart_resize(height: int, width: int, *, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Return (height, width) as multiples of `factor` px with an area in [min_pixels, max_pixels], keeping the aspect.

    The rule of the Qwen-VL processors. The upper limit wins where a side would fall below one `factor`.

    Raises:
        ConfigError: the longer side exceeds 200 times the shorter one, or a side is 0.
    """
    if min(height, width) < 1 or max(height, width) / min(height, width) > MAX_ASPECT_RATIO:
        raise ConfigError(
            f"a frame of {width} x {height} px: the longer side may be at most {MAX_ASPECT_RATIO} times the shorter "
            "one and neither may be 0; crop or pad the picture first"
        )
    new_height, new_width = round(height / factor) * factor, round(width / factor) * factor
    if new_height * new_width > max_pixels:
        shrink = math.sqrt((height * width) / max_pixels)
        return (
            max(factor, math.floor(height / shrink / factor) * factor),
            max(factor, math.floor(width / shrink / factor) * factor),
        )
    if new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        return math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
    return new_height, new_width


def aspect_preserving_size(height: int, width: int, settings: VisionSettings, max_patches: int) -> tuple[int, int]:
    """Height and width in px: the largest multiples of the pooled patch within `max_patches`, as the library's.

    Raises:
        ConfigError: a side would be 0, or the picture is too elongated.
    """
    side = settings.factor
    scale = math.sqrt(max_patches * settings.patch_size**2 / (height * width))
    high, wide = math.floor(scale * height / side) * side, math.floor(scale * width / side) * side
    longest = max_patches // settings.merge_size**2 * side
    if high == 0:
        high, wide = side, min(width // height * side, longest)
    elif wide == 0:
        high, wide = min(height // width * side, longest), side
    if high * wide == 0 or high * wide > max_patches * settings.patch_size**2:
        raise ConfigError(f"a frame of {width} x {height} px does not fit {max_patches} patches; crop or pad it first")
    return high, wide


def fit_frames(num_frames: int, height: int, width: int, settings: VisionSettings, budget: PixelBudget) -> FrameFit:
    """Work out how frames of `width` x `height` px will be resized and what they will cost, without touching a pixel.

    Raises:
        ConfigError: the frames are too elongated.
    """
    limit = budget.frame_max_pixels(num_frames, frames_per_pair=settings.temporal_patch_size)
    height_px, width_px = smart_resize(
        height, width, factor=settings.factor, min_pixels=budget.min_pixels, max_pixels=limit
    )
    num_pairs = math.ceil(num_frames / settings.temporal_patch_size)
    grid = (num_pairs, height_px // settings.patch_size, width_px // settings.patch_size)
    return FrameFit(grid, math.prod(grid) // settings.merge_size**2, height_px, width_px)


def _finite(numbers: tuple[float, ...]) -> bool:
    return all(math.isfinite(number) for number in numbers)
