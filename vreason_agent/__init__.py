"""Local video question answering whose confidence can be inspected.

The public names load on first use: importing the package imports neither torch, transformers, OpenCV, LangGraph nor
LangChain. This module knows only where each name lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "ChatVReason": "vreason_agent.chat_model",
    "DecodingTrace": "vreason_agent.decoding",
    "VReasonConfig": "vreason_agent.decoding",
    "VReasonError": "vreason_agent.errors",
    "build_video_qa_graph": "vreason_agent.graphs",
    "confidence_of": "vreason_agent.confidence",
    "load_model": "vreason_agent.model",
    "probe": "vreason_agent.video",
    "read_frames": "vreason_agent.video",
    "video_question": "vreason_agent.question",
    "video_tools": "vreason_agent.tools",
    "vreason_generate": "vreason_agent.decoding",
}
__all__ = [
    "ChatVReason",
    "DecodingTrace",
    "VReasonConfig",
    "VReasonError",
    "__version__",
    "build_video_qa_graph",
    "confidence_of",
    "load_model",
    "probe",
    "read_frames",
    "video_question",
    "video_tools",
    "vreason_generate",
]

if TYPE_CHECKING:
    from vreason_agent.chat_model import ChatVReason
    from vreason_agent.confidence import confidence_of
    from vreason_agent.decoding import DecodingTrace, VReasonConfig, vreason_generate
    from vreason_agent.errors import VReasonError
    from vreason_agent.graphs import build_video_qa_graph
    from vreason_agent.model import load_model
    from vreason_agent.question import video_question
    from vreason_agent.tools import video_tools
    from vreason_agent.video.reader import probe, read_frames
else:

    def __getattr__(name: str) -> Any:
        """Import the module that defines a public name when the name is first asked for."""
        if name not in _PUBLIC:
            msg = f"module 'vreason_agent' has no attribute {name!r}; it has: {', '.join(__all__)}"
            raise AttributeError(msg)
        from importlib import import_module

        value = getattr(import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
