"""`video_tools`: the tools of this folder, bound to the caller's files."""

from __future__ import annotations

import os
from collections.abc import Mapping

from langchain_core.tools import BaseTool

from .contact_sheet import ContactSheetTool
from .files import VideoFiles
from .limits import ToolLimits
from .sample_frames import SampleFramesTool
from .video_info import VideoInfoTool
from .zoom import ZoomTool


def video_tools(
    video: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]], *, limits: ToolLimits | None = None
) -> list[BaseTool]:
    """Return tools with which a model looks at videos that the caller chose.

    Args:
        video: A path, or paths by the names that the model shall use. The model sees and gives names only.
        limits: Sizes and counts of one call; the model is told and cannot change them.

    Returns:
        `video_info`, `contact_sheet`, `sample_frames` and `zoom`.

    Raises:
        ConfigError: `video` names no file.
        VideoError: A file is missing or cannot be opened.
    """
    files = VideoFiles.bind(video)
    bounds = limits or ToolLimits()
    kinds = (VideoInfoTool, ContactSheetTool, SampleFramesTool, ZoomTool)
    return [kind(files=files, limits=bounds) for kind in kinds]
