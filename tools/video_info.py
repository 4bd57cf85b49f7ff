"""`video_info`: what a video is, before looking at it. Decodes no frame for the model."""

from __future__ import annotations

from typing import Any

from ..errors import quote
from ..video import VideoInfo
from .frame_requests import show_duration
from .video_tool import VideoTool


class VideoInfoTool(VideoTool):
    """Describes a video in one sentence; the artifact is its `VideoInfo` as a dict with the name as `video`."""

    name: str = "video_info"
    description: str = "Length in seconds, frame rate and picture size of a video. Use it first, to choose times."

    def _run(self, video: str) -> tuple[str, dict[str, Any]]:
        info = self.files.info(video)
        return describe_video(info, video), {"video": video, **info.to_dict()}


def describe_video(info: VideoInfo, name: str) -> str:
    """Put what is known about a video into a sentence, and say what is not known."""
    size = f"{info.width_px}x{info.height_px} px"
    if info.kind == "image":
        return f"{quote(name)} is a still image of {size}."
    length = "unknown" if info.duration_seconds is None else f"{show_duration(info.duration_seconds)} s"
    rate = "unknown" if info.video_fps is None else f"{info.video_fps:.3f} frames per second"
    count = "unknown" if info.num_frames is None else str(info.num_frames)
    uneven = " on average (their spacing may vary)" if info.is_constant_rate is False else ""
    return f"{quote(name)}: length {length}, frame rate {rate}{uneven}, number of frames {count}, picture {size}."
