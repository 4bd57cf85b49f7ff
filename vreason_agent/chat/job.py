"""One call of the chat model: what is to be generated, and its result as LangChain messages, whole or in chunks.

`result` and the sum of `chunks` say the same; what is one value for the whole answer is on the last chunk only, because
adding chunks adds numbers and joins texts. This module knows no thread and no message input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from vreason_agent.chat.batching import generate
from vreason_agent.chat.calls import CallReader, read_call
from vreason_agent.chat.langchain_errors import GenerationTimeoutError, PromptTooLongError
from vreason_agent.chat.output_format import OutputFormat
from vreason_agent.chat.reply import Reply, logprob_entry
from vreason_agent.chat.splitting import Channel, Output, OutputSplitter, Piece, split_output
from vreason_agent.chat.streaming import Item, OnToken, Stopper
from vreason_agent.errors import GenerationError
from vreason_agent.messages import Conversation
from vreason_agent.model import Generation, GenerationRequest, StreamEvent, TextPart, Turn, VideoLanguageModel


@dataclass
class Job:
    """A prepared request.

    Attributes:
        engine: Generates.
        request: What it continues.
        conversation: Where the request came from: what was looked at, which options there were.
        output_format: What the answer looks like.
        starts_in_reasoning: Whether the prompt ended in `<think>`.
        stopper: Ends it early.
        has_logprobs: Whether log-probabilities are to be reported.
        has_trace: Whether the whole trace is to be reported.
    """

    engine: VideoLanguageModel
    request: GenerationRequest
    conversation: Conversation
    stopper: Stopper
    output_format: OutputFormat = field(default_factory=OutputFormat)
    starts_in_reasoning: bool = False
    has_logprobs: bool = False
    has_trace: bool = False

    def __post_init__(self) -> None:
        self._splitter = OutputSplitter(starts_in_reasoning=self.starts_in_reasoning, output_format=self.output_format)
        self._calls = CallReader()
        self._channel: Channel = "call"
        self._new_logprobs: list[dict[str, Any]] = []

    def run(self, on_token: OnToken) -> Generation:
        """Generate; `on_token` sees every token and may end it.

        Raises:
            PromptTooLongError: If the prompt leaves no room in the context.
            GenerationError: If decoding failed.
        """
        try:
            return generate(self.engine, self.request, on_token)
        except GenerationError as exc:
            if self.engine.count_tokens(self.request.turns, self.request.tools) >= self.engine.context_length:
                raise PromptTooLongError(str(exc)) from exc
            raise

    def result(self, generation: Generation) -> ChatResult:
        """Return the whole message.

        Raises:
            GenerationTimeoutError: If time ran out.
        """
        self._check_time(generation)
        output = self._split(generation)
        calls = [read_call(text) for text in output.calls]
        extra: dict[str, Any] = {
            "tool_calls": [call for call in calls if call["type"] == "tool_call"],
            "invalid_tool_calls": [call for call in calls if call["type"] == "invalid_tool_call"],
            "additional_kwargs": {"reasoning_content": output.reasoning} if output.reasoning else {},
        }
        message = AIMessage(content=output.content, **extra, **self._metadata(generation, output))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def chunks(self, item: Item, *, is_added_up: bool = True) -> Iterator[ChatGenerationChunk]:
        """Return what becomes certain with one more event; for the finished generation the rest and all metadata.

        Log-probabilities are the `generation_info` of the first chunk that follows their tokens, where LangChain puts
        them into its metadata and callbacks find them.

        Args:
            item: The event, or the generation.
            is_added_up: Whether the reader adds the chunks' metadata up. LangChain's event protocol does not, the last
                value of a key counts there: `False` puts all log-probabilities on the last chunk.

        Raises:
            GenerationTimeoutError: If time ran out.
        """
        for chunk in self._event_chunks(item) if isinstance(item, StreamEvent) else self._last_chunks(item):
            if self.has_logprobs:
                content, self._new_logprobs = self._new_logprobs, []
                chunk.generation_info = {"logprobs": {"content": content, "refusal": None}}
            if is_added_up:
                chunk.message.response_metadata.pop("logprobs", None)
            yield chunk

    def _event_chunks(self, event: StreamEvent) -> Iterator[ChatGenerationChunk]:
        if self.has_logprobs and event.token_id is not None and event.logprob is not None:
            entry = logprob_entry(self.engine.tokenizer, event.token_id, event.logprob, event.top_logprobs)
            self._new_logprobs.append(entry)
        yield from chain.from_iterable(map(self._chunks, self._splitter.feed(event.text)))

    def _last_chunks(self, generation: Generation) -> Iterator[ChatGenerationChunk]:
        self._check_time(generation)
        yield from chain.from_iterable(map(self._chunks, self._splitter.finish(is_cut=generation.is_cut)))
        metadata = self._metadata(generation, self._split(generation))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last", **metadata))

    def _chunks(self, piece: Piece) -> Iterator[ChatGenerationChunk]:
        self._number(piece.channel)
        if piece.channel == "content":
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece.text))
        elif piece.channel == "reasoning":
            thought = {"reasoning_content": piece.text}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs=thought))
        else:
            for call in [*self._calls.feed(piece.text), *(self._calls.end() if piece.is_end else [])]:
                yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))

    def _number(self, channel: Channel) -> None:
        """Count calls on from the blocks before them: under output version v1, blocks of one index become one."""
        if channel not in (self._channel, "call"):
            self._calls.index += 1
        self._channel = channel

    def _split(self, generation: Generation) -> Output:
        return split_output(
            generation.text,
            starts_in_reasoning=self.starts_in_reasoning,
            output_format=self.output_format,
            is_cut=generation.is_cut,
        )

    def _metadata(self, generation: Generation, output: Output) -> dict[str, Any]:
        looks, options = self.conversation.looks, self.conversation.options
        reply = Reply(
            self.engine, generation, output, looks, options, self.request.vreason, self.output_format, self.has_logprobs
        )
        trace = {"trace": generation.trace.to_dict()} if self.has_trace else {}
        return {"response_metadata": reply.response_metadata() | trace, "usage_metadata": reply.usage_metadata()}

    def _check_time(self, generation: Generation) -> None:
        if self.stopper.is_timed_out:
            num_tokens, limit = len(generation.token_ids), self.stopper.timeout_seconds
            msg = f"timeout={limit:g} s passed after {num_tokens} tokens; raise timeout or lower max_tokens, num_frames"
            raise GenerationTimeoutError(msg)


def starts_in_reasoning(engine: VideoLanguageModel) -> bool:
    """Tell whether the model's template itself opens `<think>`, as those of thinking-only models do."""
    prompt = engine.encoder.encode([Turn("user", (TextPart("?"),))])
    return str(engine.tokenizer.decode(prompt.input_ids[-8:])).rstrip().endswith("<think>")
