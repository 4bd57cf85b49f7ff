"""LLaVA-OneVision: all frames in one vision block, 196 tokens each and one line break, over a Qwen2 decoder.

The prompt of its processor tells no time. Here the times of the frames are written behind the block;
`register_family(LlavaOneVision(writes_times=False), replace=True)` leaves them out. A still image is shown as a video
of one frame, without the tiles that the processor cuts large images into.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from vreason_agent.model.families.base import Grid, Kind, PairTimes, Segment, VideoLayout, VisionTokens, token_of
from vreason_agent.model.families.frames_as_images import FramesAsImages, side_of
from vreason_agent.model.families.preprocessor import normalization_of
from vreason_agent.model.vision_settings import FrameFit, VisionSettings

if TYPE_CHECKING:
    import torch

__all__ = ["LlavaOneVision"]


class LlavaOneVision(FramesAsImages):
    """LLaVA-OneVision (`llava_onevision`)."""

    name = "llava_onevision"
    architecture = "LlavaOnevisionForConditionalGeneration"

    def __init__(self, *, writes_times: bool = True) -> None:
        """Choose the prompt.

        Args:
            writes_times: whether a line behind the frames tells their times.
        """
        self.writes_times = writes_times
        self.time_route = "text: the times of all frames behind them" if writes_times else "none: the order only"

    def vision_tokens(self, config: Any, tokenizer: Any) -> VisionTokens:
        """Video tokens for videos and images alike, with nothing around them."""
        video = token_of(config, tokenizer, "video_token_id")
        return VisionTokens("<video>", "<image>", video, video)

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Patch size and side of the vision tower; features are pooled two by two."""
        return VisionSettings(
            patch_size=int(config.vision_config.patch_size),
            merge_size=1,
            temporal_patch_size=1,
            side_px=side_of(processor.get("size") or self.side_px(config)),
            **normalization_of(processor),
        )

    def tokens_per_frame(self, settings: VisionSettings) -> int:
        """The patches, pooled two by two."""
        return math.ceil((settings.side_px or 0) // settings.patch_size / 2) ** 2

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """One block of all frames with the model's line break, then the times."""
        times = ", ".join(f"{time:.1f}" for time, _ in pairs)
        told = (f"\nThe {len(pairs)} frames were shown at {times} seconds.\n",) if self.writes_times else ()
        return VideoLayout((Segment(len(pairs), num_extra=1), *told))

    def lay_out_image(self) -> VideoLayout:
        """A block of one frame."""
        return VideoLayout((Segment(1, num_extra=1),))

    def preprocess(
        self, kind: Kind, frames: np.ndarray, grids: Sequence[Grid], fit: FrameFit, settings: VisionSettings
    ) -> dict[str, torch.Tensor]:
        """Pictures, and how many belong together."""
        import torch

        pictures = super().preprocess(kind, frames, grids, fit, settings)["pixel_values"]
        return {"pixel_values_videos": pictures, "num_frames": torch.tensor([len(frames)])}

    def feature_kind(self, kind: Kind) -> Kind:
        """All pictures are videos."""
        return "video"

    def encode(self, hf_model: Any, kind: Kind, inputs: Mapping[str, torch.Tensor]) -> Any:
        """One call for each video, because they may have different numbers of frames."""
        import torch

        videos = torch.split(inputs["pixel_values_videos"].to(hf_model.dtype), inputs["num_frames"].tolist())
        encoded = [hf_model.model.get_video_features(video[None], return_dict=True).pooler_output for video in videos]
        return SimpleNamespace(pooler_output=torch.cat(encoded, dim=1).squeeze(0)[:, None])
