"""`find_scenes`: where the picture cuts, and where most moves, to choose times for the other tools.

Needs the extra `scenes`. This module draws nothing and compares no pictures itself.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from ..errors import quote
from ..video import Scenes, check_scenes_library, find_scenes
from .arguments import SpanArguments, VideoArguments
from .frame_requests import TimeRequest, show_duration, show_seconds
from .video_tool import VideoTool

MAX_LISTED_SHOTS = 40


class FindScenesTool(VideoTool):
    """Tells shots and motion peaks in words; the artifact is `Scenes.to_dict()` with the name as `video`."""

    arguments: ClassVar[type[VideoArguments]] = SpanArguments

    name: str = "find_scenes"
    description: str = "Times of cuts between shots and of most motion, without pictures. Range as in contact_sheet."

    @model_validator(mode="after")
    def _check_library(self) -> Self:
        check_scenes_library()
        return self

    def _run(
        self, video: str, start_seconds: float | None = None, stop_seconds: float | None = None
    ) -> tuple[str, dict[str, Any]]:
        request = TimeRequest(None, start_seconds, stop_seconds, num_frames=1)
        start, stop = request.span(self.files.info(video), video)
        with self.files.reading(video) as path:
            scenes = find_scenes(
                path,
                start_seconds=start,
                stop_seconds=stop,
                max_frames=self.limits.max_scanned_frames,
                options=self.files.read_options,
            )
        return describe_scenes(scenes, video), {"video": video, "path": path, **scenes.to_dict()}


def describe_scenes(scenes: Scenes, name: str) -> str:
    """Put shots and motion peaks into sentences, with how exact their times are."""
    shots = [f"{show_seconds(start)}-{show_duration(stop)}" for start, stop in scenes.shots]
    listed = ", ".join(shots[:MAX_LISTED_SHOTS])
    more = f" and {len(shots) - MAX_LISTED_SHOTS} more (use a smaller range)" if len(shots) > MAX_LISTED_SHOTS else ""
    peaks = [f"{show_seconds(time)} s" for time in scenes.peaks_seconds]
    motion = f"Most motion, strongest first: {', '.join(peaks)}." if peaks else "Motion is even, or there is none."
    return (
        f"{quote(name)} has {len(shots)} shot{'s' if len(shots) != 1 else ''}: {listed}{more} s. {motion} "
        f"{scenes.num_frames} frames were compared; times are exact to {scenes.step_seconds:.3f} s."
    )
