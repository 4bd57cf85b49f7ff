"""Frames to patches: the one built-in preprocessing path of the Qwen-VL models, without torchvision.

A frame is resized to multiples of `patch_size * merge_size` px inside a pixel budget, rescaled, normalized and cut into
patches in temporal pairs. The resize runs on **uint8 on the CPU** (`torch.nn.functional.interpolate`, bicubic,
antialiased), which is what torchvision runs underneath transformers' own processors: resizing floats and rounding
afterwards differs in up to a fifth of the pixels. `tests/model/make_reference.py` records the library's output in an
environment where torchvision loads, and `tests/model/test_preprocess.py` compares this path with the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from vreason_agent.errors import ConfigError
from vreason_agent.model.vision_settings import FrameFit, PixelBudget, VisionSettings, fit_frames

__all__ = [
    "FrameResize",
    "VisionInput",
    "frame_resize",
    "normalize",
    "patchify",
    "prepare_frames",
    "preprocess_frames",
    "resize_frames",
]


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


def resize_frames(
    frames: torch.Tensor, height: int, width: int, resample: Literal["bicubic", "lanczos"] = "bicubic"
) -> torch.Tensor:
    """Resize uint8 frames `(num_frames, 3, h, w)` to uint8 `(num_frames, 3, height, width)`, antialiased.

    A torch without Lanczos resizes bicubically, as transformers does with an older torchvision.
    """
    if frames.shape[-2:] == (height, width):
        return frames
    try:
        return functional.interpolate(frames, (height, width), mode=resample, antialias=True)
    except (NotImplementedError, ValueError):
        return functional.interpolate(frames, (height, width), mode="bicubic", align_corners=False, antialias=True)


def normalize(frames: torch.Tensor, settings: VisionSettings) -> torch.Tensor:
    """Rescale and normalize uint8 `(num_frames, 3, h, w)` to float32 of the same shape, in one fused step."""
    if not settings.do_normalize:
        return frames.to(torch.float32).mul_(settings.rescale_factor)
    scale = 1.0 / settings.rescale_factor
    mean = (torch.tensor(settings.image_mean) * scale).view(-1, 1, 1)
    std = (torch.tensor(settings.image_std) * scale).view(-1, 1, 1)
    return frames.to(torch.float32).sub_(mean).div_(std)


def prepare_frames(frames: np.ndarray, fit: FrameFit, settings: VisionSettings) -> torch.Tensor:
    """Resize, rescale and normalize uint8 `(n, height, width, 3)` to float32 `(n, 3, fit.height_px, fit.width_px)`."""
    pictures = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()  # (n, 3, height, width) uint8
    return normalize(resize_frames(pictures, fit.height_px, fit.width_px, settings.resample), settings)


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


def frame_resize(height: int, width: int, fit_of: Callable[[int, int], FrameFit]) -> FrameResize | None:
    """Return the resize that gives, frame by frame, what preprocessing would make of all of them.

    `None` where frames become no smaller, so that nothing is gained, or where they would be resized again.

    Args:
        height: of the frames as they are, px.
        width: of the frames as they are, px.
        fit_of: from height and width to what frames of that size become.

    Raises:
        ConfigError: the frames are too elongated.
    """
    fit = fit_of(height, width)
    again = fit_of(fit.height_px, fit.width_px)
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
    patches, grid = patchify(prepare_frames(frames, fit, settings), settings)
    return VisionInput(patches, grid, fit.num_tokens, fit.height_px, fit.width_px)
