from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning:vreason_agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def run(name: str, tmp_path: Path) -> str:
    """Ask what `demo-video` says of its clip."""
    written = python("-m", "vreason_agent", "demo-video", "demo.mp4", "--json", cwd=tmp_path)
    demo = json.loads(written.stdout)
    done = python(str(EXAMPLES / name), demo["path"], demo["question"], *demo["options"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["ask_from_python.py", "stream_graph.py"])
def test_without_a_question_an_example_says_how_to_run_it(name: str, tmp_path: Path) -> None:
    done = python(str(EXAMPLES / name), cwd=tmp_path)
    assert done.returncode == 1
    assert "vreason-agent demo-video demo.mp4" in done.stderr
    assert f"python examples/{name} demo.mp4 QUESTION" in done.stderr


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
