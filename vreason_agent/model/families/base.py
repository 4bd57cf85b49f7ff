"""What a model family is: how one architecture shows a video in the prompt, and what its frames may cost.

To add an architecture, write a class with the members of `ModelFamily` (subclassing `QwenVLFamily` saves most of it)
and pass an instance to `vreason_agent.model.register_family`; its `name` is compared with `vreason_family`, then
`model_type` of `config.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from vreason_agent.model.vision_settings import PixelBudget, VisionSettings

__all__ = ["ModelFamily", "PairTimes", "Segment", "VideoLayout", "temporal_steps"]

PairTimes: TypeAlias = tuple[float, float]
"""Presentation times of a temporal pair's first and last frame, s."""


@dataclass(frozen=True)
class Segment:
    """A run of temporal pairs that the prompt shows as one vision block.

    Attributes:
        num_pairs: temporal pairs in the block, at least 1.
        positions_per_pair: temporal positions from one pair to the next (see `temporal_steps`).
    """

    num_pairs: int
    positions_per_pair: float = 1.0


@dataclass(frozen=True)
class VideoLayout:
    """How one video appears in the prompt.

    Attributes:
        pieces: texts that the family writes, and segments; the segments' pairs add up to the video's, in order.
        notes: what the user should know, such as frames that the positions cannot tell apart in time.
    """

    pieces: tuple[str | Segment, ...]
    notes: tuple[str, ...] = ()


def temporal_steps(num_pairs: int, positions_per_pair: float) -> np.ndarray:
    """Temporal offset of each pair, int64 `(num_pairs,)`: whole positions, truncated as the library does in float32."""
    return (np.arange(num_pairs, dtype=np.float32) * np.float32(positions_per_pair)).astype(np.int64)


@runtime_checkable
class ModelFamily(Protocol):
    """What the engine asks of an architecture.

    Attributes:
        name: key in the registry: a `vreason_family` or `model_type` of `config.json`.
        architecture: class in `transformers` that loads the weights.
        time_route: how the model learns when a frame was shown, in a few words.
        prompt_style: `reasoning` for models that must be told to think first, `plain` for those trained to.
    """

    @property
    def name(self) -> str:
        """Key in the registry."""

    @property
    def architecture(self) -> str:
        """Name of the class in `transformers`."""

    @property
    def time_route(self) -> str:
        """How the model learns when a frame was shown."""

    @property
    def prompt_style(self) -> Literal["reasoning", "plain"]:
        """Which default prompt fits."""

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Patch sizes and normalization, from the loaded config and the preprocessor file of the folder."""

    def video_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """Pixel budget of videos where the caller sets none."""

    def image_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """Pixel budget of still images where the caller sets none."""

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """Lay out a video of these temporal pairs."""
