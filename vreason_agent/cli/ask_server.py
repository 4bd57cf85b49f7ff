"""`vreason-agent ask --server URL`: the question goes to a running server, and its events are shown as they come.

Only the standard library is imported, so that the answer begins at once. This module knows the server's events and no
model.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import mimetypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from vreason_agent.errors import ConfigError, GenerationError, VReasonError, quote

PATH = "/v1/ask"
KEY_VARIABLE = "VREASON_API_KEY"
_CLASSES = {"invalid_request_error": ConfigError, "authentication_error": ConfigError}


def server_events(arguments: argparse.Namespace, rungs: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Yield the events of a question asked at a server: `open` first, `result` last.

    A file that the server may not open by its path is sent along.

    Raises:
        ConfigError: If the server refuses the question.
        GenerationError: If it cannot be reached, or fails.
    """
    question = {
        "video": arguments.video if "://" in arguments.video else Path(arguments.video).resolve().as_uri(),
        "question": arguments.question,
        "options": arguments.option or [],
        "start_seconds": arguments.start,
        "stop_seconds": arguments.stop,
        "num_frames": rungs[0],
        "max_frames": rungs[1],
        "frame_policy": arguments.frame_policy,
        "seed": arguments.seed,
        "max_risk": arguments.max_risk,
        "schedule": arguments.schedule,
    }
    response = _post(arguments.server, question)
    if response.status == 400 and os.path.isfile(arguments.video):
        refusal = response.read()
        if json.loads(refusal)["error"]["code"] != "invalid_video":
            raise _error(refusal)
        response = _post(arguments.server, {**question, "video": _inline(arguments.video)})
    if response.status != 200:
        raise _error(response.read())
    yield from _read_events(response)


def _read_events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in response:
        if line.startswith(b'data: {"error"'):
            raise _error(line.removeprefix(b"data: "))
        if line.startswith(b"data: {"):
            yield json.loads(line.removeprefix(b"data: "))
        elif line.startswith(b"data: [DONE]"):
            return
    raise GenerationError("the server closed the connection before the answer's end; ask again")


def _post(server: str, question: dict[str, Any]) -> http.client.HTTPResponse:
    url = _checked(server)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=600)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    if key := os.environ.get(KEY_VARIABLE):
        headers["Authorization"] = f"Bearer {key}"
    try:
        connection.request("POST", url.path.rstrip("/").removesuffix("/v1") + PATH, json.dumps(question), headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as exc:
        msg = f"no server answers at {quote(server)} ({exc}); start one with: vreason-agent serve"
        raise GenerationError(msg) from exc


def _checked(server: str) -> SplitResult:
    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname:
        msg = f"--server {quote(server)} is no address of a server; give one such as http://127.0.0.1:8000"
        raise ConfigError(msg)
    return url


def _inline(path: str) -> str:
    kind = mimetypes.guess_type(path)[0] or "video/mp4"
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def _error(body: bytes) -> VReasonError:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return GenerationError(
            f"the server's answer cannot be read: {quote(body[:200])}; is it a vreason-agent server?"
        )
    return _CLASSES.get(error["type"], GenerationError)(f"the server says: {error['message']}")
