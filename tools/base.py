"""What every video tool shares: bound files, limits, arguments made from both, and errors that a model can act on.

This module knows nothing about frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

from langchain_core.tools import BaseTool, ToolException
from pydantic import model_validator

from .arguments import VideoArguments, bind_arguments, explain_arguments
from .files import VideoFiles
from .limits import ToolLimits


class VideoTool(BaseTool):
    """A tool over files that the caller chose; `video_tools` makes them.

    `ToolException` and refused arguments become tool messages with `status="error"`, so that an agent goes on; set
    `handle_tool_error` and `handle_validation_error` to False to have them raised. `ainvoke` runs in the default
    executor.

    Attributes:
        files: The bound files.
        limits: What one call may return.
    """

    arguments: ClassVar[type[VideoArguments]] = VideoArguments
    default_num_frames: ClassVar[int] = 1

    files: VideoFiles
    limits: ToolLimits = ToolLimits()
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: bool | str | Callable[[ToolException], Any] | None = True
    handle_validation_error: bool | str | Callable[[Any], str] | None = explain_arguments

    @model_validator(mode="after")
    def _bind_arguments(self) -> Self:
        if self.args_schema is None:
            self.args_schema = self._arguments_class()
        return self

    @property
    def max_frames(self) -> int:
        """Most frames of one call, from the limits."""
        return self.limits.max_frames

    def _arguments_class(self) -> Any:
        return bind_arguments(
            self.arguments,
            tool_name=self.name,
            names=self.files.names,
            max_frames=self.max_frames,
            num_frames=self.default_num_frames,
        )

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out the arguments class, which is made at run time and cannot be pickled by reference."""
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "args_schema": None}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Make the arguments class again."""
        super().__setstate__(state)
        self.args_schema = self._arguments_class()
