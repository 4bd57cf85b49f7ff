"""What a model family is: how one architecture shows a video in the prompt, encodes its frames, and attends last.

To add an architecture, subclass `ModelFamily`, or the family that is nearest to it, and pass an instance to
`vreason_agent.model.register_family`; its `name` is compared with `vreason_family`, then `model_type` of `config.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vreason_agent.errors import quote
from vreason_agent.model.families.layout import (
    Grid,
    Kind,
    PairTimes,
    Segment,
    VideoLayout,
    VisionTokens,
    temporal_steps,
)
from vreason_agent.model.vision_settings import FrameFit, PixelBudget, VisionSettings, fit_frames

if TYPE_CHECKING:
    import torch

    from vreason_agent.decoding.last_layer import SteeringPoint

__all__ = ["Grid", "Kind", "ModelFamily", "PairTimes", "Segment", "VideoLayout", "VisionTokens", "temporal_steps"]


class ModelFamily:
    """What the engine asks of an architecture; a subclass answers where this base does not fit.

    Attributes:
        name: key in the registry: a `vreason_family` or `model_type` of `config.json`.
        architecture: class in `transformers` that loads the weights.
        time_route: how the model learns when a frame was shown, in a few words.
        prompt_style: `reasoning` for models that must be told to think first, `plain` for those trained to.
        rope_axes: 3 for M-RoPE (time, height, width), 1 for positions that count tokens.
        needs_token_types: whether the prefill takes `mm_token_type_ids`.
        resizes_once: whether frames may be resized one by one while they are read.
        encodes_patches_alone: whether the features of a temporal patch depend on its own pixels only, so that they are
            kept and used again beside others.
        chat_template: replaces that of the folder; `None` for most families.
    """

    name: str = ""
    architecture: str = ""
    time_route: str = "none: the order of the frames only"
    prompt_style: Literal["reasoning", "plain"] = "reasoning"
    rope_axes: Literal[1, 3] = 1
    needs_token_types: bool = False
    resizes_once: bool = True
    encodes_patches_alone: bool = False
    chat_template: str | None = None

    def vision_tokens(self, config: Any, tokenizer: Any) -> VisionTokens:
        """The tokens of pictures, from the loaded config and the tokenizer."""
        video, image = (token_of(config, tokenizer, f"{kind}_token_id") for kind in ("video", "image"))
        return VisionTokens(video, image, video, image)

    def vision_settings(self, config: Any, processor: Mapping[str, Any]) -> VisionSettings:
        """Patch sizes and normalization, from the loaded config and the preprocessor file of the folder."""
        raise NotImplementedError

    def video_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """Pixel budget of videos where the caller sets none."""
        raise NotImplementedError

    def image_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """Pixel budget of still images where the caller sets none."""
        return self.video_budget(settings, processor)

    def fit(self, num_frames: int, height: int, width: int, settings: VisionSettings, budget: PixelBudget) -> FrameFit:
        """What frames of this size (px) become."""
        return fit_frames(num_frames, height, width, settings, budget)

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """Lay out a video of these temporal patches."""
        return VideoLayout((Segment(len(pairs)),))

    def lay_out_image(self) -> VideoLayout:
        """Lay out a still image."""
        return VideoLayout((Segment(1),))

    def preprocess(
        self, kind: Kind, frames: np.ndarray, grids: Sequence[Grid], fit: FrameFit, settings: VisionSettings
    ) -> dict[str, torch.Tensor]:
        """Frames uint8 `(num_frames, height, width, 3)` to what `encode` takes; tensors that can be joined on axis 0.

        Args:
            kind: whether they are a video or one still image.
            frames: the picture as it was given.
            grids: grid of each vision block of the picture.
            fit: the size that the frames get.
            settings: patch sizes and normalization.
        """
        raise NotImplementedError

    def feature_kind(self, kind: Kind) -> Kind:
        """Which features of the model a picture becomes."""
        return kind

    def encode(self, hf_model: Any, kind: Kind, inputs: Mapping[str, torch.Tensor]) -> Any:
        """Run the vision tower; returns transformers' output, whose `pooler_output` are the features."""
        return getattr(hf_model.model, f"get_{kind}_features")(**inputs, return_dict=True)

    def steering_point(self, hf_model: Any) -> SteeringPoint:
        """Where V-Reason acts: the last attention layer, where its values come from, what follows it.

        Raises:
            GenerationError: the model cannot be steered, with the reason; it can be decoded with `schedule="off"`.
        """
        from vreason_agent.decoding.last_layer import find_steering_point

        return find_steering_point(hf_model)


def token_of(config: Any, tokenizer: Any, name: str) -> str:
    """The special token whose id `config.json` gives under `name`.

    Raises:
        ValueError: the config names none, or the tokenizer has no such special token.
    """
    token_id = getattr(config, name, None)
    found = tokenizer.added_tokens_decoder.get(token_id) if type(token_id) is int else None
    if found is None or not found.special:
        raise ValueError(f"{name}={quote(token_id)} is no special token of the tokenizer")
    return str(found)
