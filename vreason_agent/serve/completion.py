"""Answers in OpenAI's shapes: whole, or chunk by chunk, with `confidence`, `vreason` and `frames` beside them.

This module knows no HTTP: it turns prepared calls of the chat model into plain data.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from vreason_agent.chat.model import ChatVReason
from vreason_agent.chat.response import PreparedCall
from vreason_agent.chat.streaming import Stopper, aiterate, arun
from vreason_agent.serve.requests import ChatRequest
from vreason_agent.shared_queue import SharedQueue

_EXTRA = ("confidence", "vreason", "frames", "vision", "trace")


@dataclass
class Completion:
    """One request that is being answered.

    Attributes:
        queue: Where the answers are written.
        model: Name of the model that answers.
        calls: One per answer asked for.
        has_usage_chunk: Whether a stream ends with the usage.
        usage: Tokens read and written, once answered.
    """

    queue: SharedQueue
    model: str
    calls: Sequence[PreparedCall]
    has_usage_chunk: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def prepare(
        cls, queue: SharedQueue, chat_model: ChatVReason, request: ChatRequest, messages: Sequence[BaseMessage]
    ) -> Completion:
        """Read the frames once and make one call per answer; sampled ones use the seeds from the request's on."""
        first = chat_model.prepared(messages)
        seed = first.request.sampling.seed
        calls = [first]
        for index in range(1, request.num_choices):
            sampling = replace(first.request.sampling, seed=None if seed is None else seed + index)
            other = replace(first.request, sampling=sampling)
            calls.append(replace(first, request=other, stopper=Stopper(first.stopper.timeout_seconds)))
        has_usage_chunk = bool(request.stream_options and request.stream_options.include_usage)
        return cls(queue, first.engine.name, calls, has_usage_chunk)

    async def whole(self) -> dict[str, Any]:
        """Return the answers once all are there; cancelled, it ends them within a token."""
        works = [partial(self.queue.run, call) for call in self.calls]
        try:
            generations = await asyncio.gather(*map(arun, works, [call.stopper for call in self.calls]))
        finally:
            self.cancel()
        results = zip(self.calls, generations, strict=True)
        messages: list[Any] = [call.result(generation).generations[0].message for call, generation in results]
        choices = [_whole_choice(index, message) for index, message in enumerate(messages)]
        self.usage = _usage(messages)
        return {**self._head("chat.completion"), "choices": choices, "usage": self.usage}

    async def chunks(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield the answers chunk by chunk, those of several as they come; closed, it ends them within a token."""
        pieces: asyncio.Queue[tuple[int, Any, Any] | None] = asyncio.Queue()
        tasks = [asyncio.create_task(self._follow(index, pieces)) for index in range(len(self.calls))]
        begun: set[int] = set()
        last: list[AIMessage] = []
        try:
            for _ in tasks:
                while (piece := await pieces.get()) is not None:
                    index, message, info = piece
                    if index not in begun:
                        begun.add(index)
                        yield self._chunk({"index": index, "delta": {"role": "assistant", "content": ""}})
                    last += [message] if message.usage_metadata else []
                    yield self._chunk({"index": index, **_streamed_choice(message), **_logprobs(info)})
            await asyncio.gather(*tasks)
            self.usage = _usage(last)
            if self.has_usage_chunk:
                yield {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage}
        finally:
            self.cancel()

    async def _follow(self, index: int, pieces: asyncio.Queue[Any]) -> None:
        call = self.calls[index]
        try:
            async with aclosing(aiterate(partial(self.queue.run, call), call.stopper)) as items:
                async for item in items:
                    for chunk in call.chunks(item):
                        pieces.put_nowait((index, chunk.message, chunk.generation_info or {}))
        finally:
            pieces.put_nowait(None)

    def cancel(self) -> None:
        """End every answer at its next token; those that wait are not begun."""
        for call in self.calls:
            call.stopper.cancel()

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        whole = {"finish_reason": None, "logprobs": None, **choice}
        usage = {"usage": None} if self.has_usage_chunk else {}
        return {**self._head("chat.completion.chunk"), "choices": [whole], **usage}


def _whole_choice(index: int, message: AIMessage) -> dict[str, Any]:
    metadata = message.response_metadata
    answer: dict[str, Any] = {"role": "assistant", "content": message.text or None, "refusal": None}
    if thought := message.additional_kwargs.get("reasoning_content"):
        answer["reasoning_content"] = thought
    whole = [(call["id"], call["name"], json.dumps(call["args"])) for call in message.tool_calls]
    broken = [(call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls]
    if calls := [*whole, *broken]:
        answer["tool_calls"] = [
            {"id": name_of_call, "type": "function", "function": {"name": name or "", "arguments": arguments or ""}}
            for name_of_call, name, arguments in calls
        ]
    return {
        "index": index,
        "message": answer | _extra(metadata),
        "finish_reason": metadata["finish_reason"],
        "logprobs": metadata.get("logprobs"),
    }


def _streamed_choice(message: AIMessageChunk) -> dict[str, Any]:
    """Return the delta of one chunk; that with the metadata ends the answer."""
    delta: dict[str, Any] = {}
    if text := message.text:
        delta["content"] = text
    if thought := message.additional_kwargs.get("reasoning_content"):
        delta["reasoning_content"] = thought
    if message.tool_call_chunks:
        delta["tool_calls"] = [_call_delta(chunk) for chunk in message.tool_call_chunks]
    metadata = message.response_metadata
    if not message.usage_metadata:
        return {"delta": delta}
    return {"delta": delta | _extra(metadata), "finish_reason": metadata["finish_reason"]}


def _call_delta(chunk: Any) -> dict[str, Any]:
    function = {"arguments": chunk["args"] or ""} | ({"name": chunk["name"]} if chunk["name"] else {})
    opening = {"id": chunk["id"], "type": "function"} if chunk["id"] else {}
    return {"index": chunk["index"] or 0, **opening, "function": function}


def _logprobs(info: Mapping[str, Any]) -> dict[str, Any]:
    content = info.get("logprobs", {}).get("content")
    return {"logprobs": {"content": content, "refusal": None}} if content else {}


def _usage(messages: Sequence[AIMessage]) -> dict[str, Any]:
    """Return the tokens of all answers; the prompt, which they share, counts once."""
    known: list[Any] = [message.usage_metadata for message in messages if message.usage_metadata]
    num_read = max((usage["input_tokens"] for usage in known), default=0)
    num_written = sum(usage["output_tokens"] for usage in known)
    video = max((usage.get("input_token_details", {}).get("video", 0) for usage in known), default=0)
    reasoning = sum(usage.get("output_token_details", {}).get("reasoning", 0) for usage in known)
    return {
        "prompt_tokens": num_read,
        "completion_tokens": num_written,
        "total_tokens": num_read + num_written,
        "prompt_tokens_details": {"video_tokens": video, "cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _extra(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: metadata[name] for name in _EXTRA if name in metadata}
