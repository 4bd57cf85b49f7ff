"""What reading a plan costs, told from what is known of a file before it is read. Opens no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vreason_agent.video.index import SEEK_SLACK_FRAMES, seek_cost_frames
from vreason_agent.video.info import VideoInfo


@dataclass(frozen=True)
class PlanCost:
    """The work of one read, beside looking at what the file is; where rate or keyframes are uneven, about.

    Attributes:
        num_frames: Different frames that are converted.
        num_seeks: Jumps; each decodes from the keyframe before it, so long distances between keyframes make them dear.
        num_walked_frames: Frames that are decoded only to get past them.
    """

    num_frames: int
    num_seeks: int
    num_walked_frames: int


def plan_cost(info: VideoInfo, timestamps_seconds: Sequence[float]) -> PlanCost:
    """Return what it costs to read frames at these times from a file that is opened for it.

    Args:
        info: The file, as `probe` describes it.
        timestamps_seconds: Times as for `read_frames`; those past the last frame count as that frame.
    """
    if info.kind == "image" or not info.num_frames or not info.video_fps:
        return PlanCost(1, 0, 0)
    last = info.num_frames - 1
    targets = sorted({min(last, int(time * info.video_fps + 1e-6)) for time in timestamps_seconds})
    if info.kind == "frames":
        return PlanCost(len(targets), 0, 0)
    if not info.is_seekable:
        return PlanCost(len(targets), 0, targets[-1] + 1 - len(targets))
    keyframes = [number * info.num_frames // (info.num_keyframes or 1) for number in range(info.num_keyframes or 0)]
    at, num_seeks, num_steps = 0, 0, 1  # the first frame is stepped to when the file is opened
    for target in targets:
        is_jump = target - at > seek_cost_frames(keyframes, target)
        num_seeks += is_jump
        num_steps += SEEK_SLACK_FRAMES + 1 if is_jump else target - at
        at = min(target + 1, last)  # the next frame is looked at too
        num_steps += at - target
    return PlanCost(len(targets), num_seeks, num_steps - len(targets))
