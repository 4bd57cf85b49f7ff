"""What families share to which the frames of a video are still images of one fixed size.

Each frame is a vision block of its own under the image token. These image tokens count as the video's tokens: they are
what V-Reason steers. A still image is one block too; the tiles that these models' processors cut large images into are
left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vreason_agent.errors import ConfigError
from vreason_agent.model.families.base import Grid, Kind, ModelFamily
from vreason_agent.model.vision_settings import FrameFit, PixelBudget, VisionSettings

if TYPE_CHECKING:
    import torch

__all__ = ["FramesAsImages", "side_of"]


class FramesAsImages(ModelFamily):
    """Base: every frame a square picture of the size that the vision tower was trained at."""

    def side_px(self, config: Any) -> int:
        """Side of the square that every frame is resized to, px."""
        return side_of(config.vision_config.image_size)

    def video_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """One size for all frames."""
        assert settings.side_px is not None  # set by `vision_settings` of these families
        return PixelBudget(settings.side_px**2, settings.side_px**2)

    def fit(self, num_frames: int, height: int, width: int, settings: VisionSettings, budget: PixelBudget) -> FrameFit:
        """The square, whatever the frames' aspect.

        Raises:
            ConfigError: the caller asks for another size.
        """
        side = settings.side_px or 0
        if not budget.min_pixels <= side**2 <= budget.max_pixels:
            raise ConfigError(f"{budget}: this model takes frames of {side} x {side} px only; leave pixel_budget out")
        patches = side // settings.patch_size
        per_frame = self.tokens_per_frame(settings)
        return FrameFit((num_frames, patches, patches), num_frames * per_frame, side, side)

    def tokens_per_frame(self, settings: VisionSettings) -> int:
        """Tokens of one frame."""
        return ((settings.side_px or 0) // settings.patch_size) ** 2 // settings.merge_size**2

    def preprocess(
        self, kind: Kind, frames: np.ndarray, grids: Sequence[Grid], fit: FrameFit, settings: VisionSettings
    ) -> dict[str, torch.Tensor]:
        """Pictures float32 `(num_frames, 3, side, side)`."""
        from vreason_agent.model.preprocess import prepare_frames

        return {"pixel_values": prepare_frames(frames, fit, settings)}

    def feature_kind(self, kind: Kind) -> Kind:
        """All pictures are images."""
        return "image"


def side_of(size: Any) -> int:
    """The side of a square size written as a number, a pair or an object.

    Raises:
        ValueError: it is no square.
    """
    values = list(size.values()) if isinstance(size, Mapping) else size if isinstance(size, list | tuple) else [size]
    if len(set(values)) != 1 or type(values[0]) is not int or values[0] < 1 or math.isinf(values[0]):
        raise ValueError(f"image size {size!r}: must be one whole number of pixels, the side of a square")
    return int(values[0])
