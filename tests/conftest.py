"""What holds for every test: no network, one thread, no settings from the shell, random state restored."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("suite", settings(), deadline=None)  # a busy machine is no failure
settings.load_profile("suite")

# Before any test imports torch, transformers or LangChain: they read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
for _name in [name for name in os.environ if name.startswith(("LANGSMITH_", "LANGCHAIN_", "VREASON_MODEL"))]:
    del os.environ[_name]

LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests marked `network` reach this machine's own servers, and nothing else."""
    for item in items:
        if item.get_closest_marker("network"):
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip `gpu` tests where there is no GPU; fail them where one was promised."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            if os.environ.get("VREASON_REQUIRE_GPU") == "1":
                pytest.fail("VREASON_REQUIRE_GPU=1, but torch sees no CUDA device")
            pytest.skip("no CUDA device")


@pytest.fixture(autouse=True)
def _one_thread_and_random_state_restored() -> Iterator[None]:
    """Keep a test's seeds and draws from reaching the next test."""
    python_state = random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    numpy_state = numpy.random.get_state() if numpy else None
    torch_state = None
    if torch:
        torch.set_num_threads(1)
        torch_state = torch.get_rng_state()
    yield
    random.setstate(python_state)
    if numpy and numpy_state:
        numpy.random.set_state(numpy_state)
    if torch and torch_state is not None:
        torch.set_rng_state(torch_state)


@pytest.fixture(scope="session")
def real_videos() -> Path:
    """Return the folder of real clips named by VREASON_TEST_VIDEOS, or skip: every hazard also has a generated file."""
    folder = os.environ.get("VREASON_TEST_VIDEOS")
    if not folder:
        pytest.skip("VREASON_TEST_VIDEOS names no folder of real clips")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"VREASON_TEST_VIDEOS={folder!r} is not a folder")
    return path
