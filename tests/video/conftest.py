"""Clips for all tests of this folder, encoded once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.video.hazards import HAZARDS, Clip, Oracle, write_opencv


@pytest.fixture(scope="session")
def hazard(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Oracle]:
    """A function from a hazard's name to its clip; nobody changes the file."""
    made: dict[str, Oracle] = {}

    def make(name: str) -> Oracle:
        if name not in made:
            clip = HAZARDS[name]
            made[name] = Oracle(clip.write(tmp_path_factory.mktemp("hazard") / clip.name))
        return made[name]

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function from a name and what differs from the usual clip to a new file, which the test may change."""
    return lambda name, **how: Clip(name, **how).write(tmp_path / name)


@pytest.fixture
def write_cv(tmp_path: Path) -> Callable[..., Path]:
    """Write a clip with OpenCV's writer."""
    return lambda name, **how: write_opencv(tmp_path / name, **how)
