"""Qwen3.5, 3.6 and 3.8: Qwen3-VL's prompt and vision over gated attention with DeltaNet layers beside.

Every fourth layer attends to the whole context, the last one among them; its output is gated, and the gate is replayed
with it. The layers between keep a recurrent state in place of keys and values: a cache of this model cannot be cropped,
only continued, and Lite drops tokens from the attention layers alone. The chat template opens the thinking block
itself; `load_model(..., enable_thinking=False)` closes it.
"""

from __future__ import annotations

from vreason_agent.model.families.qwen3_vl import Qwen3VL

__all__ = ["Qwen35", "Qwen35MoE"]


class Qwen35(Qwen3VL):
    """Dense models of Qwen3.5 to 3.8 (`qwen3_5`)."""

    name = "qwen3_5"
    architecture = "Qwen3_5ForConditionalGeneration"


class Qwen35MoE(Qwen3VL):
    """Mixture-of-experts models of Qwen3.5 to 3.8 (`qwen3_5_moe`)."""

    name = "qwen3_5_moe"
    architecture = "Qwen3_5MoeForConditionalGeneration"
