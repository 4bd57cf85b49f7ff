"""What the test clip shows, and reading it back from a tool's image blocks."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from langchain_core.tools import BaseTool
from numpy.typing import NDArray

from vreason_agent.graphs import ScriptedChatModel, ScriptedReply
from vreason_agent.tools import video_tools

EXAMPLES: dict[str, dict[str, Any]] = {
    "video_info": {},
    "find_scenes": {},
    "contact_sheet": {},
    "sample_frames": {},
    "zoom": {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0},
    "ask_segment": {"question": "Which color?"},
}
FPS, NUM_FRAMES, WIDTH, HEIGHT = 10.0, 40, 320, 240


def frame_level(index: int) -> int:
    """Gray level of frame `index`."""
    return 20 + 5 * index


def all_tools(video: Any, **options: Any) -> list[BaseTool]:
    """Every tool there is, `ask_segment` with a model that always says the same."""
    chat_model = ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.9})] * 20)
    return video_tools(video, **{"chat_model": chat_model, "scenes": True, **options})


def tool_named(name: str, video: Any, **options: Any) -> BaseTool:
    """One of the tools, raising instead of answering with an error message."""
    tool = next(tool for tool in all_tools(video, **options) if tool.name == name)
    tool.handle_tool_error = False
    return tool


def message(tool: BaseTool, **args: Any) -> Any:
    """Call a tool as an agent does; the result is a `ToolMessage`."""
    return tool.invoke({"type": "tool_call", "name": tool.name, "id": "call-1", "args": args})


def images_of(content: Any) -> list[NDArray[np.uint8]]:
    """The decoded images of a message's content, RGB `(height, width, 3)`."""
    blocks = [block for block in content if block["type"] == "image"]
    return [decode(base64.b64decode(block["base64"])) for block in blocks]


def decode(jpeg: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG to RGB."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[:, :, ::-1].astype(np.uint8)


def shown_index(image: NDArray[np.uint8]) -> int:
    """Which frame an image shows, from the gray of its lower right corner."""
    height, width = image.shape[:2]
    return round((float(image[height * 3 // 4 :, width * 3 // 4 :].mean()) - frame_level(0)) / 5)
