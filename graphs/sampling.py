"""What is looked at: the part of the video that is asked about, the cuts in it, and the rungs worth trying."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DependencyError
from ..video import Reading, VideoInfo, check_scenes_library, find_scenes, local_path, make_plan, resolve_span
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


def with_cuts(clip: Clip, reading: Reading, *, max_frames: int) -> Clip:
    """Return the clip with its cuts, or with the reason why there are none.

    Args:
        clip: The part that is searched; an image is left as it is.
        reading: How the file is read.
        max_frames: Most frames to compare.

    Raises:
        VideoError: If the file cannot be read there.
    """
    if clip["kind"] == "image":
        return clip
    try:
        check_scenes_library()
    except DependencyError as exc:
        return {**clip, "no_cuts": str(exc)}
    start, stop = clip["start_seconds"], clip["stop_seconds"]
    with reading.open(local_path(clip["path"]), max_kept_bytes=0) as video:
        cuts = find_scenes(video, start_seconds=start, stop_seconds=stop, max_frames=max_frames).cuts_seconds
    return {**clip, "cuts_seconds": list(cuts)} if cuts else {**clip, "no_cuts": "no cut was found"}


def last_look(plan: Mapping[str, Any] | None) -> tuple[float, ...]:
    """Return the times of the ladder's last rung where a plan is a part of it, and not that rung itself."""
    options = {} if plan is None else plan["options"]
    last = options.get("max_frames")
    if plan is None or not last or options["num_frames"] >= last:
        return ()
    whole = {**options, "num_frames": last}
    return make_plan(plan["name"], plan["start_seconds"], plan["stop_seconds"], **whole).timestamps_seconds
