"""Qwen2-VL: the positions count pairs and know no time.

Neither the prompt nor the positions tell when a frame was shown; the model knows the order of the pairs only. Questions
about seconds cannot be answered from it, and the layout says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vreason_agent.model.families.base import PairTimes, Segment, VideoLayout
from vreason_agent.model.families.qwen_vl import QwenVLFamily

__all__ = ["Qwen2VL"]


class Qwen2VL(QwenVLFamily):
    """Qwen2-VL (`qwen2_vl`): one vision segment per video, pairs one position apart whatever their times."""

    name = "qwen2_vl"
    architecture = "Qwen2VLForConditionalGeneration"
    time_route = "none: the order of the frames only"

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """One segment; a note where there is more than one pair."""
        note = (
            "Qwen2-VL has no time in its positions: it sees the order of the frames, not when they were shown. For "
            "questions about time choose a Qwen2.5-VL or Qwen3-VL model."
        )
        return VideoLayout((Segment(len(pairs)),), (note,) if len(pairs) > 1 else ())
