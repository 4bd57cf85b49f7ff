"""Video-language models: loading weights, model families, frames to tokens, requests to generations.

The names below load on first use. A folder's files (`folder`, `source`) and the families are read without torch. This
package does not know about LangChain, about where frames come from, or about the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vreason_agent.errors import quote

__all__ = [
    "Generation",
    "GenerationRequest",
    "ImagePart",
    "ModelFamily",
    "ParsedAnswer",
    "Part",
    "PixelBudget",
    "Role",
    "SamplingParams",
    "Segment",
    "StreamEvent",
    "TextPart",
    "ToolCall",
    "Turn",
    "VideoLanguageModel",
    "VideoLayout",
    "VideoPart",
    "VisionInput",
    "VisionSettings",
    "VisionUse",
    "describe_model",
    "family_for",
    "load_model",
    "loaded_models",
    "parse_answer",
    "plain_prompt",
    "preprocess_frames",
    "reasoning_prompt",
    "register_family",
    "registered_families",
    "unload",
]

_MODULES = {
    "engine": "VideoLanguageModel describe_model",
    "families": "family_for register_family registered_families",
    "families.base": "ModelFamily Segment VideoLayout",
    "parts": "Generation GenerationRequest ImagePart Part Role SamplingParams StreamEvent TextPart ToolCall Turn "
    "VideoPart VisionUse",
    "prompts": "ParsedAnswer parse_answer plain_prompt reasoning_prompt",
    "preprocess": "VisionInput preprocess_frames",
    "registry": "load_model loaded_models unload",
    "vision_settings": "PixelBudget VisionSettings",
}

if TYPE_CHECKING:
    from vreason_agent.model.engine import VideoLanguageModel, describe_model
    from vreason_agent.model.families import family_for, register_family, registered_families
    from vreason_agent.model.families.base import ModelFamily, Segment, VideoLayout
    from vreason_agent.model.parts import (
        Generation,
        GenerationRequest,
        ImagePart,
        Part,
        Role,
        SamplingParams,
        StreamEvent,
        TextPart,
        ToolCall,
        Turn,
        VideoPart,
        VisionUse,
    )
    from vreason_agent.model.preprocess import VisionInput, preprocess_frames
    from vreason_agent.model.prompts import ParsedAnswer, parse_answer, plain_prompt, reasoning_prompt
    from vreason_agent.model.registry import load_model, loaded_models, unload
    from vreason_agent.model.vision_settings import PixelBudget, VisionSettings
else:

    def __getattr__(name: str) -> Any:
        """Import the module that defines a public name when the name is first asked for."""
        module = next((module for module, names in _MODULES.items() if name in names.split()), None)
        if module is None:
            msg = f"module 'vreason_agent.model' has no attribute {quote(name)}; it has: {', '.join(__all__)}"
            raise AttributeError(msg)
        from importlib import import_module

        value = getattr(import_module(f"vreason_agent.model.{module}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
