"""LangChain tools with which a chat model looks at a video.

The caller binds files; the model can name neither a path nor a limit. Tool messages carry bounded JPEG blocks, and as
artifact the times and indices of what was shown (plain data). An agent, here a LangGraph loop over any chat model that
reads images in tool messages and can call tools:

```python
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from vreason_agent.tools import video_tools


def build_app(chat_model, video, checkpointer=None):
    tools = video_tools({"front door": video})
    model = chat_model.bind_tools(tools)
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=checkpointer)
```

This package knows no model: where a question is to be answered (`ask_segment`), the caller brings one.
"""

from __future__ import annotations

from .arguments import ToolLimits
from .ask_segment import AskSegmentTool
from .contact_sheet import ContactSheetTool
from .find_scenes import FindScenesTool
from .sample_frames import SampleFramesTool
from .toolkit import video_tools
from .video_info import VideoInfoTool
from .zoom import Region, ZoomTool

__all__ = [
    "AskSegmentTool",
    "ContactSheetTool",
    "FindScenesTool",
    "Region",
    "SampleFramesTool",
    "ToolLimits",
    "VideoInfoTool",
    "ZoomTool",
    "video_tools",
]
