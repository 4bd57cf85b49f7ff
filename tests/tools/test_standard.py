"""LangChain's own tool suites, each for every tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from tests.tools.frames import all_tools


class _Bound:
    """Gives the suites a tool bound to the clip."""

    tool_name = "video_info"
    example: dict[str, Any] = {}  # noqa: RUF012
    clip: Path

    @pytest.fixture(autouse=True)
    def _bind(self, clip: Path) -> None:
        self.clip = clip

    @property
    def tool_constructor(self) -> BaseTool:
        return next(tool for tool in all_tools(self.clip) if tool.name == self.tool_name)

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return self.example


class _SampleFrames(_Bound):
    tool_name = "sample_frames"
    example = {"start_seconds": 1.0, "stop_seconds": 3.0, "num_frames": 4}  # noqa: RUF012


class _Zoom(_Bound):
    tool_name = "zoom"
    example = {"left": 0.0, "top": 0.0, "right": 0.5, "bottom": 0.5, "timestamps_seconds": [1.5]}  # noqa: RUF012


class _ContactSheet(_Bound):
    tool_name = "contact_sheet"
    example = {"num_frames": 6}  # noqa: RUF012


class _FindScenes(_Bound):
    tool_name = "find_scenes"
    example = {"stop_seconds": 3.0}  # noqa: RUF012


class _AskSegment(_Bound):
    tool_name = "ask_segment"
    example = {"question": "Which color?", "options": ["red", "blue"], "start_seconds": 1.0, "num_frames": 4}  # noqa: RUF012


class TestVideoInfoUnit(_Bound, ToolsUnitTests):
    pass


class TestVideoInfoIntegration(_Bound, ToolsIntegrationTests):
    pass


class TestSampleFramesUnit(_SampleFrames, ToolsUnitTests):
    pass


class TestSampleFramesIntegration(_SampleFrames, ToolsIntegrationTests):
    pass


class TestZoomUnit(_Zoom, ToolsUnitTests):
    pass


class TestZoomIntegration(_Zoom, ToolsIntegrationTests):
    pass


class TestContactSheetUnit(_ContactSheet, ToolsUnitTests):
    pass


class TestContactSheetIntegration(_ContactSheet, ToolsIntegrationTests):
    pass


class TestFindScenesUnit(_FindScenes, ToolsUnitTests):
    pass


class TestFindScenesIntegration(_FindScenes, ToolsIntegrationTests):
    pass


class TestAskSegmentUnit(_AskSegment, ToolsUnitTests):
    pass


class TestAskSegmentIntegration(_AskSegment, ToolsIntegrationTests):
    pass
