"""Qwen3-VL: each pair's mean time as text, and one vision block per pair.

The time of a pair, `<3.4 seconds>`, is the mean of its two frames' times. The video tokens are therefore no single
span, and positions carry no time. Uneven spacing needs nothing special.

The blocks follow each other without one around them, as in the processor that Qwen3-VL was released with. That of
transformers 5.23 leaves the `<|vision_start|>` and `<|vision_end|>` of the chat template around them all: two tokens
more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vreason_agent.model.families.base import PairTimes, Segment, VideoLayout
from vreason_agent.model.families.qwen2_5_vl_timestamps import repeated_times_note
from vreason_agent.model.families.qwen_vl import QwenVLFamily

__all__ = ["Qwen3VL", "Qwen3VLMoE"]


class Qwen3VL(QwenVLFamily):
    """Qwen3-VL (`qwen3_vl`): time as text, one segment per pair."""

    name = "qwen3_vl"
    architecture = "Qwen3VLForConditionalGeneration"
    time_route = "text: the mean time of each frame pair before its own vision block"

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """Alternate `<t seconds>` and single-pair segments."""
        times = [f"<{(first + last) / 2:.1f} seconds>" for first, last in pairs]
        pieces = tuple(piece for time in times for piece in (time, Segment(1)))
        return VideoLayout(pieces, repeated_times_note(times))


class Qwen3VLMoE(Qwen3VL):
    """Mixture-of-experts models of Qwen3-VL (`qwen3_vl_moe`)."""

    name = "qwen3_vl_moe"
    architecture = "Qwen3VLMoeForConditionalGeneration"
