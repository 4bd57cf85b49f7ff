"""Several questions about one video: what one of them had the model read, the next ones do not read again.

A session is a video and the frames to look at, and nothing else: what is kept lies in the loaded model, where messages
and graphs find it too. This module knows messages, and no model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from vreason_agent.errors import ConfigError, quote
from vreason_agent.question import video_question


class VideoSession:
    """Asks a chat model about one video; made by `ChatVReason.open_video`.

    Attributes:
        num_frames: Frames that the next question looks at, even.
        max_frames: Frames of the largest number that is to come: it fixes the distance of the two frames of a pair, so
            that doubling the number keeps all earlier pairs.
    """

    def __init__(
        self,
        chat_model: BaseChatModel,
        video: str | os.PathLike[str],
        *,
        num_frames: int,
        max_frames: int,
        start_seconds: float | None = None,
        stop_seconds: float | None = None,
    ) -> None:
        """Choose video and frames; no file is opened before the first question."""
        self._chat_model, self._video = chat_model, video
        self._start_seconds, self._stop_seconds = start_seconds, stop_seconds
        self.num_frames, self.max_frames = num_frames, max(num_frames, max_frames)

    def message(self, question: str, *, options: Sequence[str] = ()) -> HumanMessage:
        """Return the message that asks, for a chain or a conversation of yours; raises as `video_question` does."""
        return video_question(
            self._video,
            question,
            options=options,
            num_frames=self.num_frames,
            max_frames=self.max_frames,
            start_seconds=self._start_seconds,
            stop_seconds=self._stop_seconds,
        )

    def ask(self, question: str, *, options: Sequence[str] = (), **kwargs: Any) -> AIMessage:
        """Return the answer; `usage_metadata["input_token_details"]["cache_read"]` tokens of it were read before.

        Args:
            question: What is asked, not empty.
            options: Texts to choose from, at least two; none for an open question.
            **kwargs: Of this call, as `ChatVReason.invoke` takes them.
        """
        return self._chat_model.invoke([self.message(question, options=options)], **kwargs)

    async def aask(self, question: str, *, options: Sequence[str] = (), **kwargs: Any) -> AIMessage:
        """Do the same without blocking the event loop."""
        return await self._chat_model.ainvoke([self.message(question, options=options)], **kwargs)

    def stream(self, question: str, *, options: Sequence[str] = (), **kwargs: Any) -> Iterator[AIMessageChunk]:
        """Do the same, chunk by chunk."""
        return self._chat_model.stream([self.message(question, options=options)], **kwargs)

    def add_frames(self, num_frames: int | None = None) -> None:
        """Have the next questions look at more frames.

        Args:
            num_frames: How many more, even. `None` doubles the number: then all earlier pairs are kept, and only the
                new ones between them are encoded.

        Raises:
            ConfigError: If the number is odd or below 2.
        """
        more = self.num_frames if num_frames is None else num_frames
        if more < 2 or more % 2:
            msg = f"num_frames={quote(num_frames)}: frames are read in pairs; add an even number of at least 2"
            raise ConfigError(msg)
        self.num_frames += more
        self.max_frames = max(self.max_frames, self.num_frames)
