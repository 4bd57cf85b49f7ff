"""`contact_sheet`: many small frames with their times on one picture, for an overview at the price of one image."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..video import load_cv2
from .arguments import RangeArguments, VideoArguments
from .frame_requests import TimeRequest, frames_artifact, headline, read_request, show_seconds
from .image_blocks import Block, Image, fit, image_block, text_block
from .video_tool import VideoTool

_LABEL_PX = 16
_MIN_CELL_PX = 64  # a label such as 1234.567 is 60 px wide
_GAP_PX = 2
_FONT_SCALE = 0.4


class ContactSheetTool(VideoTool):
    """Returns one image block; the artifact adds `num_columns` to the frames, which are in reading order."""

    arguments: ClassVar[type[VideoArguments]] = RangeArguments
    default_num_frames: ClassVar[int] = 16

    name: str = "contact_sheet"
    description: str = (
        "Overview: many small frames on one picture, each above its time in seconds, spread evenly over a range in "
        "seconds or the whole video. For detail use sample_frames or zoom."
    )

    @property
    def max_frames(self) -> int:
        """Most cells of one sheet: the limit, or fewer where cells would be smaller than 64 px."""
        return min(self.limits.max_sheet_frames, (self.limits.max_side_px // _MIN_CELL_PX) ** 2)

    def _run(
        self,
        video: str,
        start_seconds: float | None = None,
        stop_seconds: float | None = None,
        num_frames: int = default_num_frames,
    ) -> tuple[list[Block], dict[str, Any]]:
        request = TimeRequest(None, start_seconds, stop_seconds, num_frames)
        frames = read_request(self.files, video, request, max_side_px=self.limits.max_side_px)
        height, width = frames.images.shape[1:3]
        side_px = self.limits.max_side_px
        num_columns = best_num_columns(len(frames.images), width / height, max_side_px=side_px)
        sheet = draw_sheet(frames.images, frames.timestamps_seconds, num_columns, max_side_px=side_px)
        times = ", ".join(show_seconds(moment) for moment in frames.timestamps_seconds)
        text = f"{headline(frames, video, num_requested=num_frames)} {num_columns} per row, at {times} s"
        artifact = frames_artifact(self.files, video, frames)
        return [text_block(text), image_block(sheet, self.limits)], {**artifact, "num_columns": num_columns}


def best_num_columns(num_frames: int, aspect: float, *, max_side_px: int) -> int:
    """Return the number of columns with the largest cells on a square sheet.

    Args:
        num_frames: Cells, at least 1.
        aspect: Width of a frame divided by its height; wide frames get fewer columns.
        max_side_px: Side of the sheet in pixels.
    """

    def frame_width(num_columns: int) -> float:
        width_px, height_px = _room_px(num_frames, num_columns, max_side_px)
        return min(width_px, height_px * aspect)

    return max(range(1, num_frames + 1), key=frame_width)


def draw_sheet(images: Image, timestamps_seconds: tuple[float, ...], num_columns: int, *, max_side_px: int) -> Image:
    """Lay frames out in rows, each above its time.

    Args:
        images: RGB, `(num_frames, height, width, 3)`, uint8.
        timestamps_seconds: One per frame.
        num_columns: Cells per row; the last row is filled with black.
        max_side_px: Longer side of the sheet in pixels.

    Returns:
        RGB, `(sheet_height, sheet_width, 3)`, uint8.
    """
    room_px = _room_px(len(images), num_columns, max_side_px)
    labelled = zip(images, map(show_seconds, timestamps_seconds), strict=True)
    cells = [_cell(_within(image, *room_px), text) for image, text in labelled]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % num_columns)
    rows = [np.hstack(cells[i : i + num_columns]) for i in range(0, len(cells), num_columns)]
    return fit(np.vstack(rows), max_side_px)


def _room_px(num_frames: int, num_columns: int, max_side_px: int) -> tuple[int, int]:
    """Return the width and height that a frame has on a square sheet, beside gap and label."""
    num_rows = math.ceil(num_frames / num_columns)
    return max(1, max_side_px // num_columns - _GAP_PX), max(1, max_side_px // num_rows - _GAP_PX - _LABEL_PX)


def _within(image: Image, width_px: int, height_px: int) -> Image:
    height, width = image.shape[:2]
    return fit(image, max(1, int(min(width_px / width, height_px / height) * max(width, height))))


def _cell(image: Image, text: str) -> Image:
    cv2 = load_cv2()
    cell = cv2.copyMakeBorder(image, 0, _LABEL_PX + _GAP_PX, 0, _GAP_PX, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    baseline = (1, image.shape[0] + _LABEL_PX - 4)
    cv2.putText(cell, text, baseline, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(cell, dtype=np.uint8)
