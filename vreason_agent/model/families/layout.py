"""How pictures stand in a prompt: blocks of temporal patches, the texts around them, and the tokens put there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

__all__ = ["Grid", "Kind", "PairTimes", "Segment", "VideoLayout", "VisionTokens", "temporal_steps"]

Kind: TypeAlias = Literal["video", "image"]
Grid: TypeAlias = tuple[int, int, int]
"""Temporal patches, patches down, patches across."""
PairTimes: TypeAlias = tuple[float, float]
"""Presentation times of the first and last frame of a temporal patch, s."""


@dataclass(frozen=True)
class Segment:
    """A run of temporal patches (pairs of frames, or single ones) that the prompt shows as one vision block.

    Attributes:
        num_pairs: temporal patches in the block, at least 1.
        positions_per_pair: temporal positions from one to the next (see `temporal_steps`); for M-RoPE only.
        num_extra: tokens that the model adds to the features of the block.
    """

    num_pairs: int
    positions_per_pair: float = 1.0
    num_extra: int = 0


@dataclass(frozen=True)
class VideoLayout:
    """How one video appears in the prompt.

    Attributes:
        pieces: texts that the family writes, and segments; the segments' pairs add up to the video's, in order.
        notes: what the user should know, such as frames that the positions cannot tell apart in time.
    """

    pieces: tuple[str | Segment, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VisionTokens:
    """How pictures stand in a prompt.

    Attributes:
        video_place: what the chat template writes in the place of a video.
        image_place: the same for a still image.
        video_token: the token that stands for a feature of a video.
        image_token: the same for a still image.
        start: special tokens before every vision block; `""` for none.
        end: the same after it.
    """

    video_place: str
    image_place: str
    video_token: str
    image_token: str
    start: str = ""
    end: str = ""


def temporal_steps(num_pairs: int, positions_per_pair: float) -> np.ndarray:
    """Temporal offset of each pair, int64 `(num_pairs,)`: whole positions, truncated as the library does in float32."""
    return (np.arange(num_pairs, dtype=np.float32) * np.float32(positions_per_pair)).astype(np.int64)
