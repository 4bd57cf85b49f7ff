"""`sample_frames`: whole pictures at given times or spread over a range."""

from __future__ import annotations

from typing import Any, ClassVar

from .arguments import TimesArguments, VideoArguments
from .frame_requests import TimeRequest, frames_artifact, headline, label, read_request
from .image_blocks import Block, image_block, text_block
from .video_tool import VideoTool


class SampleFramesTool(VideoTool):
    """Returns frames as image blocks, each after a text block with its true time; the artifact is `frames_artifact`."""

    arguments: ClassVar[type[VideoArguments]] = TimesArguments
    default_num_frames: ClassVar[int] = 8

    name: str = "sample_frames"
    description: str = (
        "Frames at the moments in timestamps_seconds, or num_frames of them spread evenly over a range or the whole "
        "video. Each picture follows its time in seconds."
    )

    def _run(
        self,
        video: str,
        timestamps_seconds: list[float] | None = None,
        start_seconds: float | None = None,
        stop_seconds: float | None = None,
        num_frames: int = default_num_frames,
    ) -> tuple[list[Block], dict[str, Any]]:
        request = TimeRequest(timestamps_seconds, start_seconds, stop_seconds, num_frames)
        frames = read_request(self.files, video, request, max_side_px=self.limits.max_side_px)
        blocks = [text_block(headline(frames, video, num_requested=request.num_moments))]
        for position, image in enumerate(frames.images):
            blocks += [text_block(label(frames, position)), image_block(image, self.limits)]
        return blocks, frames_artifact(self.files, video, frames)
