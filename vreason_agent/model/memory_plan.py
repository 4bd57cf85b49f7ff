"""What an answer will need in memory, estimated before weights are loaded or frames decoded, and what would fit.

The estimate is the largest of four moments: preparing the frames, the vision tower, reading the prompt, and decoding.
Its factors were fitted to the resident memory of a process on the CPU (`benchmarks/memory.py`); on a graphics card,
where they were not measured, frames stay in the host's memory and are left out. This module imports no torch by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from vreason_agent.errors import ConfigError, ModelLoadError, quote
from vreason_agent.model.families.base import ModelFamily
from vreason_agent.model.folder import open_folder
from vreason_agent.model.source import default_model, locate_model
from vreason_agent.model.vision_settings import PixelBudget, VisionSettings

if TYPE_CHECKING:
    import torch

    from vreason_agent.model.parts import Part

__all__ = [
    "TEXT_TOKENS",
    "MemoryPlan",
    "MemoryPlanner",
    "PictureSize",
    "parse_memory",
    "picture_sizes",
    "planner_of",
]

RUNTIME_BYTES = {"cpu": 50 * 2**20, "cuda": 600 * 2**20}
"""What libraries take at first use: buffers of threads and kernels; on a graphics card its context (not measured)."""
TEXT_TOKENS = 200
"""Tokens of a question with options and template, where they are not counted yet."""
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_memory(value: str | int) -> int:
    """Return an amount of memory such as `8GB`, `500 MB`, `7.5GiB` or a number of bytes, in bytes.

    Raises:
        ConfigError: it is none, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?i?B?)", str(value).strip(), re.IGNORECASE)
    unit = _UNITS.get(found[2].upper().removesuffix("B") + "B" if found[2] else "") if found else None
    num_bytes = int(float(found[1]) * unit) if found and unit else 0
    if num_bytes < 1:
        raise ConfigError(f"max_memory={quote(value)} is no amount of memory; give one such as 8GB, 500MB or 7.5GiB")
    return num_bytes


class PictureSize(NamedTuple):
    """A video or still image of a prompt: its number of frames, and height and width as they are read, px."""

    num_frames: int
    height_px: int
    width_px: int


def picture_sizes(parts: Sequence[Part]) -> list[PictureSize]:
    """Return the sizes of the pictures among the parts of a conversation."""
    from vreason_agent.model.parts import ImagePart, VideoPart

    images = [part.images for part in parts if isinstance(part, VideoPart)]
    images += [part.image[None] for part in parts if isinstance(part, ImagePart)]
    return [PictureSize(*array.shape[:3]) for array in images]


@dataclass(frozen=True)
class MemoryPlan:
    """What an answer needs, bytes.

    Attributes:
        weights: parameters, and what the decode step keeps beside weights that are read straight from their file.
        runtime: libraries' own.
        cache: keys and values of prompt and answer.
        controller: V-Reason's tensors; 0 without steering.
        frames: pixels, as read and as the model takes them.
        work: what the vision tower or the decoder needs for a moment.
    """

    weights: int
    runtime: int
    cache: int
    controller: int
    frames: int
    work: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(vars(self).values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value / 1e9:.2f}" for name, value in vars(self).items())
        return f"{self.total / 1e9:.2f} GB ({parts})"


