"""The built-in model families; `vreason_agent.model.register_family` adds others."""

from __future__ import annotations

from vreason_agent.model.families.qwen2_5_vl import Qwen25VL
from vreason_agent.model.families.qwen2_5_vl_timestamps import Qwen25VLTimestamps
from vreason_agent.model.families.qwen2_vl import Qwen2VL
from vreason_agent.model.families.qwen3_vl import Qwen3VL
from vreason_agent.model.families.qwen_vl import QwenVLFamily

__all__ = ["BUILTIN_FAMILIES", "Qwen2VL", "Qwen3VL", "Qwen25VL", "Qwen25VLTimestamps", "QwenVLFamily"]

BUILTIN_FAMILIES = (Qwen2VL(), Qwen25VL(), Qwen25VLTimestamps(), Qwen3VL())
