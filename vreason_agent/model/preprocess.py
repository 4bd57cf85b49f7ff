"""Frames to patches: the one built-in preprocessing path of the Qwen-VL models, without torchvision.

A frame is resized to multiples of `patch_size * merge_size` px inside a pixel budget, rescaled, normalized and cut into
patches in temporal pairs. The resize runs on **uint8 on the CPU** (`torch.nn.functional.interpolate`, bicubic,
antialiased), which is what torchvision runs underneath transformers' own processors: resizing floats and rounding
afterwards differs in up to a fifth of the pixels. `tests/model/make_reference.py` records the library's output in an
environment where torchvision loads, and `tests/model/test_preprocess.py` compares this path with the record.

This module does not know about models, prompts, tokens or where frames come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from vreason_agent.errors import ConfigError, quote

__all__ = [
    "MAX_ASPECT_RATIO",
    "FrameFit",
    "FrameResize",
    "PixelBudget",
    "VisionInput",
    "VisionSettings",
    "fit_frames",
    "frame_resize",
    "normalize",
    "patchify",
    "preprocess_frames",
    "resize_frames",
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

    Raises:
        ConfigError: a size is below 1, the factor or a deviation is not above 0, or a number is not finite.
    """

    patch_size: int = 14
    merge_size: int = 2
    temporal_patch_size: int = 2
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

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
class VisionInput:
    """What the vision tower takes for one video segment or image.

    Attributes:
        pixel_values: float32 `(num_patches, patch_dim)`, num_patches = t * h * w of the grid.
        grid_thw: temporal pairs, patches down, patches across.
        num_tokens: tokens that the language model sees for it.
        height_px: height of each frame after the resize.
        width_px: width of each frame after the resize.
    """

    pixel_values: torch.Tensor
    grid_thw: tuple[int, int, int]
    num_tokens: int
    height_px: int
    width_px: int


@dataclass(frozen=True)
class FrameFit:
    """What frames will be after the resize; the fields are those of `VisionInput`."""

    grid_thw: tuple[int, int, int]
    num_tokens: int
    height_px: int
    width_px: int


def _finite(numbers: tuple[float, ...]) -> bool:
    return all(math.isfinite(number) for number in numbers)


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


def resize_frames(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize uint8 frames `(num_frames, 3, h, w)` to uint8 `(num_frames, 3, height, width)`, bicubic, antialiased."""
    if frames.shape[-2:] == (height, width):
        return frames
    return functional.interpolate(frames, (height, width), mode="bicubic", align_corners=False, antialias=True)


def normalize(frames: torch.Tensor, settings: VisionSettings) -> torch.Tensor:
    """Rescale and normalize uint8 `(num_frames, 3, h, w)` to float32 of the same shape, in one fused step."""
    scale = 1.0 / settings.rescale_factor
    mean = (torch.tensor(settings.image_mean) * scale).view(-1, 1, 1)
    std = (torch.tensor(settings.image_std) * scale).view(-1, 1, 1)
    return frames.to(torch.float32).sub_(mean).div_(std)


def patchify(frames: torch.Tensor, settings: VisionSettings) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Cut frames `(num_frames, 3, h, w)` into patches `(num_patches, patch_dim)`, block by block of merged patches.

    The last frame is repeated when the number of frames does not divide into temporal patches.

    Returns:
        The patches, and the grid (temporal patches, patches down, patches across).
    """
    pair, patch, merge = settings.temporal_patch_size, settings.patch_size, settings.merge_size
    if missing := -frames.shape[0] % pair:
        frames = torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1)))
    num_frames, channels, height, width = frames.shape
    grid = (num_frames // pair, height // patch, width // patch)
    blocks = frames.reshape(
        grid[0], pair, channels, grid[1] // merge, merge, patch, grid[2] // merge, merge, patch
    )  # (t, pair, channel, block row, row in block, y, block column, column in block, x)
    patches = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return patches.reshape(math.prod(grid), settings.patch_dim), grid


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


@dataclass(frozen=True)
class FrameResize:
    """The resize of a video's frames one by one, ahead of `preprocess_frames`, which then finds it done.

    Attributes:
        source_px: height and width of the frames; others are left alone.
        target_px: height and width after the resize.
    """

    source_px: tuple[int, int]
    target_px: tuple[int, int]

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Resize one frame, uint8 `(height, width, 3)`."""
        if frame.shape[:2] != self.source_px:
            return frame
        picture = torch.tensor(frame).permute(2, 0, 1)[None].contiguous()
        return resize_frames(picture, *self.target_px)[0].permute(1, 2, 0).contiguous().numpy()


def frame_resize(
    num_frames: int, height: int, width: int, settings: VisionSettings, budget: PixelBudget
) -> FrameResize | None:
    """Return the resize that gives, frame by frame, what `preprocess_frames` would make of all of them.

    `None` where frames become no smaller, so that nothing is gained, or where they would be resized again.

    Raises:
        ConfigError: the frames are too elongated.
    """
    fit = fit_frames(num_frames, height, width, settings, budget)
    again = fit_frames(num_frames, fit.height_px, fit.width_px, settings, budget)
    if again != fit or fit.height_px * fit.width_px >= height * width:
        return None
    return FrameResize((height, width), (fit.height_px, fit.width_px))


def preprocess_frames(frames: np.ndarray, settings: VisionSettings, budget: PixelBudget) -> VisionInput:
    """Turn frames into what the vision tower takes: resize, rescale, normalize, patchify.

    Args:
        frames: uint8 `(num_frames, height, width, 3)`, RGB; one image is `(1, height, width, 3)`. An odd number of
            frames is completed by the last one.
        settings: patch sizes and normalization of the model.
        budget: pixels each frame, and all of them together, may have after the resize.

    Raises:
        ConfigError: the array has another shape or dtype, holds no frame, or is too elongated.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape[0] == 0:
        raise ConfigError(
            f"frames of shape {frames.shape} and dtype {frames.dtype}: expected uint8 (num_frames, height, width, 3) "
            "in RGB with at least one frame; convert with np.asarray(frames, dtype=np.uint8)"
        )
    num_frames, height, width = frames.shape[:3]
    fit = fit_frames(num_frames, height, width, settings, budget)
    pictures = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()  # (num_frames, 3, height, width) uint8
    resized = resize_frames(pictures, fit.height_px, fit.width_px)
    patches, grid = patchify(normalize(resized, settings), settings)
    return VisionInput(patches, grid, fit.num_tokens, fit.height_px, fit.width_px)
