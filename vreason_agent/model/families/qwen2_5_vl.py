"""Qwen2.5-VL: time as temporal positions, truncated to whole units of `tokens_per_second`.

Within a vision segment pair k stands at position floor(k x seconds per pair x tokens per second), so a segment can
only say "evenly spaced". Unevenly spaced frames become several evenly spaced segments. Where pairs lie closer together
than one unit (32 frames over 5 s at 2 units per second give 10 positions for 16 pairs) they share a position; the
layout says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vreason_agent.model.families.base import PairTimes, Segment, VideoLayout, temporal_steps
from vreason_agent.model.families.qwen_vl import QwenVLFamily
from vreason_agent.video.plan_types import even_runs


class Qwen25VL(QwenVLFamily):
    """Qwen2.5-VL (`qwen2_5_vl`): one vision segment per run of evenly spaced pairs."""

    name = "qwen2_5_vl"
    architecture = "Qwen2_5_VLForConditionalGeneration"
    time_route = "temporal positions, truncated to whole units of tokens_per_second, within evenly spaced segments"

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """One segment per evenly spaced run of pairs, with a note where pairs share a temporal position."""
        tokens_per_second = float(config.vision_config.tokens_per_second)
        starts = [first for first, _ in pairs]
        runs = even_runs(starts, tolerance_seconds=0.5 / tokens_per_second)
        segments = tuple(Segment(count, tokens_per_second * seconds) for count, seconds in runs)
        return VideoLayout(segments, _notes(segments, tokens_per_second))


def _notes(segments: Sequence[Segment], tokens_per_second: float) -> tuple[str, ...]:
    notes = []
    num_pairs = sum(segment.num_pairs for segment in segments)
    distinct = sum(len(set(temporal_steps(s.num_pairs, s.positions_per_pair).tolist())) for s in segments)
    if distinct < num_pairs:
        notes.append(
            f"Qwen2.5-VL truncates time to {tokens_per_second:g} positions per second, so that some of the {num_pairs} "
            "frame pairs get the same position. Sample fewer frames or a longer range to tell them apart."
        )
    if len(segments) > 1:
        notes.append(
            f"The frames are unevenly spaced, so Qwen2.5-VL sees them as {len(segments)} evenly spaced segments and "
            "does not know the time between the segments."
        )
    return tuple(notes)