@dataclass(frozen=True)
class MemoryPlanner:
    """Estimates the memory of answers of one model.

    Attributes:
        config: transformers' configuration of the model.
        family: how it takes frames.
        settings: its patch sizes.
        budget: pixels that its frames may have.
        num_parameters: numbers in its weights.
        weights: its weights as they will be in memory, bytes.
        dtype: the precision they are loaded in.
        device: where.
        is_mapped: whether the weights are read straight from their file, which happens where nothing is converted.
    """

    config: Any
    family: ModelFamily
    settings: VisionSettings
    budget: PixelBudget
    num_parameters: int
    weights: int
    dtype: torch.dtype
    device: torch.device
    is_mapped: bool = False

    def plan(
        self,
        pictures: Sequence[PictureSize],
        *,
        prompt_tokens: int | None = None,
        max_new_tokens: int = 1024,
        is_steered: bool = True,
        is_lite: bool = False,
        is_resized_early: bool = False,
    ) -> MemoryPlan:
        """Estimate an answer about pictures.

        Args:
            pictures: what the prompt shows.
            prompt_tokens: tokens of the prompt; `None` estimates those of the text.
            max_new_tokens: the answer's, at most.
            is_steered: whether V-Reason acts.
            is_lite: whether Lite drops half of the video tokens after reading the prompt.
            is_resized_early: whether frames are resized one by one while they are read, as `ChatVReason` does.
        """
        from vreason_agent.decoding.lean import LEAN_MODELS

        on_host = self.device.type == "cpu"
        fits = [(one, self.family.fit(*one, self.settings, self.budget)) for one in pictures]
        video_tokens = sum(fit.num_tokens for _, fit in fits)
        num_pairs = sum(fit.grid_thw[0] for _, fit in fits)
        tokens = prompt_tokens or TEXT_TOKENS + video_tokens + 12 * num_pairs
        early = is_resized_early and self.family.resizes_once
        read = sum(
            3 * one.num_frames * min(one.height_px * one.width_px, fit.height_px * fit.width_px if early else 2**62)
            for one, fit in fits
            if on_host
        )
        resized = sum(
            fit.grid_thw[0] * self.settings.temporal_patch_size * fit.height_px * fit.width_px * 3 for _, fit in fits
        )
        pixels = 4 * resized
        cache = self._cache_bytes(tokens + max_new_tokens)
        controller = 6 * 4 * video_tokens * _value_width(self.config.get_text_config(), -1) if is_steered else 0
        is_lean = self.family.architecture in LEAN_MODELS
        kept = 1 - 0.5 * video_tokens / tokens if is_lite else 1.0
        plan = MemoryPlan(self.weights, RUNTIME_BYTES.get(self.device.type, 0), 0, 0, 0, 0)
        moments = (
            replace(plan, frames=3 * read + (resized if on_host else 0), work=2 * pixels),
            replace(plan, frames=read + 2 * pixels, work=self._vision_bytes(pixels)),
            replace(plan, frames=read + pixels, cache=cache, work=self._prefill_bytes(tokens)),
            replace(
                plan,
                weights=self.weights + (self._fused_bytes() if is_lean else 0),
                frames=read + pixels,
                cache=int(cache * (1 + kept) if is_lean else cache * kept),
                controller=controller,
            ),
        )
        return max(moments, key=lambda moment: moment.total)

    def check(self, limit: int, pictures: Sequence[PictureSize], **plan: Any) -> MemoryPlan:
        """Estimate an answer and compare it with a limit, bytes; see `plan` for the arguments.

        Raises:
            ModelLoadError: it needs more; the message names what would fit.
        """
        needed = self.plan(pictures, **plan)
        if needed.total > limit:
            num_frames = sum(one.num_frames for one in pictures)
            shown = (
                f"{num_frames} frames of {pictures[0].width_px} x {pictures[0].height_px} px" if pictures else "text"
            )
            raise ModelLoadError(
                f"an answer about {shown} needs about {needed}, and max_memory is {limit / 1e9:.2f} GB. "
                f"{self._remedy(limit, pictures, plan)}"
            )
        return needed

    def largest(self, limit: int, picture: PictureSize, **plan: Any) -> int:
        """Largest even number of frames of this size that fit a limit; 0 for none."""
        fitting = 0
        step = 2**16
        while step >= 2:
            more = picture._replace(num_frames=fitting + step)
            fitting += step if self.plan([more], **plan).total <= limit else 0
            step //= 2
        return fitting

    def _remedy(self, limit: int, pictures: Sequence[PictureSize], plan: dict[str, Any]) -> str:
        import torch

        free = {**plan, "prompt_tokens": None}
        ways = []
        if len(pictures) == 1 and (frames := self.largest(limit, pictures[0], **free)) >= 2:
            ways.append(f"{frames} frames (--max-frames, num_frames)")
        halved = [one._replace(height_px=one.height_px // 2, width_px=one.width_px // 2) for one in pictures]
        if pictures and self.plan(halved, **free).total <= limit:
            ways.append("frames of half the width and height (load_model(..., pixel_budget=PixelBudget(...)))")
        if self.dtype == torch.float32 and self.as_dtype(torch.bfloat16).plan(pictures, **plan).total <= limit:
            ways.append("--dtype bfloat16")
        if self.plan(pictures, **{**plan, "is_lite": True}).total <= limit:
            ways.append("VReasonConfig(lite=True)")
        if ways:
            return f"What would fit: {', or '.join(ways)}"
        return "Nothing smaller of this model fits: raise max_memory, or choose a smaller model"

    def as_dtype(self, dtype: torch.dtype) -> MemoryPlanner:
        """Return the planner of the same model in another precision."""
        return replace(self, dtype=dtype, weights=self.num_parameters * dtype.itemsize, is_mapped=False)

    def _cache_bytes(self, tokens: int) -> int:
        text = self.config.get_text_config()
        kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
        own = kinds[: text.num_hidden_layers - (getattr(text, "num_kv_shared_layers", 0) or 0)]
        window = getattr(text, "sliding_window", None) or tokens
        lengths = {"full_attention": tokens, "sliding_attention": min(tokens, window)}
        widths = [_value_width(text, index) * lengths.get(kind, 0) for index, kind in enumerate(own)]
        return 2 * sum(widths) * self.dtype.itemsize

    def _vision_bytes(self, pixels: int) -> int:
        vision, settings = self.config.vision_config, self.settings
        patches = pixels // (12 * settings.patch_size**2 * settings.temporal_patch_size)
        width = getattr(vision, "embed_dim", None) or vision.hidden_size
        inner = getattr(vision, "intermediate_size", None) or 4 * width
        return int(patches * (5 * width + 2 * inner) * self.dtype.itemsize)

    def _prefill_bytes(self, tokens: int) -> int:
        text = _layer(self.config.get_text_config(), -1)
        inner: int = getattr(text, "intermediate_size", None) or getattr(text, "moe_intermediate_size", None) or 0
        return tokens * (4 * int(text.hidden_size) + 3 * inner) * self.dtype.itemsize

    def _fused_bytes(self) -> int:
        """What fused projections take beside the pages of the file that they were read from."""
        if not self.is_mapped:
            return 0
        text = self.config.get_text_config()
        rows = text.num_attention_heads * _head_dim(text) + 2 * _value_width(text, 0) + 2 * text.intermediate_size
        return int(text.num_hidden_layers) * int(rows) * int(text.hidden_size) * self.dtype.itemsize


def _layer(text: Any, index: int) -> Any:
    """The settings of one layer, where transformers keeps them by layer."""
    layers = getattr(text, "per_layer_config", None)
    return layers[index] if layers else text


def _value_width(text: Any, index: int) -> int:
    """Numbers in the values of one token in one layer."""
    layer = _layer(text, index)
    num_heads = int(getattr(layer, "num_key_value_heads", None) or layer.num_attention_heads)
    return num_heads * _head_dim(layer)


def _head_dim(layer: Any) -> int:
    return int(getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads)


@lru_cache(maxsize=16)
def planner_of(
    model: str | None = None, *, revision: str | None = None, device: str | None = None, dtype: str | None = None
) -> MemoryPlanner:
    """Return the planner of a model that is not loaded; see `load_model` for the arguments and errors."""
    import transformers

    from vreason_agent.model.placement import choose_device, choose_dtype, weight_bytes

    name = default_model() if model is None else model
    folder = open_folder(locate_model(model, revision=revision), source=name)
    place = choose_device(device)
    precision = choose_dtype(dtype, place, folder.num_parameters)
    config = getattr(transformers, folder.family.architecture).config_class.from_pretrained(
        str(folder.path), local_files_only=True
    )
    settings = folder.family.vision_settings(config, folder.video_processor)
    stored = round(folder.num_bytes / folder.num_parameters)
    return MemoryPlanner(
        config,
        folder.family,
        settings,
        folder.family.video_budget(settings, folder.video_processor),
        folder.num_parameters,
        weight_bytes(folder, place, precision),
        precision,
        place,
        is_mapped=place.type == "cpu" and folder.quantization is None and stored == precision.itemsize,
    )
