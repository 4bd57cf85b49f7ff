"""SmolVLM2: every frame an image under its time, over a Llama decoder.

The prompt names the number of frames and the length of the video, then `Frame from MM:SS:` before every frame: times
are whole seconds. The processor resizes twice, first the longer side to `size`, then to the square of the vision tower;
both steps are repeated here, because the result differs from that of one. Its chat template for videos is the
library's, whatever the folder's says, and is used here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from vreason_agent.model.families.base import Grid, Kind, PairTimes, Segment, VideoLayout, VisionTokens, token_of
from vreason_agent.model.families.frames_as_images import FramesAsImages, side_of
from vreason_agent.model.families.preprocessor import normalization_of
from vreason_agent.model.vision_settings import FrameFit, VisionSettings

if TYPE_CHECKING:
    import torch

__all__ = ["SmolVLM", "number_in_words"]

LONGEST_PX, SIDE_PX = 4 * 364, 364
"""The library's sizes where the folder gives none."""
MAX_PX = 4096
_UNITS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


class SmolVLM(FramesAsImages):
    """SmolVLM2 (`smolvlm`)."""

    name = "smolvlm"
    architecture = "SmolVLMForConditionalGeneration"
    time_route = "text: minutes and seconds before each frame"
    resizes_once = False
    chat_template = (
        "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'] is string %}"
        "{{': ' + message['content']}}{% else %}{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}"
        "{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
        "{% elif line['type'] == 'image' %}{{ '<image>' }}{% elif line['type'] == 'video' %}{{ '<video>' }}{% endif %}"
        "{% endfor %}{% endif %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}"
        "{% endif %}"
    )

    def vision_tokens(self, config: Any, tokenizer: Any) -> VisionTokens:
        """Image tokens between marks, one block for each frame."""
        image, mark = token_of(config, tokenizer, "image_token_id"), "<fake_token_around_image>"
        return VisionTokens("<video>", "<image>", image, image, f"{mark}<global-img>", mark)

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Sizes from the preprocessor file; of the vision tower, its patches."""
        longest = processor.get("size") or {"longest_edge": LONGEST_PX}
        return VisionSettings(
            patch_size=int(config.vision_config.patch_size),
            merge_size=int(config.scale_factor),
            temporal_patch_size=1,
            side_px=side_of(processor.get("max_image_size") or SIDE_PX),
            longest_px=side_of(longest),
            **normalization_of({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 1, **processor}),
        )

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """The introduction, then every frame after its time."""
        length = timedelta(seconds=int(pairs[-1][1]))
        pieces: list[str | Segment] = [
            f"You are provided the following series of {number_in_words(len(pairs))} frames from a {length} [H:MM:SS] "
            "video.\n"
        ]
        times = [f"{int(time // 60):02d}:{int(time % 60):02d}" for time, _ in pairs]
        for time in times:
            pieces += [f"\nFrame from {time}:", Segment(1)]
        note = (
            "SmolVLM2 is told the time of a frame in whole seconds, so that some of the frames get the same one. "
            "Sample fewer frames or a longer range to tell them apart.",
        )
        return VideoLayout((*pieces, "\n\n"), note if len(set(times)) < len(times) else ())

    def preprocess(
        self, kind: Kind, frames: np.ndarray, grids: Sequence[Grid], fit: FrameFit, settings: VisionSettings
    ) -> dict[str, torch.Tensor]:
        """Two resizes, then normalization."""
        import torch

        from vreason_agent.model.preprocess import normalize, resize_frames

        pictures = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()
        first = longest_edge_size(frames.shape[1], frames.shape[2], settings.longest_px)
        for size in (first, (fit.height_px, fit.width_px)):
            pictures = resize_frames(pictures, *size, settings.resample)
        return {"pixel_values": normalize(pictures, settings)}

    def encode(self, hf_model: Any, kind: Kind, inputs: Mapping[str, torch.Tensor]) -> Any:
        """The vision tower takes the images of a batch, `(1, num_frames, 3, side, side)`."""
        return hf_model.model.get_image_features(inputs["pixel_values"][None], return_dict=True)


def longest_edge_size(height: int, width: int, longest_px: int | None) -> tuple[int, int]:
    """Height and width with the longer side at `longest_px`, the other one even, as the library computes them."""
    longest = min(MAX_PX, longest_px or max(height, width))
    aspect = width / height
    if width >= height:
        other = int(longest / aspect)
        return max(other + other % 2, 1), longest
    other = int(longest * aspect)
    return longest, max(other + other % 2, 1)


def number_in_words(number: int) -> str:
    """Write a number below a million as num2words does: `sixty-four`, `one hundred and five`."""
    if number < 20:
        return _UNITS[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f"-{_UNITS[number % 10]}" if number % 10 else "")
    if number < 1000:
        rest = number % 100
        return f"{_UNITS[number // 100]} hundred" + (f" and {number_in_words(rest)}" if rest else "")
    rest = number % 1000
    joint = " and " if 0 < rest < 100 else ", "
    return f"{number_in_words(number // 1000)} thousand" + (f"{joint}{number_in_words(rest)}" if rest else "")
