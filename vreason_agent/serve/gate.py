"""What stands before the routes: the key, the size of a body, and errors in OpenAI's shape with the right status.

This module knows no route and no model.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vreason_agent.chat.langchain_errors import GenerationTimeoutError, PromptTooLongError
from vreason_agent.errors import ConfigError, VideoError, VideoTooLargeError, VReasonError, shorten
from vreason_agent.shared_queue import CancelledCallError, QueueFullError

logger = logging.getLogger("vreason_agent.serve")
CLIENT_CLOSED = 499  # nginx's number for a client that went away
OPEN_PATHS = ("/healthz",)


class ModelUnknownError(ConfigError):
    """A request names a model that is not served."""


_INVALID, _SERVER = "invalid_request_error", "server_error"
_ERRORS: tuple[tuple[type[VReasonError], int, str, str | None], ...] = (
    (QueueFullError, 429, "rate_limit_error", "queue_full"),
    (ModelUnknownError, 404, _INVALID, "model_not_found"),
    (PromptTooLongError, 400, _INVALID, "context_length_exceeded"),
    (GenerationTimeoutError, 504, _SERVER, "timeout"),
    (CancelledCallError, 503, _SERVER, "cancelled"),
    (VideoTooLargeError, 413, _INVALID, "video_too_large"),
    (VideoError, 400, _INVALID, "invalid_video"),
    (ConfigError, 400, _INVALID, None),
    (VReasonError, 500, _SERVER, None),
)
_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_MEANINGS = {
    400: "The request cannot be followed",
    401: "The API key is missing or wrong",
    404: "No such model or path",
    413: "The request, or a video in it, is too large",
    422: "Not used: what cannot be read is 400",
    429: "Too many answers wait",
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {"application/json": {"schema": _SCHEMA}}}
    for status, meaning in _MEANINGS.items()
}


def error_body(error: VReasonError) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of one of this package's errors."""
    status, kind, code = next((row[1], row[2], row[3]) for row in _ERRORS if isinstance(error, row[0]))
    return status, _body(str(error), kind, code=code)


def install_error_handlers(app: FastAPI) -> None:
    """Let every failure of an application be an error in OpenAI's shape."""

    async def on_known(_: Request, error: Any) -> JSONResponse:
        status, body = error_body(error)
        return JSONResponse(body, status, headers={"Retry-After": "1"} if status in (429, 503) else None)

    async def on_unreadable(_: Request, error: Any) -> JSONResponse:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"] if part != "body")
        given = f", got {shorten(repr(first['input']))}" if "input" in first and param else ""
        return JSONResponse(_body(f"{param or 'the body'}: {first['msg']}{given}", _INVALID, param=param or None), 400)

    async def on_http(_: Request, error: Any) -> JSONResponse:
        return JSONResponse(_body(str(error.detail), _INVALID), error.status_code, headers=error.headers)

    async def on_bug(_: Request, error: Exception) -> JSONResponse:
        logger.error("a bug in vreason-agent; please report it", exc_info=error)
        return JSONResponse(_body(f"unexpected {type(error).__name__}; the server's log says more", _SERVER), 500)

    app.add_exception_handler(VReasonError, on_known)
    app.add_exception_handler(RequestValidationError, on_unreadable)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_bug)


class RequestGate:
    """ASGI middleware: refuses a wrong key and a body that is too large before either is read, and counts statuses."""

    def __init__(
        self, app: ASGIApp, *, api_key: str | None, max_body_bytes: int, count: Callable[[str, int], None]
    ) -> None:
        self._app, self._max_body_bytes, self._count = app, max_body_bytes, count
        self._expected = None if api_key is None else f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                self._count(getattr(route, "path", "other"), message["status"])
            await send(message)

        if refusal := self._refusal(scope):
            return await refusal(scope, receive, counted)
        try:
            return await self._app(scope, self._limited(receive), counted)
        except asyncio.CancelledError:  # the client went away before its answer began; nobody reads a status
            self._count(getattr(scope.get("route"), "path", "other"), CLIENT_CLOSED)
            raise

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"")
        if self._expected and scope["path"] not in OPEN_PATHS and not secrets.compare_digest(given, self._expected):
            told = "the API key is missing or wrong; send the header 'Authorization: Bearer KEY'"
            body = _body(told, "authentication_error", code="invalid_api_key")
            return JSONResponse(body, 401, headers={"WWW-Authenticate": "Bearer"})
        length = headers.get(b"content-length", b"0")
        return self._too_large() if length.isdigit() and int(length) > self._max_body_bytes else None

    def _limited(self, receive: Receive) -> Receive:
        num_bytes = 0

        async def limited() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_body_bytes:
                raise HTTPException(413, self._limit_text)
            return message

        return limited

    def _too_large(self) -> JSONResponse:
        return JSONResponse(_body(self._limit_text, _INVALID, code="body_too_large"), 413)

    @property
    def _limit_text(self) -> str:
        return f"the body is larger than {self._max_body_bytes:,} bytes; send a file:// address, or a smaller video"


def _body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
