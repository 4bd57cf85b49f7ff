from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TOOL_AGENT = str(EXAMPLES / "tool_agent.py")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning:vreason_agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def run(name: str, tmp_path: Path, *arguments: str) -> str:
    done = python(str(EXAMPLES / name), *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def true_answer(tmp_path: Path) -> str:
    """Return what is true of the clip that `run_on_demo` asked about."""
    return str(json.loads((tmp_path / "demo.json").read_text())["questions"][0]["answer"])


def run_on_demo(name: str, tmp_path: Path) -> str:
    """Ask what `demo-video` says of its clip."""
    written = python("-m", "vreason_agent", "demo-video", "demo.mp4", "--json", cwd=tmp_path)
    demo = json.loads(written.stdout)
    return run(name, tmp_path, demo["path"], demo["question"], *demo["options"])


@pytest.mark.parametrize("name", ["ask_from_python.py", "stream_graph.py"])
def test_without_a_question_an_example_says_how_to_run_it(name: str, tmp_path: Path) -> None:
    done = python(str(EXAMPLES / name), cwd=tmp_path)
    assert done.returncode == 1
    assert "vreason-agent demo-video demo.mp4" in done.stderr
    assert f"python examples/{name} demo.mp4 QUESTION" in done.stderr


def test_asking_from_python_prints_reasoning_answer_and_confidence_in_words(tmp_path: Path) -> None:
    output = run_on_demo("ask_from_python.py", tmp_path)
    assert re.search(r"^Reasoning: \S", output, re.MULTILINE)
    assert f"\nAnswer: {true_answer(tmp_path)}\n" in output
    assert re.search(r"^- (About|More than) \d+% of such answers are right\.$", output, re.MULTILINE)


def test_the_streamed_graph_tells_every_step(tmp_path: Path) -> None:
    output = run_on_demo("stream_graph.py", tmp_path)
    assert "Looking at 4 frames: [0.0, " in output
    assert re.search(
        r"^(accept|more_frames|retry|abstain): about [\d.]+% of such answers are right", output, re.MULTILINE
    )
    assert re.search(r"^Spent: \{'attempts': [1-6], ", output, re.MULTILINE)
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
    ("action", "answer"), [("go_on", "Answer: blue (entropy fell by 90%"), ("stop", "Answer: None")]
)
def test_a_human_decides_whether_the_budget_is_exceeded(tmp_path: Path, action: str, answer: str) -> None:
    output = run("human_in_the_loop.py", tmp_path, action)
    assert "over max_attempts=2" in output
    assert output.splitlines()[-1].startswith(answer)


def test_a_wrong_decision_and_a_missing_extra_end_in_a_sentence(tmp_path: Path) -> None:
    wrong = python(str(EXAMPLES / "human_in_the_loop.py"), "foo", cwd=tmp_path)
    assert wrong.stderr == "'foo' is not a decision: give go_on or stop\n"
    hidden = f"import sys, runpy; sys.modules['langchain.agents'] = None; runpy.run_path({TOOL_AGENT!r})"
    without = python("-c", hidden, cwd=tmp_path)
    assert without.stderr.endswith("run: pip install 'vreason-agent[agents]'\n")
    assert without.stderr.count("\n") == 1


def test_a_servers_message_is_read_with_its_truncation_said(tmp_path: Path) -> None:
    output = run("server_confidence.py", tmp_path)
    assert "Answer: it shakes itself" in output
    assert "top_k=2; entropy in nats, a lower bound" in output
    assert "calibrator is loaded" in output


def test_visible_steering_moves_the_entropy_the_way_it_is_told(tmp_path: Path) -> None:
    output = run("steering_visible.py", tmp_path, "--clips", "5", "--plot", "traces.html")
    entropy = {name: float(value) for name, value in re.findall(r"^(\w+) +(\d\.\d{4}) ", output, re.MULTILINE)}
    assert list(entropy) == ["off", "minimize", "switching", "maximize"]
    assert entropy["minimize"] < 0.95 * entropy["off"]
    assert entropy["maximize"] > 2 * entropy["off"]
    assert (tmp_path / "traces.html").read_text().count("<img src=") == 4


def test_the_notebook_runs_offline_from_top_to_bottom(tmp_path: Path) -> None:
    """Its code cells as one program; what a cell shows last is evaluated and thrown away."""
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (tmp_path / "notebook.py").write_text("\n\n".join(code))
    done = python("notebook.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of such answers are right." in done.stdout
    assert "'attempts': " in done.stdout
    assert not any(cell.get("outputs") for cell in cells), "outputs of one machine do not belong into the file"


def test_a_deep_agent_asks_the_video_agent(tmp_path: Path) -> None:
    pytest.importorskip("deepagents", reason="deepagents is not installed: pip install deepagents")
    lines = run("deep_agent.py", tmp_path).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert "frames per second" in lines[2]
    assert lines[4:] == ["tool: a few colored shapes", "ai: the video agent saw a few colored shapes"]
