"""`video_tools`: the tools of this folder, bound to the caller's files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from ..video import DEFAULT_OPTIONS, ReadOptions
from .arguments import ToolLimits
from .ask_segment import AskSegmentTool
from .contact_sheet import ContactSheetTool
from .find_scenes import FindScenesTool
from .sample_frames import SampleFramesTool
from .video_info import VideoInfoTool
from .video_tool import VideoFiles
from .zoom import ZoomTool


def video_tools(
    video: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    *,
    limits: ToolLimits | None = None,
    chat_model: BaseChatModel | None = None,
    scenes: bool | None = None,
    read_options: ReadOptions = DEFAULT_OPTIONS,
) -> list[BaseTool]:
    """Return tools with which a model looks at videos that the caller chose.

    Args:
        video: A path, or paths by the names that the model shall use. The model sees and gives names only.
        limits: Sizes and counts of one call; the model is told and cannot change them.
        chat_model: Who answers `ask_segment`; without one that tool is left out.
        scenes: Whether `find_scenes` is among them; by default where its library is installed.
        read_options: How the tools read files; `chat_model` has its own field of this name, for what it reads.

    Returns:
        `video_info`, `find_scenes`, `contact_sheet`, `sample_frames`, `zoom` and `ask_segment`, as far as asked for.

    Raises:
        ConfigError: `video` names no file, or there is no such backend.
        DependencyError: `scenes=True` and the extra `scenes` is not installed, or the backend cannot be loaded.
        VideoError: A file is missing, cannot be opened, or exceeds a limit.
    """
    files = VideoFiles.bind(video, read_options)
    bounds = limits or ToolLimits()
    tools: list[BaseTool] = [VideoInfoTool(files=files, limits=bounds)]
    if scenes or (scenes is None and find_spec("scenedetect")):
        tools.append(FindScenesTool(files=files, limits=bounds))
    tools += [kind(files=files, limits=bounds) for kind in (ContactSheetTool, SampleFramesTool, ZoomTool)]
    if chat_model is not None:
        tools.append(AskSegmentTool(files=files, limits=bounds, chat_model=chat_model))
    return tools
