"""A finished generation as LangChain message fields: usage, confidence, trace and log-probabilities, all plain data.

`invoke` and `stream` both take their metadata from here, so that they agree. This module knows no message input and no
sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from langchain_core.messages.ai import OutputTokenDetails, UsageMetadata
from transformers.convert_slow_tokenizer import bytes_to_unicode

from vreason_agent.answers import ParsedAnswer
from vreason_agent.chat.calls import read_call
from vreason_agent.chat.looking import Look, evidence_of
from vreason_agent.chat.output_format import OutputFormat
from vreason_agent.chat.splitting import Output
from vreason_agent.confidence import Confidence, read_signals, token_span
from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import Generation, VideoLanguageModel
from vreason_agent.model.source import BUNDLED_NAME

MAX_TRACE_POINTS = 256
PROVIDER = "vreason"


@dataclass(frozen=True)
class Reply:
    """One generation and its parts, with what it was asked."""

    engine: VideoLanguageModel
    generation: Generation
    output: Output
    looks: tuple[Look, ...]
    options: tuple[str, ...]
    vreason: VReasonConfig
    output_format: OutputFormat
    has_logprobs: bool

    def response_metadata(self) -> dict[str, Any]:
        """Return everything about the answer that is not the answer; JSON-plain."""
        metadata = {
            "model_name": self.engine.name,
            "model_provider": PROVIDER,
            **self._finish_fields,
            "confidence": self.confidence().to_dict(),
            "vreason": self._vreason(),
            "frames": [look.to_dict() for look in self.looks],
            "vision": [use.to_dict() for use in self.generation.vision],
        }
        return {**metadata, "logprobs": self._logprobs()} if self.has_logprobs else metadata

    def usage_metadata(self) -> UsageMetadata:
        """Return the tokens read and written; video and reasoning tokens in the details."""
        generation = self.generation
        num_prompt, num_new = generation.prompt_tokens, len(generation.token_ids)
        details: Any = {"video": generation.video_tokens}
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
        signals = read_signals(self.generation.trace, span)
        return Confidence(
            answer={"text": parsed.answer, "choice": parsed.choice, "kind": self._kind},
            signals=signals,
            steering=self._steering(signals["unsteered_final_entropy"]),
            evidence={**evidence_of(self.looks), "rungs": []},
            warnings=tuple(self._warnings()),
        )

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
