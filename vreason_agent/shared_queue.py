"""One line of generations for many callers: calls that agree on sampling and steering share forward passes.

A round takes the oldest waiting call and up to `max_rows` - 1 others that agree with it; calls that come while it runs
wait for the next. This module knows no HTTP and no thread of a caller.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from vreason_agent.chat.batching import PendingCall, collected_by, run_together
from vreason_agent.chat.response import PreparedCall
from vreason_agent.chat.streaming import OnToken, Stopper
from vreason_agent.errors import GenerationError, VReasonError
from vreason_agent.model import Generation


class QueueFullError(VReasonError):
    """As many requests wait as may; try again later."""


class CancelledCallError(GenerationError):
    """Whoever asked is gone, or the server is shutting down."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    """One call in line; what a generation meets by way of `collected_by`."""

    queue: SharedQueue
    stopper: Stopper

    def generate(self, call: PendingCall) -> Generation:
        """Wait for the call's round."""
        return self.queue.wait(call, self.stopper)


class SharedQueue:
    """Runs calls from many threads on one thread of its own, several at a time through the model.

    Attributes:
        max_rows: Most calls of one round.
        max_waiting: Most admitted calls beside those of the round.
        num_admitted: Calls that run, wait, or are being prepared.
    """

    def __init__(
        self, *, max_rows: int = 8, max_waiting: int = 64, on_round: Callable[[int], object] | None = None
    ) -> None:
        self.max_rows, self.max_waiting = max_rows, max_waiting
        self.num_admitted = 0
        self._on_round = on_round
        self._waiting: list[tuple[PendingCall, Stopper]] = []
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="vreason-serve", daemon=True)
        self._thread.start()

    @contextmanager
    def admitted(self, num_calls: int) -> Iterator[None]:
        """Hold places for calls, from before anything is read for them until they are answered.

        Raises:
            QueueFullError: If there are not so many.
        """
        with self._changed:
            if self.num_admitted + num_calls > self.max_rows + self.max_waiting:
                msg = f"{self.num_admitted} answers are running or waiting, which is the limit; try again in a moment"
                raise QueueFullError(msg)
            self.num_admitted += num_calls
        try:
            yield
        finally:
            with self._changed:
                self.num_admitted -= num_calls

    def run(self, call: PreparedCall, on_token: OnToken) -> Generation:
        """Generate in this line what a prepared call asks for; raises as `PreparedCall.run` does."""
        with collected_by(_Waiting(self, call.stopper)):
            return call.run(on_token)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Let every generation begun in this context wait in this line; afterwards those that still do are dropped."""
        stopper = Stopper()
        try:
            with collected_by(_Waiting(self, stopper)):
                yield
        finally:
            stopper.cancel()

    def wait(self, call: PendingCall, stopper: Stopper) -> Generation:
        """Wait for the call's round, and for its generation; raises what that raises."""
        with self._changed:
            if self._is_closed:
                raise CancelledCallError("the server is shutting down; ask again once it is back")
            self._waiting.append((call, stopper))
            self._changed.notify()
        return call.outcome.result()

    def close(self) -> None:
        """End: what waits is refused, the running round is waited for."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while calls := self._next_round():
            if self._on_round is not None:
                self._on_round(len(calls))
            for call, outcome in zip(calls, run_together(calls), strict=True):
                call.settle(outcome)

    def _next_round(self) -> list[PendingCall]:
        """Wait for calls and return those of a round; none when closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                self._refuse_cancelled()
                if self._waiting:
                    break
                if self._is_closed:
                    return []
            agreement = _agreement(self._waiting[0][0])
            agreeing = [each for each in self._waiting if _agreement(each[0]) == agreement]
            chosen = agreeing[: self.max_rows]
            self._waiting = [each for each in self._waiting if each not in chosen]
            return [call for call, _ in chosen]

    def _refuse_cancelled(self) -> None:
        waiting, self._waiting = self._waiting, []
        for call, stopper in waiting:
            if stopper.is_cancelled or self._is_closed:
                call.settle(CancelledCallError("the request was cancelled before its turn; ask again"))
            else:
                self._waiting.append((call, stopper))


def _agreement(call: PendingCall) -> Any:
    """Return what calls of one round have in common."""
    return id(call.engine), replace(call.request.sampling, seed=None, stop=()), call.request.vreason
