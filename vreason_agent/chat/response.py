"""One call of the chat model, and its result as LangChain messages, whole or in chunks, with all metadata.

The whole message and the sum of the chunks say the same; what is one value for the whole answer is on the last chunk
only, because adding chunks adds numbers and joins texts. Metadata is plain data. This module knows no thread and no
message input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import chain
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import OutputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from transformers.convert_slow_tokenizer import bytes_to_unicode

from vreason_agent.answers import ParsedAnswer
from vreason_agent.chat.batching import generate
from vreason_agent.chat.conversation import Conversation
from vreason_agent.chat.frame_loader import FrameEvidence, evidence_of
from vreason_agent.chat.langchain_errors import GenerationTimeoutError, PromptTooLongError
from vreason_agent.chat.output_format import OutputFormat
from vreason_agent.chat.setup import describe_setup
from vreason_agent.chat.splitter import Channel, Output, OutputSplitter, Piece, split_output
from vreason_agent.chat.streaming import Item, OnToken, Stopper
from vreason_agent.chat.tool_calls import CallReader, read_call
from vreason_agent.confidence import (
    Calibrator,
    Confidence,
    OptionProbabilities,
    apply_calibrator,
    closest_calibrator,
    frame_statistics,
    read_option_signals,
    read_signals,
    token_span,
)
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import GenerationError
from vreason_agent.model import Generation, GenerationRequest, StreamEvent, VideoLanguageModel, VideoPart
from vreason_agent.model.source import BUNDLED_NAME

MAX_TRACE_POINTS = 256
PROVIDER = "vreason"


@dataclass(frozen=True)
class Response:
    """One generation and its parts, with what it was asked."""

    engine: VideoLanguageModel
    request: GenerationRequest
    conversation: Conversation
    generation: Generation
    output: Output
    output_format: OutputFormat = field(default_factory=OutputFormat)
    has_logprobs: bool = False
    calibrators: tuple[Calibrator, ...] = ()

    @property
    def evidence(self) -> tuple[FrameEvidence, ...]:
        """What was looked at."""
        return self.conversation.evidence

    @property
    def options(self) -> tuple[str, ...]:
        """What there was to choose from."""
        return self.conversation.options

    @property
    def vreason(self) -> VReasonConfig:
        """How decoding was steered."""
        return self.request.vreason

    @cached_property
    def setup(self) -> dict[str, Any]:
        """The setup that the answer was made with, as calibrators name it."""
        form = "json" if self.output_format.schema is not None else "tools" if self.output_format.use.tools else "free"
        return describe_setup(self.engine, self.request, self.evidence, output_form=form)

    @cached_property
    def frame_statistics(self) -> dict[str, float] | None:
        """Statistics of the frames of the last video; `None` without one."""
        videos = [part for turn in self.request.turns for part in turn.parts if isinstance(part, VideoPart)]
        return frame_statistics(videos[-1].images) if videos else None

    def response_metadata(self) -> dict[str, Any]:
        """Return everything about the answer that is not the answer; JSON-plain."""
        metadata = {
            "model_name": self.engine.name,
            "model_provider": PROVIDER,
            **self._finish_fields,
            "confidence": self.confidence().to_dict(),
            "vreason": self._vreason(),
            "frames": [seen.to_dict() for seen in self.evidence],
            "vision": [use.to_dict() for use in self.generation.vision],
            "reuse": self.generation.reuse.to_dict(),
        }
        return {**metadata, "logprobs": self._logprobs()} if self.has_logprobs else metadata

    def usage_metadata(self) -> UsageMetadata:
        """Return the tokens of prompt and answer; in the details those of video, of reasoning, and not read again."""
        generation = self.generation
        num_prompt, num_new = generation.prompt_tokens, len(generation.token_ids)
        details: Any = {"video": generation.video_tokens, "cache_read": generation.reuse.cached_tokens}
        return UsageMetadata(
            input_tokens=num_prompt,
            output_tokens=num_new,
            total_tokens=num_prompt + num_new,
            input_token_details=details,
            output_token_details=OutputTokenDetails(reasoning=self._num_reasoning_tokens(self.output.reasoning)),
        )

    def confidence(self) -> Confidence:
        """Return the confidence record of this one pass."""
        parsed, span = self._parsed, self.answer_span
        signals = read_signals(self.generation.trace, span, options=self._option_signals)
        record = Confidence(
            answer={"text": parsed.answer, "choice": parsed.choice, "kind": self._kind},
            signals=signals,
            options=None if self.option_probabilities is None else self.option_probabilities.to_dict(),
            steering=self._steering(signals["unsteered_final_entropy"]),
            evidence={**evidence_of(self.evidence), "rungs": []},
            warnings=tuple(self._warnings()),
        )
        if not self.calibrators:
            return record
        calibrator = closest_calibrator(self.calibrators, self.setup)
        return apply_calibrator(record, calibrator, self.setup, self.frame_statistics)

    @cached_property
    def option_probabilities(self) -> OptionProbabilities | None:
        """How likely each option is, before the reasoning and at the answer; `None` where it was not measured."""
        scores = self.generation.option_scores
        return None if scores is None else OptionProbabilities.of(self.options, scores.before, scores.after)

    @cached_property
    def _option_signals(self) -> dict[str, float | None]:
        return read_option_signals(self.option_probabilities, self._parsed.answer)

    @cached_property
    def _parsed(self) -> ParsedAnswer:
        output, text = self.output, self.generation.text
        if output.calls:
            return ParsedAnswer(output.reasoning, None, None, None)
        if self.output_format.schema is not None and output.content:
            start = text.rfind(output.content)
            return ParsedAnswer(output.reasoning, output.content, None, (start, start + len(output.content)))
        return self.engine.answer_parser(text.removesuffix(output.half_mark), self.options)

    @cached_property
    def answer_span(self) -> tuple[int, int] | None:
        """Token indices `[start, stop)` of the answer's text; `None` where none could be read or located."""
        return token_span(self.generation.token_texts, self._parsed.answer_span)

    @property
    def _finish_fields(self) -> dict[str, str]:
        """Why the answer ended, in our words and in LangChain's: core passes these on, and reads no other."""
        reason: str = self.generation.finish_reason
        if reason == "stop" and any(read_call(call)["type"] == "tool_call" for call in self.output.calls):
            reason = "tool_calls"
        return {
            "finish_reason": reason,
            "normalized_finish_reason": {"tool_calls": "tool_call"}.get(reason, reason),
            "finish_state": "complete" if reason in ("stop", "tool_calls") else "incomplete",
        }

    @property
    def _kind(self) -> str:
        if self.output.calls:
            return "tool_calls"
        if self._parsed.answer is None:
            return "unparsed"
        return "choice" if self._parsed.choice else "json" if self.output_format.schema is not None else "open"

    def _steering(self, unsteered: float | None) -> dict[str, Any]:
        is_steered = self.generation.trace.steered
        return {
            "vreason": "on" if is_steered else "off",
            "schedule": self.vreason.schedule,
            "entropy_seen": "steered" if is_steered else "unsteered",
            "unsteered_final_entropy": unsteered,
        }

    def _warnings(self) -> list[str]:
        is_read = self._parsed.answer is not None
        found = {
            "truncated": self.generation.finish_reason == "length",
            "unparsed": self._kind == "unparsed",
            "answer_not_located": is_read and self.answer_span is None,
            "steered": self.generation.trace.steered,
            "toy_model": self.engine.name == BUNDLED_NAME,
        }
        codes = [code for code, is_found in found.items() if is_found]
        return [*codes, *(f"schema: {note}" for note in self.output_format.unenforced), *self.generation.notes]

    def _vreason(self) -> dict[str, Any]:
        trace, span = self.generation.trace, self.answer_span
        stride = max(1, -(-len(trace.entropy) // MAX_TRACE_POINTS))
        series = {
            "stride": stride,
            "entropy": [round(float(value), 4) for value in trace.entropy[::stride]],
            "phase": [phase.value for phase in trace.phase[::stride]],
        }
        summary = trace.summary(span[1] if span else None)
        return {"config": self.vreason.to_dict(), "steered": trace.steered, **summary, **series}

    def _num_reasoning_tokens(self, reasoning: str) -> int:
        if not reasoning:
            return 0
        start = self.generation.text.find(reasoning)
        span = token_span(self.generation.token_texts, (start, start + len(reasoning)))
        return span[1] - span[0] if span else 0

    def _logprobs(self) -> dict[str, Any]:
        generation = self.generation
        alternatives: Sequence[Sequence[tuple[int, float]]] = generation.top_logprobs or [()] * len(
            generation.token_ids
        )
        rows = zip(generation.token_ids, generation.trace.logprobs, alternatives, strict=True)
        return {"content": [logprob_entry(self.engine.tokenizer, *row) for row in rows], "refusal": None}


def logprob_entry(
    tokenizer: Any, token_id: int, logprob: float, alternatives: Sequence[tuple[int, float]]
) -> dict[str, Any]:
    """Return what OpenAI's `logprobs` say of one token."""

    def entry(token_id: int, logprob: float) -> dict[str, Any]:
        text = tokenizer.decode([token_id], skip_special_tokens=False)
        return {"token": text, "bytes": list(_bytes_of(tokenizer, token_id, text)), "logprob": float(logprob)}

    return {**entry(token_id, logprob), "top_logprobs": [entry(*alternative) for alternative in alternatives]}


def _bytes_of(tokenizer: Any, token_id: int, text: str) -> bytes:
    """Return a token's own bytes, also where they are a part of a character and its text cannot show them."""
    piece = tokenizer.convert_ids_to_tokens(token_id) if "\ufffd" in text else None
    known = _byte_of_letter()
    if piece is None or not all(letter in known for letter in piece):
        return text.encode()
    return bytes(known[letter] for letter in piece)


@cache
def _byte_of_letter() -> dict[str, int]:
    """Return the bytes by the letters in which byte-level vocabularies write them."""
    return {letter: byte for byte, letter in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]


@dataclass
class PreparedCall:
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
        calibrators: Those that may give its answer a probability.
    """

    engine: VideoLanguageModel
    request: GenerationRequest
    conversation: Conversation
    stopper: Stopper
    output_format: OutputFormat = field(default_factory=OutputFormat)
    starts_in_reasoning: bool = False
    has_logprobs: bool = False
    has_trace: bool = False
    calibrators: tuple[Calibrator, ...] = ()

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
        if self.has_logprobs and (token := event.record) is not None:
            entry = logprob_entry(self.engine.tokenizer, token.token_id, token.logprob, token.top_logprobs)
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
        response = Response(
            self.engine,
            self.request,
            self.conversation,
            generation,
            output,
            self.output_format,
            self.has_logprobs,
            self.calibrators,
        )
        trace = {"trace": generation.trace.to_dict()} if self.has_trace else {}
        return {"response_metadata": response.response_metadata() | trace, "usage_metadata": response.usage_metadata()}

    def _check_time(self, generation: Generation) -> None:
        if self.stopper.is_timed_out:
            num_tokens, limit = len(generation.token_ids), self.stopper.timeout_seconds
            msg = f"timeout={limit:g} s passed after {num_tokens} tokens; raise timeout or lower max_tokens, num_frames"
            raise GenerationTimeoutError(msg)
