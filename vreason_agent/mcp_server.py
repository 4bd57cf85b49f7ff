"""Tools for agents of others over the Model Context Protocol: ask about videos, look at frames, find scenes.

A client names videos by their paths inside the allowed folders; every file is opened under these roots, every picture
is bounded in size and number. This module needs the extra `mcp` and knows no transport.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from langchain_core.tools import ToolException
from pydantic import Field, ValidationError

from vreason_agent import __version__
from vreason_agent.batch_run import VIDEO_SUFFIXES
from vreason_agent.confidence import Confidence, describe_confidence
from vreason_agent.errors import ConfigError, DependencyError, VideoNotFoundError, VReasonError, quote
from vreason_agent.qa import VideoQuestion, aanswer_events
from vreason_agent.tools import ToolLimits, video_tools
from vreason_agent.video import ReadOptions, local_path, probe

try:
    from mcp.server.mcpserver import Context, Image, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError as exc:
    raise DependencyError("the MCP server needs mcp 2; run: pip install 'vreason-agent[mcp]'") from exc

MAX_LISTED = 200
INSTRUCTIONS = (
    "Looks at videos on this machine. list_videos says which there are; ask_video lets a local video-language model "
    "answer with a confidence; sample_frames and zoom show you pictures to look at yourself. Times are seconds."
)
Video = Annotated[str, Field(description="Path of the video, as list_videos names it")]
Seconds = Annotated[float | None, Field(ge=0)]
FrameCount = Annotated[int, Field(ge=2, le=64, multiple_of=2)]


def create_mcp_server(make_chat_model: Callable[[], Any], read_options: ReadOptions) -> MCPServer[Any]:
    """Return the server with its tools.

    Args:
        make_chat_model: Called once, with the first question: loading takes seconds.
        read_options: How files are read; its `roots` are the folders that clients may name files in.

    Raises:
        ConfigError: `read_options` names no roots.
    """
    if not read_options.roots:
        raise ConfigError("an MCP server needs the folders whose videos it may show; give --root DIR")
    tools = _Tools(make_chat_model, read_options)
    server: MCPServer[Any] = MCPServer("vreason-agent", instructions=INSTRUCTIONS, version=__version__)
    for function in (
        *(tools.list_videos, tools.probe, tools.ask_video, tools.decide),
        *(tools.sample_frames, tools.zoom, tools.find_scenes),
    ):
        is_structured = function in (tools.probe, tools.ask_video, tools.decide)
        server.tool(structured_output=is_structured)(_telling(function))
    return server


def _telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a tool's errors reach the client in words; the SDK keeps back what other exceptions say."""

    @functools.wraps(function)
    async def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except (VReasonError, ToolException, ValidationError) as exc:
            raise ToolError(str(exc)) from exc

    return told


