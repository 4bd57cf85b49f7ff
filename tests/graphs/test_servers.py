"""The graph with `ChatOpenAI` on the servers that people run, in the shape of each one's documents.

Written by us after the servers' documentation, played through the real client by an HTTP transport in its place. Which
server tells what is the table in docs/servers.md; it stands here as data, so that the two cannot part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI

from vreason_agent.graphs import build_video_qa_graph
from vreason_agent.graphs.policy import AcceptPolicy, Ladder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip

THOUGHT, ANSWER = "it is there for a moment and it is red", "red"
LADDER = Ladder(4, 8)


@dataclass(frozen=True)
class Server:
    """One server: what it tells beside the text, what of a request it takes, and how its replies are written."""

    logprobs: str = "yes"
    reasoning: str | None = None
    beside: tuple[tuple[str, Any], ...] = ()
    refused: tuple[str, ...] = ()

    def reply(self, request: dict[str, Any]) -> httpx.Response:
        if unsupported := [name for name in self.refused if name in request]:
            return httpx.Response(422, json={"detail": f"Unsupported fields in the request: {set(unsupported)}"})
        text = ANSWER if self.reasoning else f"<think>{THOUGHT}</think><answer>{ANSWER}</answer>"
        message = {"role": "assistant", "content": text, **({self.reasoning: THOUGHT} if self.reasoning else {})}
        written = f"{THOUGHT}</think>{ANSWER}" if self.reasoning else text  # all that was written, thinking included
        tells = self.logprobs == "yes" and request.get("logprobs")
        told = _logprobs(written, request.get("top_logprobs", 0)) if tells else None
        choice = {"index": 0, "message": message, "logprobs": told, "finish_reason": "stop"}
        usage = {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
        return httpx.Response(200, json={**body, "choices": [choice], **dict(self.beside)})


SERVERS = {
    "vLLM": Server(reasoning="reasoning", beside=(("prompt_logprobs", None), ("kv_transfer_params", None))),
    "SGLang": Server(reasoning="reasoning_content", beside=(("metadata", {"weight_version": "default"}),)),
    "Ollama": Server(beside=(("system_fingerprint", "fp_ollama"),)),
    "LM Studio": Server(logprobs="no", beside=(("stats", {}), ("system_fingerprint", "m"))),
    "transformers serve": Server(logprobs="no", refused=("logprobs", "top_logprobs", "response_format", "n")),
}


def _logprobs(text: str, num_top: int) -> dict[str, Any]:
    """Uncertain at first, certain at the end, in OpenAI's shape."""
    tokens = re.findall(r"\s*[^\s<>]+|[<>]", text)
    pairs = [(token, -0.02 if index > len(tokens) // 2 else -0.7) for index, token in enumerate(tokens)]
    return {
        "content": [
            {
                "token": token,
                "logprob": value,
                "bytes": list(token.encode()),
                "top_logprobs": [
                    {"token": other, "logprob": value - step, "bytes": list(other.encode())}
                    for step, other in enumerate((token, "?", "!"))
                ][:num_top],
            }
            for token, value in pairs
        ]
    }


class Played(httpx.BaseTransport):
    """A server in the client's process, which keeps the requests."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.requests: list[dict[str, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.read())
        self.requests.append(asked)
        return self.server.reply(asked)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("servers") / "clip.mp4"
    write_clip(path, make_clip(1, "dev"))
    return str(path)


def ask(server: Server, video: str, **told: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the ladder against a server; returns its output and the requests."""
    played = Played(server)
    chat_model = ChatOpenAI(
        model="m", base_url="http://server/v1", api_key="none", http_client=httpx.Client(transport=played), **told
    )
    policy = AcceptPolicy(min_entropy_drop=0.2)
    graph = build_video_qa_graph(chat_model, ladder=LADDER, policy=policy)
    return dict(graph.invoke({"video": video, "question": "What color?", "options": ["red", "blue"]})), played.requests


def blocks_of(request: dict[str, Any]) -> Iterator[str]:
    for message in request["messages"]:
        for block in message["content"]:
            yield block["type"]


@pytest.mark.parametrize("name", [name for name, server in SERVERS.items() if server.logprobs == "yes"])
def test_a_server_with_logprobs_is_judged_by_its_entropy(name: str, video: str) -> None:
    result, requests = ask(SERVERS[name], video, logprobs=True, top_logprobs=3)
    assert result["answer"] == ANSWER
    signals = result["attempts"][-1]["confidence"]["signals"]
    assert signals["entropy_drop"] > 0.2
    assert "from_logprobs" in result["attempts"][-1]["confidence"]["warnings"]
    assert "entropy fell by" in result["decisions"][-1]["reason"]
    assert [list(blocks_of(request)).count("image_url") for request in requests] == [4, 8]
    assert all("t = " in json.dumps(request) for request in requests), "each picture stands after its time"


@pytest.mark.parametrize("name", [name for name, server in SERVERS.items() if server.logprobs == "no"])
def test_a_server_without_logprobs_is_judged_by_agreement_and_says_so(name: str, video: str) -> None:
    result, requests = ask(SERVERS[name], video)
    assert (result["answer"], len(requests)) == (ANSWER, 2)
    reason = "the server tells no log-probabilities, and two attempts in a row gave the same answer"
    assert result["decisions"][-1]["reason"] == reason
    assert result["attempts"][-1]["confidence"]["probability"] is None


def test_where_no_second_attempt_may_follow_an_unmeasured_answer_is_not_accepted(video: str) -> None:
    played = Played(SERVERS["LM Studio"])
    client = httpx.Client(transport=played)
    chat_model = ChatOpenAI(model="m", base_url="http://server/v1", api_key="none", http_client=client)
    graph = build_video_qa_graph(chat_model, ladder=Ladder(4, 4), policy=AcceptPolicy(max_retries=0))
    result = graph.invoke({"video": video, "question": "What color?", "options": ["red", "blue"]})
    assert result["answer"] is None
    assert "no entropy was measured" in result["decisions"][-1]["reason"]


def test_asking_for_logprobs_where_they_are_refused_is_the_servers_error(video: str) -> None:
    with pytest.raises(Exception, match="422"):
        ask(SERVERS["transformers serve"], video, logprobs=True)


def test_the_table_of_servers_is_that_of_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
    rows = {cells[1].strip(): cells for line in page.splitlines() if len(cells := line.split("|")) > 3}
    assert {name: rows[name][2].strip() for name in SERVERS} == {name: one.logprobs for name, one in SERVERS.items()}
