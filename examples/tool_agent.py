"""The tool-calling agent: a chat model that looks at a video with tools before it answers.

Run: python examples/tool_agent.py  (needs the extra `agents`)
The bundled model cannot plan, so here a script says what it writes; template, tools, grammar and parser are real. With
`ChatVReason(model="Qwen/Qwen2.5-VL-7B-Instruct")`, or any chat model that calls tools and reads images, leave script
and middleware out.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    from langchain.agents.middleware import ModelRequest, wrap_model_call
except ImportError:
    sys.exit("this example needs the extra `agents`; run: pip install 'vreason-agent[agents]'")

from vreason_agent.chat_model import ChatVReason
from vreason_agent.graphs.video_agent import build_video_agent
from vreason_agent.model.scripted import load_scripted
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip
from vreason_agent.tools import ToolLimits

CALL = '<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'
STEPS = (
    "How long is it?\n" + CALL.format(name="video_info", arguments="{}"),
    "Now two frames.\n" + CALL.format(name="sample_frames", arguments='{"timestamps_seconds": [1.0, 2.0]}'),
    "<answer>a few colored shapes</answer>",
)


def script(prompt: str) -> str:
    """Return the next step: as many were taken as the conversation holds results of tools."""
    return STEPS[prompt.count("</tool_response>")]


@wrap_model_call
def two_tools(request: ModelRequest, handler: Any) -> Any:
    """Show the model two of the tools: the descriptions of all are longer than the bundled model's context."""
    shown = [tool for tool in request.tools if getattr(tool, "name", "") in ("video_info", "sample_frames")]
    return handler(request.override(tools=shown))


def main() -> None:
    load_scripted(script)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.mp4"
        write_clip(path, make_clip(seed=0))
        limits = ToolLimits(max_frames=4, max_side_px=64)
        chat_model = ChatVReason(model="scripted")
        agent = build_video_agent(chat_model, {"the clip": path}, limits=limits, middleware=[two_tools])
        for message in agent.invoke({"messages": [("human", "What is in the clip?")]})["messages"]:
            calls = [f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", [])]
            print(f"{message.type}: {message.text} {' '.join(calls)}".rstrip())


if __name__ == "__main__":
    main()
