"""Model families: what differs between architectures, and the registry of them.

A family says how a video's temporal pairs are laid out in the prompt (one vision segment or many, with or without times
written as text), which temporal positions they get, how frames are cut into patches, and which pixel budget holds
unless the caller sets one. Everything else, from tokenizing to decoding, is the same for all.

To add an architecture, write a class with the members of `ModelFamily` (subclassing `QwenVLFamily` saves most of it)
and pass an instance to `register_family`; its `name` is compared with `vreason_family`, then `model_type` of
`config.json`.

This module does not know any particular family, weights, or tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from vreason_agent.errors import ConfigError, ModelLoadError, quote
from vreason_agent.model.preprocess import PixelBudget, VisionSettings

__all__ = [
    "ModelFamily",
    "PairTimes",
    "Segment",
    "VideoLayout",
    "family_for",
    "register_family",
    "registered_families",
]

PairTimes: TypeAlias = tuple[float, float]
"""Presentation times of a temporal pair's first and last frame, s."""


@dataclass(frozen=True)
class Segment:
    """A run of temporal pairs that the prompt shows as one vision block.

    Attributes:
        num_pairs: temporal pairs in the block, at least 1.
        positions_per_pair: temporal positions from one pair to the next (see `positions.temporal_steps`).
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


_families: dict[str, ModelFamily] = {}


def register_family(family: ModelFamily, *, replace: bool = False) -> None:
    """Make an architecture loadable in this process.

    Args:
        family: the family; its `name` is what `config.json` must say.
        replace: allow replacing a family of the same name.

    Raises:
        ConfigError: the object lacks a member of `ModelFamily`, or the name is taken.
    """
    if not isinstance(family, ModelFamily):
        raise ConfigError(
            f"{quote(family)} is no ModelFamily: it needs name, architecture, time_route, prompt_style, "
            "vision_settings, "
            "video_budget, image_budget and lay_out_video; to inherit most of them subclass "
            "vreason_agent.model.families.QwenVLFamily"
        )
    if family.name in registered_families() and not replace:
        raise ConfigError(
            f"a model family named {quote(family.name)} is registered already; pass replace=True to replace it"
        )
    _families[family.name] = family


def registered_families() -> Mapping[str, ModelFamily]:
    """The families by name: the built-in ones and those registered in this process."""
    if not _families:
        from vreason_agent.model.families import BUILTIN_FAMILIES

        _families.update({family.name: family for family in BUILTIN_FAMILIES})
    return dict(_families)


def family_for(config: Mapping[str, Any], *, source: str) -> ModelFamily:
    """Find the family of a `config.json`.

    Args:
        config: the parsed file.
        source: the model's name or folder, for messages.

    Raises:
        ModelLoadError: the model takes no video, or nobody registered its architecture.
    """
    families = registered_families()
    name = config.get("vreason_family") or config.get("model_type")
    if isinstance(name, str) and name in families:
        return families[name]
    known = ", ".join(sorted(families))
    if "vision_config" not in config:
        raise ModelLoadError(
            f"model {quote(source)} is a {quote(name)} without a vision_config: it takes no video. Choose a "
            "video-language model "
            f"of one of the families {known}, for example --model Qwen/Qwen2.5-VL-3B-Instruct"
        )
    raise ModelLoadError(
        f"model {quote(source)} has the architecture {quote(name)}, which no model family covers (known: "
        f"{known}). Choose a "
        "model of a known family, or write a ModelFamily for it and first call "
        "vreason_agent.model.register_family(MyFamily())"
    )
