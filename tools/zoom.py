"""`zoom`: a region of the picture, cut from the full-size frame and enlarged.

Regions are fractions of the picture, so that they mean the same on every downscaled image that a model saw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.tools import ToolException

from ..video import VideoInfo
from .arguments import RegionArguments, VideoArguments
from .frame_requests import TimeRequest, frames_artifact, headline, label, read_request
from .image_blocks import Block, Image, fit, image_block, text_block
from .video_tool import VideoTool

MAX_ENLARGEMENT = 4.0
"""Beyond this factor interpolation only makes the same blur larger."""
_MIN_REGION_PX = 16


@dataclass(frozen=True)
class Region:
    """A rectangle in fractions of the picture, in [0, 1]: `left < right`, `top < bottom`."""

    left: float
    top: float
    right: float
    bottom: float

    def box_px(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Return `(left, top, right, bottom)` in pixels of a picture of the given size, rounded outward, half-open."""
        return (
            math.floor(self.left * width_px),
            math.floor(self.top * height_px),
            math.ceil(self.right * width_px),
            math.ceil(self.bottom * height_px),
        )

    def check(self, info: VideoInfo) -> None:
        """Refuse a region in which nothing can be seen.

        Raises:
            ToolException: Edges in the wrong order, or fewer than 16 source pixels (or the whole side) across.
        """
        if self.left >= self.right or self.top >= self.bottom:
            msg = (
                f"the region left={self.left}, top={self.top}, right={self.right}, bottom={self.bottom} is empty: "
                "right must be greater than left, and bottom greater than top"
            )
            raise ToolException(msg)
        left, top, right, bottom = self.box_px(info.width_px, info.height_px)
        width, height = right - left, bottom - top
        if width < min(_MIN_REGION_PX, info.width_px) or height < min(_MIN_REGION_PX, info.height_px):
            msg = (
                f"the region covers only {width}x{height} of {info.width_px}x{info.height_px} px: "
                f"make it at least {_MIN_REGION_PX} px wide and high"
            )
            raise ToolException(msg)

    def crop(self, image: Image) -> Image:
        """Cut the region out of an RGB image `(height, width, 3)`."""
        left, top, right, bottom = self.box_px(image.shape[1], image.shape[0])
        return image[top:bottom, left:right]


class ZoomTool(VideoTool):
    """Returns the region of each frame as an image block; the artifact adds `region` and `region_px` to the frames."""

    arguments: ClassVar[type[VideoArguments]] = RegionArguments
    default_num_frames: ClassVar[int] = 4

    name: str = "zoom"
    description: str = (
        "A region of the picture, enlarged, for small things and text. Its edges are fractions of the picture from the "
        "upper left corner. Times as in sample_frames."
    )

    def _run(
        self,
        video: str,
        left: float,
        top: float,
        right: float,
        bottom: float,
        timestamps_seconds: list[float] | None = None,
        start_seconds: float | None = None,
        stop_seconds: float | None = None,
        num_frames: int = default_num_frames,
    ) -> tuple[list[Block], dict[str, Any]]:
        region = Region(left, top, right, bottom)
        info = self.files.info(video)
        region.check(info)
        request = TimeRequest(timestamps_seconds, start_seconds, stop_seconds, num_frames)
        frames = read_request(self.files, video, request, max_side_px=self._source_side_px(region, info))
        box = region.box_px(info.width_px, info.height_px)
        blocks = [
            text_block(f"{_describe_region(box, info)} {headline(frames, video, num_requested=request.num_moments)}")
        ]
        for position, image in enumerate(frames.images):
            closeup = fit(region.crop(image), self.limits.max_side_px, max_enlargement=MAX_ENLARGEMENT)
            blocks += [text_block(label(frames, position)), image_block(closeup, self.limits)]
        artifact = frames_artifact(self.files, video, frames)
        return blocks, {**artifact, "region": [left, top, right, bottom], "region_px": list(box)}

    def _source_side_px(self, region: Region, info: VideoInfo) -> int:
        """Return the smallest size to read frames at that still gives the close-up every pixel it can show."""
        left, top, right, bottom = region.box_px(info.width_px, info.height_px)
        side_px = max(info.width_px, info.height_px)
        return min(side_px, math.ceil(side_px * self.limits.max_side_px / max(right - left, bottom - top)))


def _describe_region(box: tuple[int, int, int, int], info: VideoInfo) -> str:
    left, top, right, bottom = box
    return f"Pixels {left} to {right} across and {top} to {bottom} down, of {info.width_px}x{info.height_px}."
