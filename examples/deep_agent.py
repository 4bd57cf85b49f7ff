"""A deep agent (`deepagents`) that sends its questions about a video to the video agent, and looks itself with tools.

Run: pip install deepagents; python examples/deep_agent.py
The bundled model cannot plan, so here scripts say what the two models write; tools, grammar and parser are real. With
real models, `ChatVReason(model="Qwen/Qwen2.5-VL-7B-Instruct")` or any chat model that calls tools, leave out the
scripts and the middleware.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from deepagents import create_deep_agent
    from langchain.agents.middleware import ModelRequest, wrap_model_call
except ImportError:
    sys.exit("this example needs deepagents; run: pip install deepagents 'vreason-agent[agents]'")

from vreason_agent.chat_model import ChatVReason
from vreason_agent.graphs.video_agent import build_video_agent
from vreason_agent.model.scripted import load_scripted
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip
from vreason_agent.tools import ToolLimits, video_tools

CALL = '<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'
PLANNER = (
    CALL.format(name="video_info", arguments="{}"),
    CALL.format(name="task", arguments='{"description": "What is in the clip?", "subagent_type": "video"}'),
    "<answer>the video agent saw a few colored shapes</answer>",
)
WATCHER = (
    CALL.format(name="sample_frames", arguments='{"timestamps_seconds": [1.0, 2.0]}'),
    "<answer>a few colored shapes</answer>",
)


def steps(written: tuple[str, ...]) -> Any:
    """Return a script: as many steps were taken as the conversation holds results of tools."""
    return lambda prompt: written[prompt.count("</tool_response>")]


def showing(*names: str) -> Any:
    """Show a model some of the tools and no system prompt: all of them are longer than the bundled model's context."""

    @wrap_model_call
    def shown(request: ModelRequest, handler: Any) -> Any:
        tools = [tool for tool in request.tools if getattr(tool, "name", "") in names]
        return handler(request.override(tools=tools, system_message=None))

    return shown


def main() -> None:
    load_scripted(steps(PLANNER), name="planner")
    load_scripted(steps(WATCHER), name="watcher")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.mp4"
        write_clip(path, make_clip(seed=0))
        limits = ToolLimits(max_frames=4, max_side_px=64)
        watcher = build_video_agent(
            ChatVReason(model="watcher"), {"the clip": path}, limits=limits, middleware=[showing("sample_frames")]
        )
        described = {"name": "video", "description": "answers questions about the clip", "runnable": watcher}
        agent = create_deep_agent(
            ChatVReason(model="planner"),
            video_tools({"the clip": path}, limits=limits),
            subagents=[described],
            middleware=[showing("video_info", "task")],
        )
        for message in agent.invoke({"messages": [("human", "What is in the clip?")]})["messages"]:
            calls = [f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", [])]
            print(f"{message.type}: {message.text} {' '.join(calls)}".rstrip())


if __name__ == "__main__":
    main()
