"""One question about a video as plain data, and the events of answering it with the video question graph.

The command line, the server, the page, batches and MCP tools ask in this way. This module takes the chat model as an
argument and knows no HTTP and no terminal.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, ConfigDict, Field

from vreason_agent.graphs import AcceptPolicy, FramePolicy, Ladder, build_video_qa_graph
from vreason_agent.graphs.policy import resolve_variation
from vreason_agent.graphs.state import VideoQAOutput
from vreason_agent.video import DEFAULT_OPTIONS, ReadOptions

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FrameCount = Annotated[int, Field(ge=2, le=65_536, multiple_of=2)]
Event = dict[str, Any]
_MODES = ["custom", "messages", "values"]


class VideoQuestion(BaseModel):
    """A question about a video, and how many frames may be looked at for it.

    Attributes:
        video: Path or `file://` URL of a video, an image, a GIF or a folder of frames.
        question: What is asked.
        options: Possible answers, at least two, or none for an open question.
        start_seconds: Beginning of the part that is asked about.
        stop_seconds: End of it, exclusive.
        num_frames: Frames of the first attempt; each further one doubles them.
        max_frames: Most frames of an attempt: `num_frames` times a power of two.
        frame_policy: Which frames are read: `pairs`, `scenes` or `zoom`.
        seed: Random seed; retries use the seeds that follow it.
        max_risk: Bound on the share of wrong answers among those given; needs a calibrator of the model.
    """

    model_config = ConfigDict(extra="forbid")

    video: Annotated[str, Field(min_length=1)]
    question: Annotated[str, Field(min_length=1)]
    options: list[str] = []
    start_seconds: Seconds | None = None
    stop_seconds: Seconds | None = None
    num_frames: FrameCount = 4
    max_frames: FrameCount = 32
    frame_policy: Literal["pairs", "scenes", "zoom"] = "pairs"
    seed: Annotated[int, Field(ge=0, lt=2**62)] | None = None
    max_risk: Annotated[float, Field(gt=0, lt=1)] | None = None

    def graph_input(self) -> dict[str, Any]:
        """Return what the graph is asked."""
        return self.model_dump(include={"video", "question", "options", "start_seconds", "stop_seconds"})


def answer_events(
    chat_model: BaseChatModel, question: VideoQuestion, *, read_options: ReadOptions = DEFAULT_OPTIONS
) -> Generator[Event]:
    """Yield what happens while a question is answered, and last its result.

    Args:
        chat_model: Answers. One with `trace="full"` and `logprobs=True` gives the events `trace`.
        question: What is asked.
        read_options: How the graph reads the video; set the chat model's own as well.

    Yields:
        Dicts with an `event`: `sample` (frames chosen), `token` (`channel` and `text`), `trace` (`attempt`, `trace`,
        `token_texts`), `answer`, `judge` (what was decided), and last `result`: the graph's output under `result`, and
        the `seconds` it took.

    Raises:
        ConfigError: The question cannot be asked as it is.
        VideoError: The video cannot be read.
        GenerationError: It cannot be answered.
    """
    reader = _Reader()
    graph: Any = _build(chat_model, question, read_options)
    for mode, data in graph.stream(question.graph_input(), stream_mode=_MODES):
        yield from reader.events(mode, data)
    yield reader.ending()


async def aanswer_events(
    chat_model: BaseChatModel, question: VideoQuestion, *, read_options: ReadOptions = DEFAULT_OPTIONS
) -> AsyncGenerator[Event]:
    """Do the same without blocking the event loop; closed, it ends the answer within a token."""
    reader = _Reader()
    graph: Any = _build(chat_model, question, read_options)
    async with aclosing(graph.astream(question.graph_input(), stream_mode=_MODES)) as items:
        async for mode, data in items:
            for event in reader.events(mode, data):
                yield event
    yield reader.ending()


def policy_for_seed(seed: int | None) -> AcceptPolicy:
    """Return the graph's default policy, its retries using the seeds after the given one."""
    default = AcceptPolicy()
    if seed is None:
        return default
    retries = [resolve_variation(variation) for variation in default.variations]
    return replace(default, variations=tuple({**retry, "seed": seed + n} for n, retry in enumerate(retries, start=1)))


def readable_pieces(message: Any) -> list[tuple[str, str]]:
    """Return what a streamed piece of a message adds to the model's reasoning and to its answer."""
    blocks = [(block["type"], block) for block in message.content_blocks]
    return [(kind, block[kind]) for kind, block in blocks if kind in ("reasoning", "text") and block.get(kind)]


def _build(chat_model: BaseChatModel, question: VideoQuestion, read_options: ReadOptions) -> Any:
    return build_video_qa_graph(
        chat_model,
        ladder=Ladder(num_frames=question.num_frames, max_frames=question.max_frames),
        policy=policy_for_seed(question.seed),
        frame_policy=FramePolicy(question.frame_policy),
        max_risk=question.max_risk,
        read_options=read_options,
    )


@dataclass
class _Reader:
    """Makes events of what the graph streams."""

    result: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    num_attempts: int = 0
    token_texts: list[str] = field(default_factory=list)

    def events(self, mode: str, data: Any) -> Iterator[Event]:
        if mode == "values":
            self.result = data
        elif mode == "custom":
            yield data
        else:
            yield from self._message_events(data[0])

    def _message_events(self, message: Any) -> Iterator[Event]:
        metadata = message.response_metadata
        self.token_texts += [entry["token"] for entry in (metadata.get("logprobs") or {}).get("content") or ()]
        for channel, text in readable_pieces(message):
            yield {"event": "token", "channel": channel, "text": text}
        if "vreason" in metadata:
            if trace := metadata.get("trace"):
                told = {"trace": trace, "token_texts": self.token_texts}
                yield {"event": "trace", "attempt": self.num_attempts, **told}
            self.num_attempts, self.token_texts = self.num_attempts + 1, []

    def ending(self) -> Event:
        result = {name: value for name, value in self.result.items() if name in VideoQAOutput.__annotations__}
        return {"event": "result", "result": result, "seconds": time.perf_counter() - self.began}
