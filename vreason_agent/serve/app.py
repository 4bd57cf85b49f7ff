"""The server's routes.

Whoever may connect may use the model and read files inside the allowed roots, so it binds to this machine alone unless
told otherwise, checks the `Host` header there (a web page cannot reach it by a name of its own), and sends no CORS
headers. This module knows no model but the chat model it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from vreason_agent import __version__
from vreason_agent.chat.model import ChatVReason
from vreason_agent.errors import VReasonError
from vreason_agent.model import describe_model
from vreason_agent.qa import aanswer_events
from vreason_agent.serve.completion import Completion
from vreason_agent.serve.gate import DOCUMENTED, ModelUnknownError, RequestGate, error_body, install_error_handlers
from vreason_agent.serve.prometheus import Metrics
from vreason_agent.serve.requests import AskRequest, ChatRequest, DecisionRequest, local_video, with_assets, with_media
from vreason_agent.shared_queue import SharedQueue
from vreason_agent.video import Isolation, local_path, probe

LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ServeSettings:
    """How the server treats whoever connects.

    Attributes:
        api_key: Needed as `Authorization: Bearer ...` where it is set.
        allow_download: Whether requests may name https addresses, which are fetched by the one checked way.
        local_only: Whether only requests to a name of this machine are answered.
        max_rows: Most answers written side by side.
        max_waiting: Most further answers that wait; more are refused with status 429.
        max_body_bytes: Size of a request, videos in data URLs included.
    """

    api_key: str | None = None
    allow_download: bool = False
    local_only: bool = True
    max_rows: int = 8
    max_waiting: int = 64
    max_body_bytes: int = 256 * 2**20


def create_app(chat_model: ChatVReason, settings: ServeSettings | None = None) -> FastAPI:
    """Return the ASGI application that answers with a chat model.

    Args:
        chat_model: Its `read_options.roots` are what `file://` addresses may name; `None` is taken as no folder at all.
        settings: Limits and access.
    """
    settings = settings or ServeSettings()
    if chat_model.read_options.roots is None:
        chat_model = chat_model.for_call(None, {"read_options": replace(chat_model.read_options, roots=())})
    metrics = Metrics()
    server = _Server(chat_model, settings, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(server.queue.close)

    app = FastAPI(
        title="vreason-agent",
        version=__version__,
        description="Answers about videos, images and text with a local model, in OpenAI's shapes.",
        lifespan=lifespan,
        responses=DOCUMENTED,
    )
    app.post("/v1/chat/completions", summary="Answer a conversation", response_model=None)(server.chat_completions)
    app.post("/v1/systemone", summary="Answer typed questions with probabilities")(server.decide)
    app.post("/v1/ask", summary="Ask a ladder of attempts, as a stream of events", response_model=None)(server.ask)
    app.get("/v1/models", summary="The model that answers")(server.models)
    app.get("/healthz", summary="Whether the server answers")(server.health)
    app.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)(server.show_metrics)
    install_error_handlers(app)
    app.add_middleware(
        RequestGate, api_key=settings.api_key, max_body_bytes=settings.max_body_bytes, count=metrics.count_request
    )
    if settings.local_only:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_HOSTS)
    return app


class _Server:
    """The routes' handlers and what they share."""

    def __init__(self, chat_model: ChatVReason, settings: ServeSettings, metrics: Metrics) -> None:
        self.chat_model, self.settings, self.metrics = chat_model, settings, metrics
        self.queue = SharedQueue(
            max_rows=settings.max_rows, max_waiting=settings.max_waiting, on_round=metrics.rows.observe
        )
        metrics.admitted.set_function(lambda: self.queue.num_admitted)
        self.created = int(time.time())

    async def chat_completions(self, body: ChatRequest, request: Request) -> Response:
        """Answer whole, or as server-sent events with `stream`; a client that goes away ends its answer."""
        began = time.perf_counter()
        self._check_model(body.model)
        with contextlib.ExitStack() as held:
            held.enter_context(self.queue.admitted(body.num_choices))
            completion = await _while_connected(request, asyncio.to_thread(self._prepare, body))
            if not body.stream:
                answer = await _while_connected(request, completion.whole())
                self.metrics.observe_answer(began, completion.usage)
                return JSONResponse(answer)
            chunks = completion.chunks()
            held.callback(completion.cancel)
            first = await _while_connected(request, _next(chunks))  # an error until here gets a status of its own
            self.metrics.first_token.observe(time.perf_counter() - began)
            return _EventStream(self._events(first, chunks, completion, began), held.pop_all())
        raise AssertionError  # for the type checker: nothing above is suppressed

    def _prepare(self, body: ChatRequest) -> Completion:
        options = body.call_options()
        stop = options.pop("stop", None)
        chat_model = self.chat_model.for_call([stop] if isinstance(stop, str) else stop, options)
        with self._media(chat_model) as (chat_model, folder):
            messages = body.chat_messages(folder, allow_download=self.settings.allow_download)
            return Completion.prepare(self.queue, chat_model, body, messages)

    async def _events(
        self, first: dict[str, Any], chunks: AsyncGenerator[dict[str, Any]], completion: Completion, began: float
    ) -> AsyncGenerator[str]:
        try:
            yield _event(first)
            async for chunk in chunks:
                yield _event(chunk)
            self.metrics.observe_answer(began, completion.usage)
        except VReasonError as error:
            yield _event(error_body(error)[1])
        yield "data: [DONE]\n\n"

    async def ask(self, body: AskRequest, request: Request) -> Response:
        """Answer with as many frames as it takes, like `vreason-agent ask`; its events come as they happen."""
        self._check_model(body.model)
        with contextlib.ExitStack() as held:
            held.enter_context(self.queue.admitted(1))
            events = self._asked(body, held)
            first = await _while_connected(request, _next(events))
            return _EventStream(self._told(first, events), held.pop_all())
        raise AssertionError  # for the type checker: nothing above is suppressed

    async def _asked(self, body: AskRequest, held: contextlib.ExitStack) -> AsyncGenerator[dict[str, Any]]:
        chat_model = self.chat_model.for_call(None, body.call_options(self.chat_model.vreason_config))
        chat_model, folder = held.enter_context(self._media(chat_model))
        allow = self.settings.allow_download
        video = await asyncio.to_thread(local_video, body.video, folder, allow_download=allow)
        read_options = chat_model.read_options
        info = await asyncio.to_thread(probe, local_path(video), read_options)
        yield {"event": "open", "video": info.to_dict(), "model": describe_model(chat_model.engine)}
        question = body.about(video)
        with self.queue.joined():
            async with contextlib.aclosing(aanswer_events(chat_model, question, read_options=read_options)) as events:
                async for event in events:
                    yield event

    async def _told(self, first: dict[str, Any], events: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[str]:
        async with contextlib.aclosing(events):
            try:
                yield _event(first)
                async for event in events:
                    yield _event(event)
            except VReasonError as error:
                yield _event(error_body(error)[1])
        yield "data: [DONE]\n\n"

    async def decide(self, body: DecisionRequest, request: Request) -> dict[str, Any]:
        """Answer `choice`, `noul` and `score` questions about one state; probabilities are not calibrated."""
        self._check_model(body.model)
        with self.queue.admitted(1):
            return await _while_connected(request, asyncio.to_thread(self._decide, body))

    def _decide(self, body: DecisionRequest) -> dict[str, Any]:
        from vreason_agent.decision_model import Question, VReasonDecisionModel

        try:
            questions = TypeAdapter(dict[str, Question]).validate_python(body.questions)
        except ValidationError as exc:
            raise RequestValidationError(
                [{**error, "loc": ("questions", *error["loc"])} for error in exc.errors()]
            ) from exc
        with self._media(self.chat_model) as (chat_model, folder):
            state = with_assets(body.state, body.assets)
            state = with_media(state, folder, allow_download=self.settings.allow_download)
            model = VReasonDecisionModel(chat_model=chat_model)
            response = model.invoke({"state": state, "questions": questions})
        answer: dict[str, Any] = response.model_dump(mode="json", include={"model", "answers", "usage"})
        return answer

    @contextlib.contextmanager
    def _media(self, chat_model: ChatVReason) -> Iterator[tuple[ChatVReason, Path]]:
        """Yield a folder for downloads and inline videos, and the chat model that may read it too.

        What is downloaded is not to be trusted: it is read in isolation.
        """
        with tempfile.TemporaryDirectory(prefix="vreason-") as folder:
            options = chat_model.read_options
            options = replace(options, roots=(*(options.roots or ()), folder))
            if self.settings.allow_download and options.isolation is None:
                options = replace(options, isolation=Isolation())
            yield chat_model.for_call(None, {"read_options": options}), Path(folder)

    async def models(self) -> dict[str, Any]:
        """List the one model."""
        row = {"id": self.chat_model.engine.name, "object": "model", "created": self.created, "owned_by": "local"}
        return {"object": "list", "data": [row]}

    async def health(self) -> dict[str, Any]:
        """Say that the server answers, and how much is going on."""
        return {"status": "ok", "model": self.chat_model.engine.name, "num_admitted": self.queue.num_admitted}

    async def show_metrics(self) -> Response:
        """Return the metrics as text."""
        return PlainTextResponse(*self.metrics.page())

    def _check_model(self, name: str | None) -> None:
        if name not in (None, served := self.chat_model.engine.name):
            raise ModelUnknownError(f"the model {name!r} is not served here; use {served!r}, or leave the name out")


class _EventStream(StreamingResponse):
    """Server-sent events; whatever ends them, `held` is given back."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str], held: contextlib.ExitStack) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events, self._held = events, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the events; they are closed by the task that read them."""
        async with contextlib.aclosing(self._events):
            await super().stream_response(send)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


async def _next(chunks: AsyncGenerator[dict[str, Any]]) -> dict[str, Any]:
    return await anext(chunks)


async def _while_connected(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what the work returns; a client that goes away cancels it."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        return await task
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
