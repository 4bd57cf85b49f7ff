"""The model families by name: the built-in ones, and those that `register_family` adds in this process.

This package imports no torch, so that a model folder can be judged before the heavy libraries are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vreason_agent.errors import ConfigError, ModelLoadError, quote
from vreason_agent.model.families.base import ModelFamily
from vreason_agent.model.families.gemma4 import Gemma4
from vreason_agent.model.families.internvl import InternVL
from vreason_agent.model.families.llava_onevision import LlavaOneVision
from vreason_agent.model.families.qwen2_5_vl import Qwen25VL
from vreason_agent.model.families.qwen2_5_vl_timestamps import Qwen25VLTimestamps
from vreason_agent.model.families.qwen2_vl import Qwen2VL
from vreason_agent.model.families.qwen3_5 import Qwen35, Qwen35MoE
from vreason_agent.model.families.qwen3_vl import Qwen3VL, Qwen3VLMoE
from vreason_agent.model.families.qwen_vl import QwenVLFamily
from vreason_agent.model.families.smolvlm import SmolVLM

__all__ = [
    "BUILTIN_FAMILIES",
    "Gemma4",
    "InternVL",
    "LlavaOneVision",
    "Qwen2VL",
    "Qwen3VL",
    "Qwen3VLMoE",
    "Qwen25VL",
    "Qwen25VLTimestamps",
    "Qwen35",
    "Qwen35MoE",
    "QwenVLFamily",
    "SmolVLM",
    "family_for",
    "register_family",
    "registered_families",
]

BUILTIN_FAMILIES: tuple[ModelFamily, ...] = (
    Qwen2VL(),
    Qwen25VL(),
    Qwen25VLTimestamps(),
    Qwen3VL(),
    Qwen3VLMoE(),
    Qwen35(),
    Qwen35MoE(),
    SmolVLM(),
    InternVL(),
    LlavaOneVision(),
    Gemma4(),
)

_families: dict[str, ModelFamily] = {family.name: family for family in BUILTIN_FAMILIES}


def register_family(family: ModelFamily, *, replace: bool = False) -> None:
    """Make an architecture loadable in this process.

    Args:
        family: the family; its `name` is what `config.json` must say.
        replace: allow replacing a family of the same name.

    Raises:
        ConfigError: the object is no `ModelFamily`, or the name is taken.
    """
    if not isinstance(family, ModelFamily):
        raise ConfigError(
            f"{quote(family)} is no ModelFamily: subclass vreason_agent.model.ModelFamily, or the family that is "
            "nearest to the architecture, such as vreason_agent.model.families.QwenVLFamily"
        )
    if family.name in _families and not replace:
        raise ConfigError(
            f"a model family named {quote(family.name)} is registered already; pass replace=True to replace it"
        )
    _families[family.name] = family


def registered_families() -> Mapping[str, ModelFamily]:
    """The families by name: the built-in ones and those registered in this process."""
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
            f"video-language model of one of the families {known}, for example --model Qwen/Qwen2.5-VL-3B-Instruct"
        )
    raise ModelLoadError(
        f"model {quote(source)} has the architecture {quote(name)}, which no model family covers (known: "
        f"{known}). Choose a model of a known family, or write a ModelFamily for it and first call "
        "vreason_agent.model.register_family(MyFamily())"
    )
