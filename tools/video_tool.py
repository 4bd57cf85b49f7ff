"""What every video tool shares: files that only the caller names, limits, and errors that a model can act on.

The model sees names; the caller keeps the paths. This module decodes no frame.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from langchain_core.tools import BaseTool, ToolException
from pydantic import model_validator

from ..errors import ConfigError, VideoError, quote
from ..video import DEFAULT_OPTIONS, ReadOptions, VideoInfo, probe
from .arguments import ToolLimits, VideoArguments, bind_arguments, explain_arguments

_logger = logging.getLogger(__name__)

SINGLE_NAME = "video"
"""What the model calls a file bound alone. Not its file name, which the model would read and anybody may choose."""


@dataclass(frozen=True)
class VideoFiles:
    """Names that a model may use, each with the real path that only the caller chose.

    Attributes:
        paths: Path by name, in the caller's order.
        read_options: How they are read.
    """

    paths: Mapping[str, str]
    read_options: ReadOptions = DEFAULT_OPTIONS

    @classmethod
    def bind(
        cls,
        video: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
        read_options: ReadOptions = DEFAULT_OPTIONS,
    ) -> VideoFiles:
        """Name the files and check that each can be opened.

        Args:
            video: One path (the model calls it "video"), or paths by the names that the model shall use.
            read_options: How they are read; by default in this process and from anywhere.

        Raises:
            ConfigError: No file, an empty name, or something that is neither a path nor a mapping.
            VideoError: A file is missing or cannot be opened.
        """
        named = video if isinstance(video, Mapping) else {SINGLE_NAME: video}
        if not named or not all(isinstance(name, str) and name.strip() for name in named):
            msg = f"video={quote(video)} names no file: pass a path, or a mapping such as {{'front door': 'door.mp4'}}"
            raise ConfigError(msg)
        paths = {name: probe(_check_path(path), read_options).path for name, path in named.items()}
        return cls(paths, read_options)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a model may use."""
        return tuple(self.paths)

    def info(self, name: str) -> VideoInfo:
        """Describe the file as it is now.

        Raises:
            ToolException: It can no longer be opened.
        """
        with self.reading(name) as path:
            return probe(path, self.read_options)

    @contextmanager
    def reading(self, name: str) -> Iterator[str]:
        """Yield the path of `name`; errors about it become messages for the model, without the path.

        The full message is logged, and is the `__cause__` of the exception.

        Raises:
            ToolException: The block raised a `VideoError` or a `ConfigError`.
        """
        path = self.paths[name]
        try:
            yield path
        except (VideoError, ConfigError) as exc:
            _logger.warning("%r could not be read for a model: %s", name, exc)
            msg = (
                f"{quote(name)} could not be read as asked ({type(exc).__name__}): try other times or fewer frames; "
                "if that fails too, tell the user that this video cannot be read"
            )
            raise ToolException(msg) from exc


def _check_path(path: object) -> str | os.PathLike[str]:
    if not isinstance(path, str | os.PathLike):
        msg = f"{quote(path)} is not a path: pass one path, or a mapping from names to paths for several videos"
        raise ConfigError(msg)
    return path


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
            self.args_schema = self._make_arguments_class()
        return self

    @property
    def max_frames(self) -> int:
        """Most frames of one call, from the limits."""
        return self.limits.max_frames

    def _make_arguments_class(self) -> Any:
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
        self.args_schema = self._make_arguments_class()
