"""A chat model that plays a script: answers and signals in a given order, without weights.

For tests of graphs and of applications built on them. It streams word by word like a real one and keeps what it was
asked. This module knows no graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from ..confidence import SIGNAL_NAMES, Confidence
from ..errors import ConfigError


@dataclass(frozen=True)
class ScriptedReply:
    """One line of the script.

    Attributes:
        answer: What the model answers; `None` plays an output from which no answer can be read.
        signals: Raw signals by name; those not given are `None`.
        choice: Option letter, if it names one.
        reasoning: Thinking before the answer.
        output_tokens: Tokens it claims to have written.
    """

    answer: str | None
    signals: Mapping[str, float | None] = field(default_factory=dict)
    choice: str | None = None
    reasoning: str = ""
    output_tokens: int = 20

    def confidence(self) -> Confidence:
        """Return the record that the message carries."""
        kind = "unparsed" if self.answer is None else "choice" if self.choice else "open"
        signals = {**dict.fromkeys(SIGNAL_NAMES), **self.signals}
        return Confidence(answer={"text": self.answer, "choice": self.choice, "kind": kind}, signals=signals)


class ScriptedChatModel(BaseChatModel):
    """Gives the replies of a script one after another.

    Attributes:
        replies: The script.
        requests: What it was asked so far: messages and keyword arguments of each call.
        reads_video_blocks: Graphs send it the video and the times, not the frames.
    """

    reads_video_blocks: ClassVar[bool] = True

    replies: list[ScriptedReply]
    requests: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "vreason-scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self._next_reply(messages, kwargs)
        message = AIMessage(content=reply.answer or "", **_metadata(reply), **_reasoning(reply))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._next_reply(messages, kwargs)
        if reply.reasoning:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", **_reasoning(reply)))
        for index, word in enumerate((reply.answer or "").split()):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word if index == 0 else f" {word}"))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last", **_metadata(reply)))

    def _next_reply(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> ScriptedReply:
        if len(self.requests) >= len(self.replies):
            msg = (
                f"all {len(self.replies)} replies of the script are played; add some to ScriptedChatModel(replies=...)"
            )
            raise ConfigError(msg)
        self.requests.append((messages, kwargs))
        return self.replies[len(self.requests) - 1]


def _reasoning(reply: ScriptedReply) -> dict[str, Any]:
    return {"additional_kwargs": {"reasoning_content": reply.reasoning}} if reply.reasoning else {}


def _metadata(reply: ScriptedReply) -> dict[str, Any]:
    num_tokens = reply.output_tokens
    return {
        "response_metadata": {"model_name": "scripted", "confidence": reply.confidence().to_dict()},
        "usage_metadata": {"input_tokens": 100, "output_tokens": num_tokens, "total_tokens": 100 + num_tokens},
    }
