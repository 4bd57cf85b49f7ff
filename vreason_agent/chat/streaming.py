"""Watching a generation from another thread, and ending it within a token.

The decode loop calls back for every token; here that becomes an iterator, for threads and for an event loop. When the
reader goes away, is cancelled or runs out of time, the loop is told to stop at its next token. This module knows no
LangChain class.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from vreason_agent.model import Generation, StreamEvent

OnToken = Callable[[StreamEvent], bool | None]
Work = Callable[[OnToken], Generation]
Item: TypeAlias = StreamEvent | Generation

INTERRUPT: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("INTERRUPT", default=None)


@contextmanager
def interrupted_by(event: threading.Event) -> Iterator[None]:
    """Let an event, once set, end every generation begun in this context at its next token, on whatever thread."""
    token = INTERRUPT.set(event)
    try:
        yield
    finally:
        INTERRUPT.reset(token)


@dataclass
class Stopper:
    """Tells the decode loop to stop: when cancelled, after `timeout_seconds`, or when the context is interrupted."""

    timeout_seconds: float | None = None
    began: float = field(default_factory=time.monotonic)
    is_cancelled: bool = False
    is_timed_out: bool = False
    interrupt: threading.Event | None = field(default_factory=INTERRUPT.get)

    def __call__(self, _: StreamEvent) -> bool:
        """Return whether the row is to end after this token."""
        if self.timeout_seconds is not None and time.monotonic() - self.began > self.timeout_seconds:
            self.is_timed_out = True
        if self.interrupt is not None and self.interrupt.is_set():
            self.is_cancelled = True
        return self.is_cancelled or self.is_timed_out

    def cancel(self) -> None:
        """End the generation at its next token; may be called from any thread."""
        self.is_cancelled = True


def iterate(work: Work, stopper: Stopper) -> Generator[Item]:
    """Yield the events of a generation that runs in a thread of its own, and last its result.

    Args:
        work: Runs the generation with the callback it is given.
        stopper: Ends it early; cancelled when the iterator is closed.
    """
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    thread = _start(work, stopper, items.put)
    try:
        while not isinstance(item := items.get(), BaseException):
            yield item
            if isinstance(item, Generation):
                return
        raise item
    finally:
        stopper.cancel()
        if threading.current_thread() is not thread:  # a reader that was dropped is closed wherever memory is collected
            thread.join()


async def aiterate(work: Work, stopper: Stopper) -> AsyncGenerator[Item]:
    """Do the same for an event loop, which is never blocked: one wake-up per token, no executor hop."""
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[Any] = asyncio.Queue()

    def put(item: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(items.put_nowait, item)

    _start(work, stopper, put)
    try:
        while not isinstance(item := await items.get(), BaseException):
            yield item
            if isinstance(item, Generation):
                return
        raise item
    finally:
        stopper.cancel()


def run(work: Work, stopper: Stopper) -> Generation:
    """Return the result of a generation that runs in a thread of its own, as fast as one that is watched.

    On the main thread it would be ten times slower beside a busy process: there OpenMP's workers spin and wait.
    """
    with closing(iterate(work, stopper)) as items:
        *_, last = items
    return cast("Generation", last)


async def arun(work: Work, stopper: Stopper) -> Generation:
    """Return the result of a generation without blocking the event loop; a cancelled task ends it within a token."""
    async with aclosing(aiterate(work, stopper)) as items:
        *_, last = [item async for item in items]
    return cast("Generation", last)


def _start(work: Work, stopper: Stopper, put: Callable[[Any], None]) -> threading.Thread:
    def on_token(event: StreamEvent) -> bool:
        put(event)
        return stopper(event)

    def run() -> None:
        try:
            put(work(on_token))
        except BaseException as exc:  # handed to the reader, who raises it
            put(exc)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="vreason-generate", daemon=True)
    thread.start()
    return thread
