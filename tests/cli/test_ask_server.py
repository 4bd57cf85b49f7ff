"""`ask --server`, with the server's replies played."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from vreason_agent.cli import ask_server

Play = Callable[..., list[dict[str, Any]]]
OPENED = {
    "event": "open",
    "video": {
        "path": "elsewhere.mp4",
        "kind": "video",
        "width_px": 64,
        "height_px": 48,
        "duration_seconds": 2.0,
        "num_frames": 16,
        "video_fps": 8.0,
        "codec": "MJPG",
        "note": None,
    },
    "model": {"name": "tiny", "device": "cpu"},
}


class Reply(io.BytesIO):
    def __init__(self, status: int, *rows: Any) -> None:
        lines = [f"data: {json.dumps(row)}\n\n" for row in rows] if status == 200 else [json.dumps(rows[0])]
        super().__init__("".join([*lines, "data: [DONE]\n\n" if status == 200 else ""]).encode())
        self.status = status


def refusal(kind: str, code: str | None, message: str = "no") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code}}


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that sets the replies to come, and gives the questions that were asked."""

    def play(*replies: Reply) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []
        waiting = list(replies)

        def post(server: str, question: dict[str, Any]) -> Any:
            asked.append(question)
            return waiting.pop(0)

        monkeypatch.setattr(ask_server, "_post", post)
        return asked

    return play


@pytest.fixture(scope="session")
def result(clip: str) -> dict[str, Any]:
    from vreason_agent.graphs import ScriptedChatModel, ScriptedReply
    from vreason_agent.qa import VideoQuestion, answer_events

    replies = [ScriptedReply("red", {"entropy_drop": 0.9, "peak_entropy": 1.0, "final_entropy": 0.1}, "A")] * 2
    asked = VideoQuestion(video=clip, question="What color?", options=["red", "blue"])
    *_, last = answer_events(ScriptedChatModel(replies=replies), asked)
    return json.loads(json.dumps(last))


def test_a_servers_answer_is_reported_as_ones_own(command: Command, clip: str, play: Play, result: Any) -> None:
    token = {"event": "token", "channel": "text", "text": "red"}
    asked = play(Reply(200, OPENED, token, result))
    assert command("ask", clip, "What color?", "--option", "red", "--option", "blue", "--server", "http://h:1") == 0
    assert command.out.startswith("Answer: red (option A)\n")
    assert f"video: {clip}" in command.err
    assert "model: tiny on cpu, at http://h:1" in command.err
    (question,) = asked
    assert question["video"] == Path(clip).as_uri()
    assert (question["num_frames"], question["max_frames"]) == (4, 32)


def test_a_file_that_the_server_may_not_open_is_sent_along(
    command: Command, clip: str, play: Play, result: Any
) -> None:
    asked = play(Reply(400, refusal("invalid_request_error", "invalid_video")), Reply(200, OPENED, result))
    assert command("ask", clip, "What color?", "--server", "http://h:1", "--json") == 0
    assert json.loads(command.out)["best_guess"]["answer"] == "red"
    assert asked[1]["video"].startswith("data:video/")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(400, refusal("invalid_request_error", None, "bad seed")), "the server says: bad seed"),
        (Reply(401, refusal("authentication_error", "invalid_api_key", "key?")), "the server says: key?"),
        (Reply(429, refusal("rate_limit_error", "queue_full", "later")), "the server says: later"),
        (Reply(502, "bad gateway"), "is it a vreason-agent server?"),
        (Reply(200, OPENED, refusal("server_error", None, "memory")), "the server says: memory"),
        (Reply(200, OPENED), ""),
    ],
)
def test_what_the_server_refuses_is_one_sentence(
    command: Command, clip: str, play: Play, reply: Reply, told: str
) -> None:
    if not told:
        reply = Reply(200, OPENED)
        reply.truncate(len(reply.getvalue()) - len("data: [DONE]\n\n"))
        told = "closed the connection before the answer's end; ask again"
    play(reply)
    assert command("ask", clip, "What color?", "--server", "http://h:1") == 1
    assert told in command.err


def test_an_address_that_is_none_and_a_server_that_is_not_there(command: Command, clip: str) -> None:
    assert command("ask", clip, "What?", "--server", "localhost:8000") == 1
    assert "such as http://127.0.0.1:8000" in command.err


def test_nothing_heavy_is_imported_to_ask_a_server() -> None:
    code = (
        "import sys, vreason_agent.cli.ask_server, vreason_agent.cli\n"
        "vreason_agent.cli.main(['ask', 'x.mp4', 'What?', '--server', 'nowhere'])\n"
        "heavy = {'torch', 'transformers', 'langchain_core', 'langgraph', 'cv2', 'pydantic', 'httpx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
