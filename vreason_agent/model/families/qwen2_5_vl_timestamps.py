"""The bundled model's way of telling time: a Qwen2.5-VL whose prompt writes each pair's time before it.

Each temporal pair is a vision segment of its own, preceded by the presentation time of its first frame as text, which
is the route real Qwen3-VL takes; positions carry no time. Selected by `"vreason_family"` in `config.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vreason_agent.model.families.base import PairTimes, Segment, VideoLayout
from vreason_agent.model.families.preprocessor import pixel_limits
from vreason_agent.model.families.qwen_vl import QwenVLFamily
from vreason_agent.model.vision_settings import PixelBudget, VisionSettings

__all__ = ["Qwen25VLTimestamps", "repeated_times_note"]


class Qwen25VLTimestamps(QwenVLFamily):
    """The bundled family (`qwen2_5_vl_timestamps`): time as text, one segment per pair, plain prompt."""

    name = "qwen2_5_vl_timestamps"
    architecture = "Qwen2_5_VLForConditionalGeneration"
    time_route = "text: the time of each frame pair before its own vision block"
    prompt_style: Literal["reasoning", "plain"] = "plain"

    def video_budget(self, settings: VisionSettings, processor: Mapping[str, Any]) -> PixelBudget:
        """The limits of the preprocessor file, which this model was trained at."""
        low, high = pixel_limits(processor)
        if low is None or high is None:
            return super().video_budget(settings, processor)
        return PixelBudget(low, high)

    def lay_out_video(self, pairs: Sequence[PairTimes], config: Any) -> VideoLayout:
        """Alternate times and single-pair segments, then a line break before the question."""
        times = [f"{first:.1f}" for first, _ in pairs]
        pieces = [piece for time in times for piece in (time, Segment(1))]
        return VideoLayout((*pieces, "\n"), repeated_times_note(times))


def repeated_times_note(times: Sequence[str]) -> tuple[str, ...]:
    """A note where times read the same after rounding to tenths of a second."""
    if len(set(times)) == len(times):
        return ()
    return (
        f"Times are written to a tenth of a second, so that some of the {len(times)} frame pairs get the same time. "
        "Sample fewer frames or a longer range to tell them apart.",
    )
