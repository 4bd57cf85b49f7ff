"""Reading video: open, probe, plan, read; knows no model.

`probe(video)` says what a file is, the rules in `PLANS` choose times, `read_frames(video, timestamps)` gives the frames
that a player shows at those times, or a typed error. `ReadOptions` says how: from which folders, under which limits, in
which process, by which decoder.
"""

from vreason_agent.video.download import DownloadPolicy, download, downloaded
from vreason_agent.video.files import file_identity, local_path
from vreason_agent.video.frame_cache import Resize
from vreason_agent.video.images import load_cv2, read_image
from vreason_agent.video.picture_decoder import image_sizes, read_images, still_size
from vreason_agent.video.plan_types import FramePlan, PlanSegment
from vreason_agent.video.plans import (
    PLANS,
    PlanCost,
    fps_plan,
    keyframes_plan,
    make_plan,
    pairs_plan,
    plan_cost,
    ranges_plan,
    scenes_plan,
    times_plan,
    uniform_plan,
)
from vreason_agent.video.read_options import DEFAULT_LIMITS, DEFAULT_OPTIONS, Backend, Isolation, Limits, ReadOptions
from vreason_agent.video.reader import (
    VideoReader,
    open_video,
    probe,
    read_frames,
)
from vreason_agent.video.scenes import Scenes, check_scenes_library, find_scenes
from vreason_agent.video.types import Frames, Size, Span, VideoInfo, VideoStream, resolve_span

__all__ = [
    "DEFAULT_LIMITS",
    "DEFAULT_OPTIONS",
    "PLANS",
    "Backend",
    "DownloadPolicy",
    "FramePlan",
    "Frames",
    "Isolation",
    "Limits",
    "PlanCost",
    "PlanSegment",
    "ReadOptions",
    "Resize",
    "Scenes",
    "Size",
    "Span",
    "VideoInfo",
    "VideoReader",
    "VideoStream",
    "check_scenes_library",
    "download",
    "downloaded",
    "file_identity",
    "find_scenes",
    "fps_plan",
    "image_sizes",
    "keyframes_plan",
    "load_cv2",
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
    "still_size",
    "times_plan",
    "uniform_plan",
]
