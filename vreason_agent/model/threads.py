"""How many threads torch computes with on the CPU, and what a forked process does differently."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch

from vreason_agent.errors import GenerationError

__all__ = ["call_after_fork", "chosen_threads"]

ONE_THREAD_PARAMETERS = 50_000_000
"""Models up to this size compute with one thread: their operations are so short that waiting for other threads costs
more than it saves, and up to ten times as much while another process is busy."""

_lock = threading.Lock()
_num_running = 0
_num_threads = 1
_is_forked = False


@contextmanager
def chosen_threads(num_parameters: int, device: torch.device) -> Iterator[None]:
    """Run what is inside with as many threads as suit a model of this size; the caller's choice comes back after it.

    Raises:
        GenerationError: this process was forked and the model lies on a device that does not survive that.

    Warns:
        RuntimeWarning: this process was forked, so that a larger model computes with one thread too.
    """
    global _num_running, _num_threads
    if _is_forked:
        _check_forked(num_parameters, device)
    if device.type != "cpu" or num_parameters > ONE_THREAD_PARAMETERS:
        yield
        return
    with _lock:
        if not _num_running:
            _num_threads = torch.get_num_threads()
        _num_running += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _num_running -= 1
            torch.set_num_threads(_num_threads)


@cache
def call_after_fork(renew: Callable[[], None]) -> None:
    """Have every process that is forked from this one compute with one thread, and call `renew` first.

    OpenMP's threads do not survive a fork: a second thread would be waited for without end.
    """

    def prepare() -> None:
        global _lock, _num_running, _is_forked
        _lock, _num_running, _is_forked = threading.Lock(), 0, True
        renew()
        torch.set_num_threads(1)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=prepare)


def _check_forked(num_parameters: int, device: torch.device) -> None:
    spawn = (
        "Start processes with multiprocessing.get_context('spawn') and load the model in each of them (gunicorn "
        "without --preload, celery with --pool solo or threads)"
    )
    if device.type != "cpu":
        raise GenerationError(
            f"this process was forked from one that had loaded the model on {device}, which cannot be used in two "
            f"processes. {spawn}"
        )
    if num_parameters > ONE_THREAD_PARAMETERS:
        warnings.warn(
            "this process was forked from one that had loaded the model, so that it computes with one thread only. "
            f"{spawn} to use more",
            RuntimeWarning,
            stacklevel=4,
        )