@dataclass
class _Tools:
    make_chat_model: Callable[[], Any]
    read_options: ReadOptions
    _chat_model: Any = field(default=None, init=False)
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def list_videos(self) -> str:
        """List the videos that can be asked about, with their sizes."""
        return await asyncio.to_thread(self._list)

    async def probe(self, video: Video) -> dict[str, Any]:
        """Tell a video's length, picture size, frame rate and codec."""
        info = await asyncio.to_thread(probe, self._path(video), self.read_options)
        return {**info.to_dict(), "path": video}

    async def ask_video(
        self,
        video: Video,
        question: str,
        ctx: Context[Any],
        options: Annotated[list[str] | None, Field(description="Possible answers, at least two")] = None,
        start_seconds: Seconds = None,
        stop_seconds: Seconds = None,
        num_frames: FrameCount = 4,
        max_frames: FrameCount = 32,
    ) -> dict[str, Any]:
        """Answer a question about a video with a local model.

        It looks at few frames first and at twice as many until the answer settles; answer is null if it never does,
        then best_guess is what it leaned to. Read about_confidence before relying on it.
        """
        asked = VideoQuestion(
            video=self._path(video),
            question=question,
            options=options or [],
            start_seconds=start_seconds,
            stop_seconds=stop_seconds,
            num_frames=num_frames,
            max_frames=max_frames,
        )
        await ctx.report_progress(0, None, "loading the model")
        chat_model = await self._loaded()
        ended: dict[str, Any] = {}
        async for event in aanswer_events(chat_model, asked, read_options=self.read_options):
            if event["event"] == "sample":
                message = f"attempt {event['attempt'] + 1}: looking at {event['num_frames']} frames"
                await ctx.report_progress(event["attempt"] + 1, None, message)
            ended = event
        return _answer(ended["result"])

    async def decide(
        self,
        video: Video,
        question: str,
        ctx: Context[Any],
        choices: Annotated[list[str] | None, Field(description="Alternatives; without them yes or no")] = None,
        num_frames: FrameCount = 16,
    ) -> dict[str, Any]:
        """Give a probability for each alternative (not calibrated), after one look at the video."""
        from vreason_agent.decision_model import Choice, Noul, VReasonDecisionModel

        await ctx.report_progress(0, None, "loading the model")
        chat_model = await self._loaded()
        state: dict[str, Any] = {"type": "video", "url": self._path(video), "extras": {"num_frames": num_frames}}
        asked = (
            Choice(criteria=dict.fromkeys(choices), instructions=question) if choices else Noul(instructions=question)
        )
        model = VReasonDecisionModel(chat_model=chat_model)
        response = await asyncio.to_thread(model.invoke, {"state": [state], "questions": {"it": asked}})
        answer: dict[str, Any] = response.answers["it"].model_dump()
        return answer

    async def sample_frames(
        self,
        video: Video,
        num_frames: Annotated[int, Field(ge=1, le=8)] = 4,
        start_seconds: Seconds = None,
        stop_seconds: Seconds = None,
        timestamps_seconds: Annotated[
            list[float] | None, Field(description="Very moments, instead", max_length=8)
        ] = None,
    ) -> list[Any]:
        """Show frames of a video: evenly spread over a part of it, or at given moments."""
        part = {"start_seconds": start_seconds, "stop_seconds": stop_seconds, "num_frames": num_frames}
        given = {"timestamps_seconds": timestamps_seconds} if timestamps_seconds else part
        return await self._look("sample_frames", video, given)

    async def zoom(
        self,
        video: Video,
        timestamp_seconds: Annotated[float, Field(ge=0)],
        left: Annotated[float, Field(ge=0, le=1)],
        top: Annotated[float, Field(ge=0, le=1)],
        right: Annotated[float, Field(ge=0, le=1)],
        bottom: Annotated[float, Field(ge=0, le=1)],
    ) -> list[Any]:
        """Show a region of one frame, enlarged; its edges are shares of the picture, from 0 to 1."""
        region = {"left": left, "top": top, "right": right, "bottom": bottom}
        return await self._look("zoom", video, {"timestamps_seconds": [timestamp_seconds], **region})

    async def find_scenes(self, video: Video, start_seconds: Seconds = None, stop_seconds: Seconds = None) -> list[Any]:
        """Tell when shots change and when most moves, without pictures."""
        return await self._look("find_scenes", video, {"start_seconds": start_seconds, "stop_seconds": stop_seconds})

    async def _look(self, name: str, video: str, arguments: dict[str, Any]) -> list[Any]:
        def look() -> Any:
            bound = video_tools(
                self._path(video), limits=ToolLimits(), scenes=name == "find_scenes", read_options=self.read_options
            )
            tool = next(tool for tool in bound if tool.name == name)
            return tool.invoke({key: value for key, value in arguments.items() if value is not None})

        return [_block(block) for block in _blocks(await asyncio.to_thread(look))]

    def _path(self, video: str) -> str:
        """Return where a named video lies: inside a root, or at the absolute path that was given; roots are checked."""
        path = local_path(video)
        if os.path.isabs(path):
            return path
        inside = [os.path.join(root, path) for root in self.read_options.roots or ()]
        found = next((candidate for candidate in inside if os.path.exists(candidate)), None)
        if found is None:
            msg = f"{quote(video)} is not there; list_videos names the videos that are"
            raise VideoNotFoundError(msg)
        return found

    def _list(self) -> str:
        lines = []
        for root in map(Path, self.read_options.roots or ()):
            files = sorted(file for file in root.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
            lines += [f"{file.relative_to(root)}  {file.stat().st_size / 1e6:.1f} MB" for file in files]
        more = [f"and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
        return "\n".join([*lines[:MAX_LISTED], *more]) or "There is no video in the allowed folders."

    async def _loaded(self) -> Any:
        async with self._loading:
            if self._chat_model is None:
                self._chat_model = await asyncio.to_thread(self._load)
        return self._chat_model

    def _load(self) -> Any:
        chat_model = self.make_chat_model()
        options = replace(chat_model.read_options, roots=self.read_options.roots)
        chat_model = chat_model.for_call(None, {"read_options": options, "max_frames": 64})
        _ = chat_model.engine
        return chat_model


def _answer(result: dict[str, Any]) -> dict[str, Any]:
    confidence = Confidence.from_dict(result["confidence"])
    return {
        "answer": result["answer"],
        "choice": result["choice"],
        "best_guess": result["best_guess"]["answer"],
        "probability_correct": confidence.probability,
        "about_confidence": describe_confidence(confidence),
        "decision": result["decision"]["action"],
        "reason": result["decision"]["reason"],
        "reasoning": result["attempts"][result["best_guess"]["attempt"]]["reasoning"],
        "frames_seconds": result["frames"],
        "num_attempts": len(result["attempts"]),
        "warnings": result["warnings"],
    }


def _blocks(content: Any) -> Sequence[Any]:
    return [content] if isinstance(content, str) else content


def _block(block: Any) -> Any:
    """Return a block of a LangChain tool as what MCP sends."""
    if isinstance(block, str):
        return block
    if block["type"] == "text":
        return block["text"]
    return Image(data=base64.b64decode(block["base64"]), format="jpeg")
