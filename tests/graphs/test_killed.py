"""A ladder killed with SIGKILL goes on from its checkpoints: no completed rung again, and the answer of a whole run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.graphs.postgres import postgres_server, why_not

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(300)]

RUN = '''
import json, os, signal, sys
from vreason_agent.graphs import AcceptPolicy, ScriptedChatModel, ScriptedReply, build_video_qa_graph

clip, folder, store, asked, kill_at = *sys.argv[1:4], sys.argv[4] == "ask", int(sys.argv[5])
if store.startswith("postgresql:"):
    from langgraph.checkpoint.postgres import PostgresSaver as Saver
else:
    from langgraph.checkpoint.sqlite import SqliteSaver as Saver


class Model(ScriptedChatModel):
    """Answers by the number of frames, writes down each call, and kills the process in the middle of one."""

    def _generate(self, messages, *args, **kwargs):
        num_frames = len(messages[0].content[0]["extras"]["timestamps"])
        with open(f"{folder}/calls.txt", "a") as calls:
            print(num_frames, file=calls, flush=True)
        if num_frames == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        drop = 0.9 if num_frames == 16 else 0.1
        self.replies.append(ScriptedReply(f"answer at {num_frames}", {"entropy_drop": drop}))
        return super()._generate(messages, *args, **kwargs)


with Saver.from_conn_string(store) as saver:
    saver.setup()
    graph = build_video_qa_graph(Model(replies=[]), policy=AcceptPolicy(min_agreeing=1), checkpointer=saver)
    question = {"video": clip, "question": "Which color?"} if asked else None
    result = graph.invoke(question, {"configurable": {"thread_id": folder}}, durability="sync")
    decisions = [decision["reason"] for decision in result["decisions"]]
    frames = [attempt["timestamps_seconds"] for attempt in result["attempts"]]
    print(json.dumps({"answer": result["answer"], "decisions": decisions, "frames": frames}))
'''


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give what to connect to: a file, or a PostgreSQL server of the test's own."""
    if request.param == "sqlite":
        yield str(tmp_path / "runs.sqlite")
        return
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with postgres_server() as url:
        yield url


def run(clip: Path, folder: Path, store: str, asked: str, kill_at: int) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", RUN, str(clip), str(folder), store, asked, str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def calls(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "calls.txt").read_text().split()]


def test_a_killed_ladder_goes_on_where_it_was(clip: Path, tmp_path: Path, store: str) -> None:
    undisturbed = run(clip, tmp_path / "whole", store, "ask", 0)
    assert undisturbed.returncode == 0, undisturbed.stderr
    killed = run(clip, tmp_path / "killed", store, "ask", 8)
    assert killed.returncode == -signal.SIGKILL
    assert calls(tmp_path / "killed") == [4, 8]
    resumed = run(clip, tmp_path / "killed", store, "resume", 0)
    assert resumed.returncode == 0, resumed.stderr
    assert calls(tmp_path / "killed") == [4, 8, 8, 16]
    result: dict[str, Any] = json.loads(resumed.stdout)
    assert result == json.loads(undisturbed.stdout)
    assert result["answer"] == "answer at 16"
