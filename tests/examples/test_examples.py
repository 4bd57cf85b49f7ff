from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(name: str, tmp_path: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error::UserWarning:vreason_agent", str(EXAMPLES / name), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_asking_from_python_prints_reasoning_answer_and_confidence_in_words(tmp_path: Path) -> None:
    output = run("ask_from_python.py", tmp_path)
    assert re.search(r"^Reasoning: \S", output, re.MULTILINE)
    assert re.search(r"^Answer: \S", output, re.MULTILINE)
    assert "no calibrator is loaded" in output
    assert "%" not in output


def test_the_streamed_graph_tells_every_step(tmp_path: Path) -> None:
    output = run("stream_graph.py", tmp_path)
    assert "Looking at 4 frames: [0.0, " in output
    assert re.search(r"^(accept|more_frames|retry|abstain): .*entropy", output, re.MULTILINE)
    assert re.search(r"^Spent: \{'attempts': [1-4], ", output, re.MULTILINE)
    last = re.findall(r"^(accept|more_frames|retry|abstain): ", output, re.MULTILINE)[-1]
    assert last in ("accept", "abstain")
