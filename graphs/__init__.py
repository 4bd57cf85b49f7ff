"""LangGraph graphs over any chat model that reports a confidence.

`build_video_qa_graph` answers one question about one video and tries again with more frames while its answer is not
settled.
"""

from .budget import Budget
from .context import VideoQAContext
from .frame_policy import FramePolicy
from .policy import AcceptPolicy, Ladder
from .scripted_model import ScriptedChatModel, ScriptedReply
from .state import Attempt, Decision, Sampling, Spent, VideoQAInput, VideoQAOutput, VideoQAState
from .video_qa import build_video_qa_graph

__all__ = [
    "AcceptPolicy",
    "Attempt",
    "Budget",
    "Decision",
    "FramePolicy",
    "Ladder",
    "Sampling",
    "ScriptedChatModel",
    "ScriptedReply",
    "Spent",
    "VideoQAContext",
    "VideoQAInput",
    "VideoQAOutput",
    "VideoQAState",
    "build_video_qa_graph",
]
