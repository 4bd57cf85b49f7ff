"""Reading video with OpenCV: open, probe, sample, read; knows no model.

`probe(video)` says what a file is, the rules in `PLANS` choose times, `read_frames(video, timestamps)` gives the frames
that a player shows at those times, or a typed error.
"""

from vreason_agent.video.backend import Backend
from vreason_agent.video.cost import PlanCost, plan_cost
from vreason_agent.video.download import DownloadPolicy, download, downloaded
from vreason_agent.video.frames import Frames
from vreason_agent.video.images import read_image
from vreason_agent.video.info import VideoInfo, VideoStream
from vreason_agent.video.isolated import Isolate, IsolatedVideo, Isolation
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.opened import OpenVideo
from vreason_agent.video.options import DEFAULT_OPTIONS, ReadOptions
from vreason_agent.video.plan import FramePlan, PlanSegment
from vreason_agent.video.reading import (
    VideoReader,
    find_scenes,
    image_sizes,
    open_video,
    probe,
    read_frames,
    read_images,
    still_size,
)
from vreason_agent.video.sampling import (
    PLANS,
    fps_plan,
    keyframes_plan,
    make_plan,
    pairs_plan,
    ranges_plan,
    scenes_plan,
    times_plan,
    uniform_plan,
)
from vreason_agent.video.scenes import Scenes, check_scenes_library
from vreason_agent.video.sizing import Resize
from vreason_agent.video.source import Roots, local_path, stamp_of
from vreason_agent.video.span import Span, resolve_span

__all__ = [
    "DEFAULT_LIMITS",
    "DEFAULT_OPTIONS",
    "PLANS",
    "Backend",
    "DownloadPolicy",
    "FramePlan",
    "Frames",
    "Isolate",
    "IsolatedVideo",
    "Isolation",
    "Limits",
    "OpenVideo",
    "PlanCost",
    "PlanSegment",
    "ReadOptions",
    "Resize",
    "Roots",
    "Scenes",
    "Span",
    "VideoInfo",
    "VideoReader",
    "VideoStream",
    "check_scenes_library",
    "download",
    "downloaded",
    "find_scenes",
    "fps_plan",
    "image_sizes",
    "keyframes_plan",
    "local_path",
    "make_plan",
    "open_video",
    "pairs_plan",
    "plan_cost",
    "probe",
    "ranges_plan",
    "read_frames",
    "read_image",
    "read_images",
    "resolve_span",
    "scenes_plan",
    "stamp_of",
    "still_size",
    "times_plan",
    "uniform_plan",
]
