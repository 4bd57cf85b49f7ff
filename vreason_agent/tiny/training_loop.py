"""The loop of both training phases: numbered batches in, checkpoints and log rows out.

A batch depends on its number alone, so that a run with a worker process equals one without, and a resumed run an
uninterrupted one. Knows no model and no world.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from vreason_agent.errors import ModelLoadError, VReasonError, quote
from vreason_agent.video import load_cv2

T = TypeVar("T")
QUEUE_LENGTH = 8
PATIENCE_SECONDS = 5.0  # between looks at whether the other process lives


class Stateful(Protocol):
    """What a checkpoint keeps: a module or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take a state."""


@dataclass(frozen=True)
class Run:
    """One phase's run: `num_steps` steps, pausing at `stop_at`, resumed from `checkpoint` where that exists."""

    phase: str
    num_steps: int
    checkpoint: Path
    log: Path
    stop_at: int | None = None
    save_every: int = 100
    log_every: int = 20
    in_process: bool = False  # make batches here rather than in a process of their own

    @property
    def last(self) -> int:
        """Number of steps after which to pause or end."""
        return self.num_steps if self.stop_at is None else self.stop_at


def run_steps(
    run: Run,
    state: Mapping[str, Stateful],
    make: Callable[[int], T],
    update: Callable[[int, T], None],
    report: Callable[[], Mapping[str, float]],
    *,
    resume: Callable[[int], None] = lambda start: None,
) -> None:
    """Train to the end of the run.

    Args:
        run: its length and files.
        state: what a checkpoint keeps, by name.
        make: batch of a step's number; runs in another process unless `run.in_process`.
        update: takes the step of that number.
        report: figures since the last report, for the log.
        resume: told the first step before any batch is made.
    """
    start = _load(run.checkpoint, state)
    _forget_after(start, run)
    resume(start)
    began, bar = time.time(), tqdm(initial=start, total=run.num_steps, mininterval=10)
    with closing(feed(make, range(start, run.last), in_process=run.in_process)) as batches:
        for step, batch in enumerate(batches, start):
            update(step, batch)
            bar.update()
            if (step + 1) % run.log_every == 0:
                row = {"phase": run.phase, "step": step + 1, "seconds": round(time.time() - began), **report()}
                with run.log.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            if (step + 1) % run.save_every == 0 or step + 1 == run.last:
                _save(run.checkpoint, state, step + 1)
    bar.close()


def descend(
    loss: Tensor, parameters: Iterable[Tensor], optimizers: Sequence[torch.optim.Optimizer], *, learning_rate: float
) -> None:
    """Take one step of that size down the gradient of `loss`, clipped to norm 1, and forget the gradient."""
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _load(checkpoint: Path, state: Mapping[str, Stateful]) -> int:
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, weights_only=True)
    if saved.keys() != {*state, "step"}:
        msg = (
            f"{quote(str(checkpoint))} is no checkpoint of this phase, or of an older version: begin from its "
            "weights with "
        )
        raise ModelLoadError(f"{msg}--start-from {checkpoint} and another --run")
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return int(saved["step"])


def _save(checkpoint: Path, state: Mapping[str, Stateful], step: int) -> None:
    fresh = checkpoint.with_suffix(".new")
    torch.save({**{name: part.state_dict() for name, part in state.items()}, "step": step}, fresh)
    fresh.replace(checkpoint)  # whole or not at all


def _forget_after(step: int, run: Run) -> None:
    """Take rows of steps that are to be done again out of the log."""
    if not run.log.exists():
        return
    lines = run.log.read_text().splitlines()
    kept = [line for line in lines if (row := json.loads(line))["phase"] != run.phase or row["step"] <= step]
    run.log.write_text("".join(f"{line}\n" for line in kept))


def feed(make: Callable[[int], T], numbers: range, *, in_process: bool) -> Generator[T]:
    """Yield the batch of every number, in order, by default made ahead in a process that ends with this one."""
    if in_process:
        yield from map(make, numbers)
        return
    queue: mp.Queue[T] = mp.Queue(QUEUE_LENGTH)
    worker = mp.Process(target=_work, args=(queue, make, numbers), daemon=True)
    worker.start()
    try:
        for _ in numbers:
            yield _get(queue, worker)
    finally:
        worker.terminate()
        worker.join()


def _get(queue: mp.Queue[T], worker: mp.Process) -> T:
    while True:
        try:
            return queue.get(timeout=PATIENCE_SECONDS)
        except Empty:
            if not worker.is_alive():
                msg = "the process that makes the batches has died, see its error above; run again to resume"
                raise VReasonError(msg) from None


def _work(queue: mp.Queue[T], make: Callable[[int], T], numbers: range) -> None:
    load_cv2().setNumThreads(0)  # they fight with torch's
    torch.set_num_threads(1)
    for number in numbers:
        batch = make(number)
        while not _has_put(queue, batch):
            parent = mp.parent_process()
            if parent is not None and not parent.is_alive():
                return  # killed, it could not end this process


def _has_put(queue: mp.Queue[T], batch: T) -> bool:
    try:
        queue.put(batch, timeout=PATIENCE_SECONDS)
    except Full:
        return False
    return True
