"""`langgraph dev` serves the graph that `langgraph.json` names; a thread runs, pauses and goes on through its API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("langgraph_cli", "langgraph_api", "langgraph_runtime_inmem") if find_spec(name) is None]
START_SECONDS = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed: pip install 'langgraph-cli[inmem]'"),
]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Start the server on a free port of this machine, without a browser or a tunnel; end it afterwards."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    where = ["--config", str(ROOT / "langgraph.json"), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", *where]
    environment = {**os.environ, "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}", server, tmp_path / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/ok", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"the server does not answer:\n{log.read_text()[-4000:]}")


def test_a_thread_pauses_before_its_budget_is_exceeded_and_ends_when_told(url: str, clip: Path) -> None:
    never_settled: Any = {"budget": {"max_attempts": 1}, "policy": {"min_answer_probability": 1.0}}
    asked: Any = {"video": str(clip), "question": "What color is the circle?", "options": ["red", "blue"]}
    with get_sync_client(url=url) as client:
        thread = client.threads.create()["thread_id"]
        paused: Any = client.runs.wait(thread, "video_qa", input=asked, context=never_settled)
        stop: Any = {"resume": {"action": "stop"}}
        ended: Any = client.runs.wait(thread, "video_qa", command=stop, context=never_settled)
        values: Any = client.threads.get_state(thread)["values"]
    assert "over max_attempts=1" in paused["__interrupt__"][0]["value"]["reason"]
    assert ended["decision"]["reason"].endswith("a human said stop")
    assert ended["best_guess"]["answer"] == ended["attempts"][0]["answer"]
    assert values["clip"]["path"] == str(clip)
    assert len(values["attempts"]) == 1
