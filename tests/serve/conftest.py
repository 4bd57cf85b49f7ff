from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chat_model.conftest import clip, engine, picture
from tests.chat_model.fakes import FakeEngine
from vreason_agent.chat_model import ChatVReason
from vreason_agent.video import ReadOptions

__all__ = ["clip", "engine", "picture"]

Ask = dict[str, Any]
QUESTION = [{"role": "user", "content": "Which color?"}]


@pytest.fixture
def make_app(engine: FakeEngine) -> Callable[..., Any]:
    """Return what builds an application around the fake engine."""
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from vreason_agent.serve import ServeSettings, create_app

    def make(*, roots: tuple[str | Path, ...] = (), **settings: Any) -> Any:
        return create_app(ChatVReason(read_options=ReadOptions(roots=roots)), ServeSettings(**settings))

    return make


class Client:
    """Requests to an application in this process."""

    def __init__(self, app: Any, **headers: str) -> None:
        self.app = app
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://localhost",
            headers=headers,
            timeout=60,
        )

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(path)

    async def chat(self, messages: Any = QUESTION, **body: Any) -> httpx.Response:
        return await self._http.post("/v1/chat/completions", json={"messages": messages, **body})

    async def post(self, path: str, **rest: Any) -> httpx.Response:
        return await self._http.post(path, **rest)

    async def stream(self, messages: Any = QUESTION, **body: Any) -> list[dict[str, Any]]:
        """Return the chunks of a stream, which must end as one."""
        response = await self.chat(messages, stream=True, **body)
        assert response.headers["content-type"].startswith("text/event-stream"), response.text
        *events, end, rest = response.text.split("\n\n")
        assert (end, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


class Connection:
    """One streamed request whose client can go away, by the ASGI interface itself."""

    def __init__(self, app: Any, body: dict[str, Any]) -> None:
        self.sent: list[Any] = []
        self.is_begun = asyncio.Event()
        self._gone = asyncio.Event()
        self._body = [json.dumps(body).encode()]
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "scheme": "http",
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
            "http_version": "1.1",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def leave(self) -> None:
        self._gone.set()

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if message.get("body"):
            self.is_begun.set()


@pytest.fixture
def client(make_app: Callable[..., Any]) -> Client:
    return Client(make_app())
