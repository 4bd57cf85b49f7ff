from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from tests.chat_model.fakes import SETTLED, FakeEngine, join_generations
from vreason_agent.chat.streaming import OnToken, Stopper, aiterate, arun, interrupted_by, iterate
from vreason_agent.model import Generation, GenerationRequest, StreamEvent, TextPart, Turn

REQUEST = GenerationRequest((Turn("user", (TextPart("?"),)),))


class Work:
    """A generation that waits at every token until it is let on."""

    def __init__(self, num_tokens_free: int) -> None:
        self.engine = FakeEngine()
        self.engine.gate = threading.Semaphore(num_tokens_free)

    def __call__(self, on_token: OnToken) -> Generation:
        return self.engine.generate([REQUEST], on_token=on_token)[0]

    def let_on(self) -> None:
        assert self.engine.gate is not None
        self.engine.gate.release(1000)


def text_of(items: list[Any]) -> str:
    return "".join(item.text for item in items if isinstance(item, StreamEvent))


def test_events_come_before_the_generation_is_done_and_the_result_last() -> None:
    work = Work(1)
    items = iterate(work, Stopper())
    first = next(items)
    assert isinstance(first, StreamEvent)
    work.let_on()
    rest = list(items)
    assert text_of([first, *rest]) == SETTLED
    assert isinstance(rest[-1], Generation)


def test_a_reader_that_leaves_ends_the_generation_at_its_next_token() -> None:
    work = Work(3)
    items = iterate(work, Stopper())
    for _ in range(3):
        next(items)
    threading.Timer(0.05, work.let_on).start()  # it could go on, but is told to stop by then
    items.close()
    assert work.engine.num_made == 4


def test_an_error_in_the_generation_is_the_readers() -> None:
    def fails(_: OnToken) -> Generation:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(iterate(fails, Stopper()))


async def test_an_error_in_the_generation_is_the_async_readers() -> None:
    def fails(_: OnToken) -> Generation:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await arun(fails, Stopper())


async def test_async_events_are_the_same() -> None:
    work = Work(1000)
    items = [item async for item in aiterate(work, Stopper())]
    assert text_of(items) == SETTLED
    assert isinstance(items[-1], Generation)


async def test_the_event_loop_runs_while_a_generation_waits() -> None:
    work = Work(0)
    task = asyncio.create_task(arun(work, Stopper()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    work.let_on()
    assert (await task).text == SETTLED


async def test_a_cancelled_task_ends_the_generation_within_a_token() -> None:
    work, stopper = Work(2), Stopper()
    task = asyncio.create_task(arun(work, stopper))
    while work.engine.num_made < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopper.is_cancelled
    work.let_on()
    await asyncio.to_thread(join_generations)
    assert work.engine.num_made <= 3  # the token it was at, or the next


def test_time_running_out_ends_it_and_is_marked() -> None:
    stopper = Stopper(timeout_seconds=0.5, began=time.monotonic() - 1)
    *_, generation = iterate(Work(1000), stopper)
    assert stopper.is_timed_out
    assert isinstance(generation, Generation)
    assert len(generation.token_ids) == 1


def test_an_interrupted_context_ends_its_generations_on_any_thread() -> None:
    event, work, whole = threading.Event(), Work(1), list(iterate(Work(1000), Stopper()))
    with interrupted_by(event):
        items = iterate(work, Stopper())
    next(items)
    event.set()
    work.let_on()
    assert len(list(items)) < len(whole) - 1
    assert Stopper().interrupt is None


def test_a_reader_that_is_dropped_in_the_generations_own_thread_leaves_without_a_word() -> None:
    """Memory is collected in any thread, the generation's too, which cannot wait for itself."""
    raised: list[BaseException] = []
    begun = threading.Event()
    work = Work(1000)

    def closing(event: StreamEvent, on_token: OnToken) -> bool | None:
        is_over = on_token(event)
        if event.record is not None and event.record.step == 1:
            begun.wait()
            try:
                items.close()
            except RuntimeError as exc:
                raised.append(exc)
        return is_over

    items = iterate(lambda on_token: work(lambda event: closing(event, on_token)), Stopper())
    next(items)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "vreason-generate"]
    begun.set()
    thread.join()
    assert raised == []
