"""LangChain's own tool suites, each for every tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from tests.tools.frames import all_tools

ARGUMENTS: dict[str, dict[str, Any]] = {
    "video_info": {},
    "sample_frames": {"start_seconds": 1.0, "stop_seconds": 3.0, "num_frames": 4},
    "zoom": {"left": 0.0, "top": 0.0, "right": 0.5, "bottom": 0.5, "timestamps_seconds": [1.5]},
    "contact_sheet": {"num_frames": 6},
    "find_scenes": {"stop_seconds": 3.0},
    "ask_segment": {"question": "Color?", "options": ["red", "blue"], "start_seconds": 1.0, "num_frames": 4},
}


class _Bound:
    """Gives the suites each tool in turn, bound to the clip."""

    bound_tool: BaseTool

    @pytest.fixture(autouse=True, params=list(ARGUMENTS))
    def _bind(self, clip: Path, request: pytest.FixtureRequest) -> None:
        self.bound_tool = next(tool for tool in all_tools(clip) if tool.name == request.param)

    @property
    def tool_constructor(self) -> BaseTool:
        return self.bound_tool

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return ARGUMENTS[self.bound_tool.name]


class TestUnit(_Bound, ToolsUnitTests):
    pass


class TestIntegration(_Bound, ToolsIntegrationTests):
    pass
