"""Calls of one `batch` that meet before the model and go through it together.

LangChain runs every input of a batch as a call of its own, with its own callbacks, cache look-up, limits and errors.
All of that stays; only the generations of calls that run side by side become rows of shared forward passes. This module
knows no field and opens no message.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list

from vreason_agent.chat.streaming import OnToken
from vreason_agent.errors import VReasonError
from vreason_agent.model import Generation, GenerationRequest, StreamEvent, VideoLanguageModel

_COLLECTOR: ContextVar[Collector | None] = ContextVar("COLLECTOR", default=None)


def generate(engine: VideoLanguageModel, request: GenerationRequest, on_token: OnToken) -> Generation:
    """Generate, together with the calls of the same batch if this one belongs to any."""
    collector = _COLLECTOR.get()
    if collector is None:
        return engine.generate([request], on_token=on_token)[0]
    return collector.generate(PendingCall(engine, request, on_token))


@dataclass(eq=False)
class PendingCall:
    """One call that waits for its generation."""

    engine: VideoLanguageModel
    request: GenerationRequest
    on_token: OnToken
    has_begun: bool = False
    outcome: Future[Generation] = field(default_factory=Future)

    def take(self, event: StreamEvent) -> bool:
        """Pass a token on; True ends the row."""
        self.has_begun = True
        return bool(self.on_token(event))

    def settle(self, outcome: Generation | BaseException) -> None:
        """Hand the caller what the generation led to."""
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class Collector(Protocol):
    """Where calls meet, and who runs them."""

    def generate(self, call: PendingCall) -> Generation:
        """Wait for the call's generation; raises what that raises."""
        ...


@contextmanager
def collected_by(collector: Collector) -> Iterator[None]:
    """Let a collector run every generation begun in this context."""
    token = _COLLECTOR.set(collector)
    try:
        yield
    finally:
        _COLLECTOR.reset(token)


class BatchCollector:
    """Where the calls of one batch meet: a round begins once all that may still come are there, or it is full."""

    def __init__(self, num_calls: int, max_rows: int) -> None:
        self._num_left, self._num_running, self._max_rows = num_calls, 0, max_rows
        self._waiting: list[PendingCall] = []
        self._lock = threading.Lock()

    def generate(self, call: PendingCall) -> Generation:
        """Wait for the round that the call is in; raises what its generation raises."""
        with self._lock:
            self._waiting.append(call)
            self._begin_if_full()
        return call.outcome.result()

    def leave(self) -> None:
        """Tell that one call has ended, whether or not it generated anything."""
        with self._lock:
            self._num_left -= 1
            self._begin_if_full()

    def _begin_if_full(self) -> None:
        if not self._waiting or len(self._waiting) < min(self._max_rows, self._num_left - self._num_running):
            return
        calls, self._waiting = self._waiting, []
        self._num_running += len(calls)
        threading.Thread(target=self._run, args=(calls,), name="vreason-batch", daemon=True).start()

    def _run(self, calls: list[PendingCall]) -> None:
        outcomes: list[Generation | BaseException] = []
        for _, same in groupby(calls, key=lambda call: id(call.engine)):
            outcomes += run_together(list(same))
        with self._lock:
            self._num_running -= len(calls)
        for call, outcome in zip(calls, outcomes, strict=True):
            call.settle(outcome)


def run_together(calls: Sequence[PendingCall]) -> Sequence[Generation | BaseException]:
    """What each generation leads to; where one is refused before the first token, each is tried alone."""

    def on_token(event: StreamEvent) -> bool:
        return calls[event.row].take(event)

    try:
        return calls[0].engine.generate([call.request for call in calls], on_token=on_token)
    except BaseException as exc:  # handed to the callers, who raise it
        if len(calls) == 1 or not isinstance(exc, VReasonError) or any(call.has_begun for call in calls):
            return [exc] * len(calls)
    return [outcome for call in calls for outcome in run_together([call])]


class SharedCalls(Runnable[LanguageModelInput, AIMessage]):
    """A chat model whose calls within one batch meet; used once."""

    def __init__(self, chat_model: Runnable[LanguageModelInput, AIMessage], *, max_rows: int) -> None:
        self._chat_model, self._max_rows = chat_model, max_rows

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        """Call the chat model, and leave the batch."""
        try:
            return self._chat_model.invoke(input, config, **kwargs)
        finally:
            _leave_batch()

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Call the chat model, and leave the batch."""
        try:
            return await self._chat_model.ainvoke(input, config, **kwargs)
        finally:
            _leave_batch()

    def batch(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Call the chat model with each input, as many at a time as may be rows of one forward pass."""
        if not inputs:
            return []
        with self._collecting(config, len(inputs)) as configs:
            return super().batch(list(inputs), configs, **kwargs)

    async def abatch(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Do the same for an event loop."""
        if not inputs:
            return []
        with self._collecting(config, len(inputs)) as configs:
            return await super().abatch(list(inputs), configs, **kwargs)

    @contextmanager
    def _collecting(
        self, config: RunnableConfig | list[RunnableConfig] | None, num_calls: int
    ) -> Iterator[list[RunnableConfig]]:
        configs = get_config_list(config, num_calls)
        max_rows = min(num_calls, self._max_rows, configs[0].get("max_concurrency") or num_calls)
        for each in configs:
            if each.get("max_concurrency") is None:
                each["max_concurrency"] = max_rows  # LangChain's own default is fewer threads than rows
        with collected_by(BatchCollector(num_calls, max_rows)):
            yield configs


def _leave_batch() -> None:
    if isinstance(collector := _COLLECTOR.get(), BatchCollector):
        collector.leave()
