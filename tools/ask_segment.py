"""`ask_segment`: a question about a time range, put to a chat model that the caller chose.

The agent's own model need not see pictures: it reads the answer and how settled it was. This module knows no model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.exceptions import ContextOverflowError, ModelTimeoutError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor
from langchain_core.tools import ToolException

from ..confidence import confidence_of, describe_confidence
from ..errors import ConfigError, GenerationError, quote
from ..question import check_question, read_answer, video_question
from ..video import VideoInfo, pairs_plan
from .arguments import QuestionArguments, VideoArguments
from .frame_requests import TimeRequest
from .video_tool import VideoTool

_logger = logging.getLogger(__name__)


class AskSegmentTool(VideoTool):
    """Gives the answer and its confidence in words; the artifact has both as data, with the times that were looked at.

    Attributes:
        chat_model: Who is asked: any LangChain chat model that reads `video` blocks, such as `ChatVReason`.
    """

    arguments: ClassVar[type[VideoArguments]] = QuestionArguments
    default_num_frames: ClassVar[int] = 8

    chat_model: BaseChatModel

    name: str = "ask_segment"
    description: str = (
        "Ask a video model about a range or the whole video. It sees nothing else and does not know this "
        "conversation. Gives its answer and how settled it was."
    )

    @property
    def max_frames(self) -> int:
        """Most frames that are shown, from the limits."""
        return self.limits.max_asked_frames

    def _run(
        self, video: str, question: str, run_manager: CallbackManagerForToolRun | None = None, **times: Any
    ) -> tuple[str, dict[str, Any]]:
        asked, artifact = self._make_question(video, question, **times)
        config: RunnableConfig = {"callbacks": run_manager.get_child()} if run_manager else {}
        with self.files.reading(video), _explaining_failures(video):
            message = self.chat_model.invoke([asked], config)
        return _read_reply(message, artifact)

    async def _arun(
        self, video: str, question: str, run_manager: AsyncCallbackManagerForToolRun | None = None, **times: Any
    ) -> tuple[str, dict[str, Any]]:
        asked, artifact = await run_in_executor(None, self._make_question, video, question, **times)
        config: RunnableConfig = {"callbacks": run_manager.get_child()} if run_manager else {}
        with self.files.reading(video), _explaining_failures(video):
            message = await self.chat_model.ainvoke([asked], config)
        return _read_reply(message, artifact)

    def _make_question(
        self,
        video: str,
        question: str,
        options: list[str] | None = None,
        start_seconds: float | None = None,
        stop_seconds: float | None = None,
        num_frames: int = default_num_frames,
    ) -> tuple[HumanMessage, dict[str, Any]]:
        """Return the message to send, and what is known of the call before its answer."""
        try:
            check_question(question, options or [])
        except ConfigError as exc:
            raise ToolException(str(exc)) from exc
        request = TimeRequest(None, start_seconds, stop_seconds, num_frames)
        moments = _moments(request, self.files.info(video), video)
        path = self.files.paths[video]
        message = video_question(path, question, options=options or [], timestamps_seconds=moments)
        known = {"video": video, "path": path, "question": question, "options": options or []}
        return message, {**known, "timestamps_seconds": list(moments)}


@contextmanager
def _explaining_failures(video: str) -> Iterator[None]:
    """Turn what the chat model raises into a message for the agent; the full message is logged.

    Raises:
        ToolException: Time ran out, the prompt does not fit, or decoding failed.
    """
    try:
        yield
    except (ModelTimeoutError, ContextOverflowError, GenerationError) as exc:
        _logger.warning("a question about %r was not answered: %s", video, exc)
        raise ToolException(f"the video model did not answer about {quote(video)}: {_remedy(exc)}") from exc


def _remedy(error: Exception) -> str:
    if isinstance(error, ModelTimeoutError):
        return "its time ran out; ask with fewer frames, and if that fails too, tell the user to raise its timeout"
    if isinstance(error, ContextOverflowError):
        return "the frames do not fit into its context; ask with fewer frames"
    return (
        f"it failed ({type(error).__name__}); try fewer frames, and if that fails too, tell the user that the model "
        "failed, not the video"
    )


def _moments(request: TimeRequest, info: VideoInfo, name: str) -> tuple[float, ...]:
    """Return times in temporal pairs, the unit of video models; an odd number of frames is rounded down."""
    if info.kind == "image":
        return request.resolve(info, name)
    start, stop = request.span(info, name)
    return pairs_plan(start, stop, num_frames=max(2, request.num_frames // 2 * 2)).timestamps_seconds


def _read_reply(message: AIMessage, artifact: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    answer, confidence = read_answer(message, artifact["options"]), confidence_of(message)
    first_line = "It gave no answer that could be read." if answer["text"] is None else f"Answer: {answer['text']}"
    text = "\n".join([first_line, *describe_confidence(confidence)])
    return text, {**artifact, "answer": answer["text"], "choice": answer["choice"], "confidence": confidence.to_dict()}
