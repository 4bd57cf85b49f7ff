"""InternVL3 and 3.5: every frame an image of 448 x 448 px and 256 tokens, over a Qwen2 or Qwen3 decoder.

The processor numbers the frames, `Frame1: ...`, and the model learns of no time. Here the time of a frame is written
behind its number, `Frame1 (0.5 s): ...`; `register_family(InternVL(writes_times=False), replace=True)` writes the
prompt of the processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vreason_agent.model.families.base import PairTimes, Segment, VideoLayout, VisionTokens, token_of
from vreason_agent.model.families.frames_as_images import FramesAsImages, side_of
from vreason_agent.model.families.preprocessor import normalization_of
from vreason_agent.model.vision_settings import VisionSettings

__all__ = ["InternVL"]


class InternVL(FramesAsImages):
    """InternVL3 and 3.5 in transformers' layout, folders named `-hf` (`internvl`)."""

    name = "internvl"
    architecture = "InternVLForConditionalGeneration"

    def __init__(self, *, writes_times: bool = True) -> None:
        """Choose the prompt.

        Args:
            writes_times: whether the time of a frame is written behind its number.
        """
        self.writes_times = writes_times
        self.time_route = "text: the time of each frame behind its number" if writes_times else "none: numbered frames"

    def vision_tokens(self, config: Any, tokenizer: Any) -> VisionTokens:
        """Image tokens between `<img>` and `</img>`."""
        image = token_of(config, tokenizer, "image_token_id")
        start = getattr(tokenizer, "start_image_token", None) or "<img>"
        end = getattr(tokenizer, "end_image_token", None) or "</img>"
        return VisionTokens(getattr(tokenizer, "video_token", None) or "<video>", image, image, image, start, end)

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Patch size and side from the vision tower, merged by the inverse of `downsample_ratio`."""
        return VisionSettings(
            patch_size=side_of(config.vision_config.patch_size),
            merge_size=round(1 / config.downsample_ratio),
            temporal_patch_size=1,
            side_px=side_of(processor.get("size") or self.side_px(config)),
            **normalization_of(processor),
        )

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """Numbered frames, one a line."""
        pieces: list[str | Segment] = []
        for number, (time, _) in enumerate(pairs, start=1):
            written = f" ({time:.1f} s)" if self.writes_times else ""
            pieces += ["\n" if number > 1 else "", f"Frame{number}{written}: ", Segment(1)]
        return VideoLayout(tuple(piece for piece in pieces if piece != ""))
