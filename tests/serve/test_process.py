"""A server in a process of its own, asked by the clients that people use."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.enable_socket]
QUESTION = "Which shape does the green object have?"
OPTIONS = ["circle", "cross", "square", "triangle"]


@dataclass
class Server:
    url: str
    clip: Path
    process: subprocess.Popen[str]

    def content(self) -> list[Any]:
        video = {"type": "video_url", "video_url": {"url": self.clip.as_uri()}, "num_frames": 32}
        return [video, {"type": "text", "text": QUESTION, "extras": {"question": QUESTION, "options": OPTIONS}}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from started(tmp_path_factory)


def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server of the bundled model while this is suspended."""
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    folder = tmp_path_factory.mktemp("served")
    command = [sys.executable, "-m", "vreason_agent"]
    subprocess.run([*command, "demo-video", str(folder / "clip.mp4")], check=True, capture_output=True)
    serve = [*command, "serve", "--port", "0", "--root", str(folder), "--batch-size", "4"]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("serving"))
        yield Server(re.findall(r"http\S+", line)[0], folder / "clip.mp4", process)
        process.kill()


def test_openais_client_gets_answers_streams_and_errors(server: Server) -> None:
    openai = pytest.importorskip("openai", reason="the client `openai` is not installed")
    client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
    asked = {"model": "tiny", "messages": [{"role": "user", "content": server.content()}]}
    answer = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    (choice,) = answer.choices
    assert choice.message.content == "circle"
    assert choice.message.confidence["answer"]["choice"] == "A"
    assert len(choice.logprobs.content) == answer.usage.completion_tokens
    *chunks, usage = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "circle"
    assert usage.usage.completion_tokens == answer.usage.completion_tokens
    with pytest.raises(openai.NotFoundError, match="not served here"):
        client.chat.completions.create(**{**asked, "model": "gpt-5"})
    outside = {"type": "video_url", "video_url": {"url": "file:///etc/passwd"}}
    with pytest.raises(openai.BadRequestError, match="outside"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": [outside]}])
    assert [model.id for model in client.models.list()] == ["tiny"]


async def test_langchains_client_gets_messages_streams_and_structured_output(server: Server) -> None:
    langchain_openai = pytest.importorskip("langchain_openai", reason="`langchain-openai` is not installed")
    chat = langchain_openai.ChatOpenAI(base_url=server.url, api_key="none", model="tiny", logprobs=True)
    message = chat.invoke([("human", server.content())])
    assert message.text == "circle"
    assert message.response_metadata["logprobs"]["content"]
    assert message.usage_metadata["total_tokens"] > 0
    async with httpx.AsyncClient() as http:
        streaming = langchain_openai.ChatOpenAI(
            base_url=server.url, api_key="none", model="tiny", http_async_client=http
        )
        pieces = [piece async for piece in streaming.astream([("human", server.content())])]
    assert "".join(piece.text for piece in pieces) == "circle"
    schema = {"title": "Shape", "type": "object", "properties": {"shape": {"enum": OPTIONS}}, "required": ["shape"]}
    read = chat.with_structured_output(schema, method="json_schema").invoke("Which shape?")
    assert read["shape"] in OPTIONS
    called = chat.bind_tools([schema], tool_choice="Shape").invoke("Which shape?")
    assert called.tool_calls[0]["args"]["shape"] in OPTIONS


def test_sixteen_clients_at_once_get_their_own_answers(server: Server) -> None:
    def ask(index: int) -> str:
        seed, temperature = index // 2, 1.0
        body = {"messages": [{"role": "user", "content": f"Tell {index // 2}."}], "max_tokens": 24}
        with httpx.stream(
            "POST",
            f"{server.url}/chat/completions",
            json={**body, "seed": seed, "temperature": temperature, "stream": True},
            timeout=120,
        ) as response:
            lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: {")]
        return "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert answers[::2] == answers[1::2]  # the same question and seed, whoever it was beside
    assert len(set(answers)) > 4


def test_a_client_that_hangs_up_frees_its_place(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "Go on."}], "max_tokens": 3000, "temperature": 2.0, "stream": True}
    with httpx.stream("POST", f"{server.url}/chat/completions", json=body, timeout=60) as response:
        next(response.iter_lines())
    health = server.url.replace("/v1", "/healthz")
    deadline = time.monotonic() + 5
    while httpx.get(health).json()["num_admitted"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert httpx.get(health).json()["num_admitted"] == 0


def test_the_command_asks_a_server(server: Server) -> None:
    options = [word for option in OPTIONS for word in ("--option", option)]
    command = [sys.executable, "-m", "vreason_agent", "ask", str(server.clip), QUESTION, *options]
    done = subprocess.run([*command, "--server", server.url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Answer: circle (option A)")
    absent = subprocess.run([*command, "--server", "http://127.0.0.1:9"], capture_output=True, text=True, check=False)
    assert (absent.returncode, "vreason-agent serve" in absent.stderr) == (1, True)


def test_a_port_that_is_taken_is_one_sentence(server: Server) -> None:
    port = re.findall(r":(\d+)/", server.url)[0]
    command = [sys.executable, "-m", "vreason_agent", "serve", "--port", port]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert re.search("cannot be bound to .*; try --port 0", failed.stderr)


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="signals of POSIX")
def test_a_termination_lets_the_running_answer_end(server: Server) -> None:  # the last test: it ends the server
    body = {"messages": [{"role": "user", "content": "Go on."}], "max_tokens": 200, "temperature": 2.0, "stream": True}
    with httpx.stream("POST", f"{server.url}/chat/completions", json=body, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        assert [*lines][-2:] == ["data: [DONE]", ""]
    assert server.process.wait(20) == -signal.SIGTERM  # uvicorn hands the signal on, as supervisors expect
