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


def test_the_chain_asks_both_videos_and_tells_what_was_measured(tmp_path: Path) -> None:
    output = run("chain.py", tmp_path)
    assert len(re.findall(r"^Answer: \S", output, re.MULTILINE)) == 2
    assert len(re.findall(r"^Probability of its tokens: 0\.\d", output, re.MULTILINE)) == 2


def test_the_agent_calls_two_tools_and_answers(tmp_path: Path) -> None:
    pytest.importorskip("langchain.agents", reason="the extra `agents` is not installed")
    lines = run("tool_agent.py", tmp_path).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert "frames per second" in lines[2]
    assert "t = 2.000 s" in lines[4]
    assert lines[5] == "ai: a few colored shapes"


@pytest.mark.parametrize(
    ("action", "answer"), [("go_on", "Answer: blue (entropy drop 0.900"), ("stop", "Answer: None")]
)
def test_a_human_decides_whether_the_budget_is_exceeded(tmp_path: Path, action: str, answer: str) -> None:
    output = run("human_in_the_loop.py", tmp_path, action)
    assert "over max_attempts=2" in output
    assert output.splitlines()[-1].startswith(answer)


def test_a_servers_message_is_read_with_its_truncation_said(tmp_path: Path) -> None:
    output = run("server_confidence.py", tmp_path)
    assert "Answer: it shakes itself" in output
    assert "top_k=2; entropy in nats, a lower bound" in output
    assert "no calibrator is loaded" in output
