"""How many threads a model computes with, also in a forked process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from vreason_agent.errors import GenerationError
from vreason_agent.model import threads
from vreason_agent.model.threads import ONE_THREAD_PARAMETERS, chosen_threads

CPU = torch.device("cpu")
FORK = """
import multiprocessing, threading, torch
torch.set_num_threads(4)
from tests.model.conftest import ask
from vreason_agent.model import load_model
model = load_model("tiny", device="cpu")
expected = model.generate([ask()])[0].token_ids
torch.ones(2000, 2000) @ torch.ones(2000, 2000)

def work(queue):
    torch.ones(2000, 2000) @ torch.ones(2000, 2000)
    queue.put((load_model("tiny", device="cpu").generate([ask()])[0].token_ids == expected, torch.get_num_threads()))

context = multiprocessing.get_context("fork")
queue = context.Queue()
with model.lock:  # as if another thread was generating at the moment of the fork
    child = context.Process(target=work, args=(queue,), daemon=True)
    child.start()
print(queue.get(timeout=60), torch.get_num_threads())
"""


def test_small_models_compute_with_one_thread_and_leave_the_callers_choice_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for size, inside in ((ONE_THREAD_PARAMETERS, 1), (ONE_THREAD_PARAMETERS + 1, 3)):
            with chosen_threads(size, CPU):
                assert torch.get_num_threads() == inside
                with chosen_threads(5, CPU):
                    assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 3
        with pytest.raises(KeyError), chosen_threads(5, CPU):
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow  # four threads on busy cores
@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="this system has no fork")
def test_a_process_forked_after_an_answer_answers_too() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["(True,", "1)", "4"], done.stderr


def test_a_forked_process_is_told_where_its_model_does_not_work_or_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_is_forked", True)
    with (
        pytest.raises(GenerationError, match=r"on cuda, .*get_context\('spawn'\)"),
        chosen_threads(5, torch.device("cuda")),
    ):
        pass
    with (
        pytest.warns(RuntimeWarning, match=r"one thread only\. .*get_context\('spawn'\).* to use more"),
        chosen_threads(ONE_THREAD_PARAMETERS + 1, CPU),
    ):
        pass
