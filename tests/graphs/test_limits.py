"""Bounds on files hold in whatever reads them: the graph, the tools, the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from vreason_agent.errors import VideoTooLargeError
from vreason_agent.graphs import ScriptedChatModel, ScriptedReply, build_video_qa_graph
from vreason_agent.graphs.video_agent import build_video_agent
from vreason_agent.tools import video_tools
from vreason_agent.video import Limits

LIMITS = Limits(max_seconds=0.5)
MODEL = ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.9})])


def test_a_graph_refuses_a_file_over_its_limits(clip: Path) -> None:
    graph = build_video_qa_graph(MODEL, limits=LIMITS)
    with pytest.raises(VideoTooLargeError, match=r"max_seconds=0\.5; cut the part you need"):
        graph.invoke({"video": str(clip), "question": "What is seen?"})


def test_tools_and_their_agent_refuse_a_file_over_their_limits(clip: Path) -> None:
    with pytest.raises(VideoTooLargeError, match=r"max_seconds=0\.5; cut the part you need"):
        video_tools(clip, file_limits=LIMITS)
    with pytest.raises(VideoTooLargeError, match=r"max_seconds=0\.5; cut the part you need"):
        build_video_agent(MODEL, clip, file_limits=LIMITS)
