"""Which frames a rung looks at: the part of the video that is asked about, and times in it.

Times are data; no frame is read here. A rung with twice the frames keeps every temporal pair of the rung before it.
"""

from __future__ import annotations

from ..video import VideoInfo, pairs_plan, resolve_span
from .policy import Ladder
from .state import Clip


def clip_of(path: str, info: VideoInfo, *, start_seconds: float | None, stop_seconds: float | None) -> Clip:
    """Return the part of a probed video that is asked about, as data.

    Raises:
        ConfigError: If the part is empty or lies outside the video.
        VideoError: If the video is cut before the part's end, or has no known end.
    """
    start, stop = resolve_span(info, start_seconds, stop_seconds)
    num_frames = 1 if info.kind == "image" else info.num_frames_in(start, stop)
    at_least_one = None if num_frames is None else max(1, num_frames)
    return Clip(path=path, kind=info.kind, start_seconds=start, stop_seconds=stop, num_frames=at_least_one)


def clip_rungs(clip: Clip, ladder: Ladder) -> tuple[int, ...]:
    """Return the frame counts worth trying: one for an image, none past the first that holds every frame there is."""
    if clip["kind"] == "image":
        return (1,)
    rungs, available = ladder.rungs(), clip["num_frames"]
    if available is None:
        return rungs
    useful = [count for count in rungs[:-1] if count < available]
    return rungs[: len(useful) + 1]


def plan_times(clip: Clip, num_frames: int, ladder: Ladder) -> list[float]:
    """Return the times of a rung, in seconds: temporal pairs at dyadic left edges."""
    if clip["kind"] == "image":
        return [0.0]
    start, stop = clip["start_seconds"], clip["stop_seconds"]
    plan = pairs_plan(start, stop, num_frames=num_frames, max_frames=ladder.max_frames)
    return list(plan.timestamps_seconds)
