"""The MCP server, asked by the SDK's own client: in this process, over stdio, and over streamable HTTP."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.chat_model.conftest import clip, engine
from tests.chat_model.fakes import FakeEngine
from vreason_agent.errors import ConfigError
from vreason_agent.video import ReadOptions

__all__ = ["clip", "engine"]
pytest.importorskip("mcp", reason="the extra `mcp` is not installed")
NAMES = ["list_videos", "probe", "ask_video", "decide", "sample_frames", "zoom", "find_scenes"]
Ask = Callable[..., Any]


@pytest.fixture
def ask(engine: FakeEngine, clip: Path) -> Ask:
    """Return a function that calls a tool of a server over the clip's folder."""
    from mcp.client.client import Client

    from vreason_agent.chat_model import ChatVReason
    from vreason_agent.mcp_server import create_mcp_server

    server = create_mcp_server(ChatVReason, ReadOptions(roots=(str(clip.parent),)))

    async def ask(name: str, **arguments: Any) -> Any:
        told = arguments.pop("progress", None)
        async with Client(server) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == NAMES
            return await client.call_tool(name, arguments, progress_callback=told)

    return ask


async def test_a_question_is_answered_with_progress_and_its_confidence_in_words(ask: Ask, clip: Path) -> None:
    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    reply = await ask("ask_video", video=clip.name, question="Which color?", options=["red", "blue"], progress=note)
    answer = reply.structured_content
    assert (answer["best_guess"], answer["probability_correct"]) == ("red", None)
    assert answer["decision"] in ("accept", "abstain")
    assert any("No calibrator" in sentence for sentence in answer["about_confidence"])
    assert told[:2] == ["loading the model", "attempt 1: looking at 4 frames"]


async def test_pictures_are_bounded_and_show_what_was_asked_for(ask: Ask, clip: Path) -> None:
    seen = await ask("sample_frames", video=clip.name, timestamps_seconds=[5.0])
    (image,) = (block for block in seen.content if block.type == "image")
    data = base64.b64decode(image.data)
    assert (image.mime_type, len(data) < 100_000) == ("image/jpeg", True)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert float(pixels.mean()) == pytest.approx(120, abs=4)
    assert (await ask("sample_frames", video=clip.name, num_frames=99)).is_error
    zoomed = await ask("zoom", video=clip.name, timestamp_seconds=1.0, left=0.0, top=0.0, right=0.6, bottom=0.6)
    assert [block.type for block in zoomed.content].count("image") == 1
    assert "compared" in (await ask("find_scenes", video=clip.name)).content[0].text


async def test_files_are_named_and_nothing_outside_the_roots_is_read(ask: Ask, clip: Path) -> None:
    assert clip.name in (await ask("list_videos")).content[0].text
    assert (await ask("probe", video=clip.name)).structured_content["num_frames"] == 64
    for video, told in (
        ("/etc/passwd", "outside the allowed folders"),
        (f"../{clip.parent.name}/../nothing.mp4", "list_videos"),
        ("https://example.org/a.mp4", "URL"),
    ):
        refused = await ask("probe", video=video)
        assert refused.is_error
        assert told in refused.content[0].text
    empty = await ask("ask_video", video=clip.name, question=" ")
    assert (empty.is_error, "empty" in empty.content[0].text) == (True, True)


def test_a_server_without_roots_is_refused() -> None:
    from vreason_agent.mcp_server import create_mcp_server

    with pytest.raises(ConfigError, match="give --root DIR"):
        create_mcp_server(lambda: None, ReadOptions())


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_another_process_serves_the_same_tools(tmp_path: Path, transport: str) -> None:
    import socket

    from mcp import StdioServerParameters
    from mcp.client.client import Client

    command = [sys.executable, "-m", "vreason_agent"]
    subprocess.run([*command, "demo-video", str(tmp_path / "clip.mp4")], check=True, capture_output=True)
    arguments = ["-m", "vreason_agent", "mcp", "--root", str(tmp_path)]
    asked = {"video": "clip.mp4", "question": "Which shape does the green object have?", "choices": ["circle", "cross"]}

    async def check(target: Any) -> None:
        async with Client(target) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == NAMES
            reply = await client.call_tool("decide", {**asked, "num_frames": 32})
            assert reply.structured_content["choice"] == "circle"
            assert (await client.call_tool("probe", {"video": "/etc/passwd"})).is_error

    if transport == "stdio":
        await check(StdioServerParameters(command=sys.executable, args=arguments))
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, *arguments, "--http", str(port)], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        await check(f"http://127.0.0.1:{port}/mcp")
        process.terminate()
