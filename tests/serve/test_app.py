"""The server in this process, around a fake engine and around the bundled model that follows a script."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chat_model.fakes import FakeEngine
from tests.serve.conftest import QUESTION, Client, Connection
from vreason_agent.decoding import StepRecord
from vreason_agent.errors import GenerationError
from vreason_agent.model import StreamEvent

MakeApp = Callable[..., Any]


def video(url: str, **hints: Any) -> list[dict[str, Any]]:
    part = {"type": "video_url", "video_url": {"url": url}, **hints}
    return [{"role": "user", "content": [part, {"type": "text", "text": "Which color?"}]}]


async def test_a_whole_answer_has_openais_shape_and_ours_beside_it(client: Client) -> None:
    answer = (await client.chat(logprobs=True)).json()
    (choice,) = answer["choices"]
    message = choice["message"]
    assert (answer["object"], answer["model"], choice["finish_reason"]) == ("chat.completion", "fake", "stop")
    assert (message["content"], message["reasoning_content"]) == ("red", "At 0.0 s a red circle.")
    assert message["confidence"]["answer"]["text"] == "red"
    assert message["confidence"]["probability"] is None
    assert message["vreason"]["schedule"] == "switching"
    assert len(choice["logprobs"]["content"]) == answer["usage"]["completion_tokens"]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


async def test_a_stream_says_the_same_as_the_whole(client: Client) -> None:
    whole = (await client.chat(logprobs=True)).json()
    chunks = await client.stream(logprobs=True, stream_options={"include_usage": True})
    *parts, usage = chunks
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert deltas[0] == {"role": "assistant", "content": ""}
    for name in ("content", "reasoning_content"):
        assert "".join(delta.get(name, "") for delta in deltas) == whole["choices"][0]["message"][name]
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["stop"]
    assert deltas[-1]["confidence"] == whole["choices"][0]["message"]["confidence"]
    entries = [each for part in parts for each in (part["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert entries == whole["choices"][0]["logprobs"]["content"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    assert len({part["id"] for part in chunks}) == 1


async def test_what_a_video_is_asked_with_stands_beside_it(make_app: MakeApp, engine: FakeEngine, clip: Path) -> None:
    client = Client(make_app(roots=(clip.parent,)))
    hints: dict[str, Any] = {"max_frames": 6, "fps": 2, "start": 1.0, "stop": 5.0}
    answer = (await client.chat(video(clip.as_uri(), **hints))).json()
    (seen,) = answer["choices"][0]["message"]["frames"]
    assert seen["num_frames"] == 6
    assert min(seen["timestamps_seconds"]) == 1.0
    assert max(seen["timestamps_seconds"]) < 5.0
    data = base64.b64encode(clip.read_bytes()).decode()
    inline = (await client.chat(video(f"data:video/avi;base64,{data}", num_frames=4))).json()
    assert inline["choices"][0]["message"]["frames"][0]["num_frames"] == 4


async def test_an_https_address_is_fetched_only_where_that_is_switched_on(
    make_app: MakeApp, engine: FakeEngine, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def download(url: str, folder: Path) -> Path:
        fetched.append(url)
        (folder / "video").write_bytes(clip.read_bytes())
        return folder / "video"

    monkeypatch.setattr("vreason_agent.serve.requests.download", download)
    refused = await Client(make_app()).chat(video("https://example.org/clip.avi"))
    assert (refused.status_code, fetched) == (400, [])
    assert "--allow-download" in refused.json()["error"]["message"]
    answer = await Client(make_app(allow_download=True)).chat(video("https://example.org/clip.avi"))
    assert (answer.status_code, fetched) == (200, ["https://example.org/clip.avi"])


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"messages": []}, 400, "messages: List should have at least 1 item"),
        ({"messages": QUESTION, "max_token": 3}, 400, "max_token: Extra inputs are not permitted"),
        ({"messages": QUESTION, "temperature": 3}, 400, "temperature: Input should be less than or equal to 2"),
        ({"messages": QUESTION, "logit_bias": {"1": 5}}, 400, "logit_bias: .* not supported"),
        ({"messages": QUESTION, "model": "gpt"}, 404, "the model 'gpt' is not served here; use 'fake'"),
        ({"messages": QUESTION, "vreason": "sideways"}, 400, "sideways"),
        ({"messages": QUESTION, "tool_choice": "required"}, 400, "there are no tools"),
        ({"messages": [{"role": "tool", "content": "5"}]}, 400, "tool_call_id"),
        ({"messages": video("file:///etc/passwd")}, 400, "outside"),
        ({"messages": video("data:video/mp4;base64,AAAA")}, 400, "can be opened"),
        ({"messages": video("data:video/mp4;base64,AAAA", max_frame=3)}, 400, "did you mean 'max_frames'"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, 400, "input_audio"),
    ],
)
async def test_what_cannot_be_followed_is_an_error_in_openais_shape(
    client: Client, body: dict[str, Any], status: int, told: str
) -> None:
    response = await client.post("/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (status, "invalid_request_error")
    assert re.search(told, error["message"]), error["message"]
    streamed = await client.post("/v1/chat/completions", json={**body, "stream": True})
    assert (streamed.status_code, streamed.json()["error"]["code"]) == (status, error["code"])


async def test_other_failures_have_their_status(make_app: MakeApp, engine: FakeEngine) -> None:
    client = Client(make_app(max_body_bytes=300))
    engine.context_length = 4
    long = await client.chat()
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert (await client.chat([{"role": "user", "content": "a" * 400}])).status_code == 413
    chunked = await client.post("/v1/chat/completions", content=_pieces(), headers={"content-type": "application/json"})
    assert chunked.status_code == 413
    assert (await client.post("/v1/chat/completions", content=b"{")).status_code == 400
    assert (await client.get("/nowhere")).json()["error"]["message"] == "Not Found"
    assert (await client.get("/v1/chat/completions")).status_code == 405


async def _pieces() -> Any:
    for _ in range(4):
        yield b" " * 100


async def test_a_bug_is_a_500_that_gives_nothing_away(
    client: Client, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(engine, "generate", fail)
    response = await client.chat()
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "please report it" in caplog.text


async def test_a_failure_after_the_first_token_is_an_event_of_the_stream(
    client: Client, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(requests: Any, *, on_token: Any) -> Any:
        on_token(StreamEvent(0, "<think>At", StepRecord(0, 0, 1, -0.1, 1.0)))
        raise GenerationError("memory ran out; use fewer frames")

    monkeypatch.setattr(engine, "generate", fail)
    *_, last = await client.stream()
    assert last["error"]["message"] == "memory ran out; use fewer frames"


async def test_a_key_is_asked_for_and_a_foreign_host_refused(make_app: MakeApp) -> None:
    app = make_app(api_key="s3cret")
    assert (await Client(app).chat()).json()["error"]["code"] == "invalid_api_key"
    assert (await Client(app, authorization="Bearer s3cre").chat()).status_code == 401
    assert (await Client(app, authorization="Bearer s3cret").chat()).status_code == 200
    assert (await Client(app).get("/metrics")).status_code == 401
    assert (await Client(app).get("/healthz")).status_code == 200
    assert (await Client(make_app(), host="evil.example").chat()).status_code == 400
    assert (await Client(make_app(local_only=False), host="evil.example").chat()).status_code == 200


async def test_more_than_may_wait_is_refused_and_what_leaves_makes_room(make_app: MakeApp, engine: FakeEngine) -> None:
    import threading

    engine.gate = threading.Semaphore(0)
    app = make_app(max_rows=1, max_waiting=1)
    client = Client(app)
    first, second = (asyncio.create_task(client.chat()) for _ in range(2))
    while (await client.get("/healthz")).json()["num_admitted"] < 2:
        await asyncio.sleep(0.01)
    refused = await client.chat()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (await client.chat(n=17)).status_code == 400
    engine.gate.release(1000)
    assert [(await each).status_code for each in (first, second)] == [200, 200]
    assert (await client.chat()).status_code == 200


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_client_that_leaves_ends_its_answer_within_a_token(
    make_app: MakeApp, engine: FakeEngine, *, is_streamed: bool
) -> None:
    import threading

    engine.gate = threading.Semaphore(3)
    app = make_app(max_rows=1)
    running = Connection(app, {"messages": QUESTION, "stream": is_streamed})
    waiting = Connection(app, {"messages": QUESTION, "stream": is_streamed})
    while engine.num_made < 3:
        await asyncio.sleep(0.01)
    waiting.leave()
    running.leave()
    await asyncio.wait([running.task, waiting.task], timeout=10)
    engine.gate.release(1000)
    for _ in range(50):
        await asyncio.sleep(0.01)
    assert engine.num_made == 4
    assert len(engine.requests) == 1
    assert (await Client(app).get("/healthz")).json()["num_admitted"] == 0
    assert (await Client(app).chat()).status_code == 200


async def test_closing_refuses_what_waits_and_finishes_what_runs(make_app: MakeApp, engine: FakeEngine) -> None:
    import threading

    engine.gate = threading.Semaphore(3)
    app = make_app(max_rows=1)
    client = Client(app)
    async with app.router.lifespan_context(app):
        running = asyncio.create_task(client.chat())
        while engine.num_made < 3:
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(client.chat())
        while (await client.get("/healthz")).json()["num_admitted"] < 2:
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.2, engine.gate.release, 1000)
    assert (await running).status_code == 200
    assert (await waiting).status_code == 503
    assert (await client.chat()).json()["error"]["code"] == "cancelled"


async def test_the_other_pages(client: Client) -> None:
    assert (await client.get("/v1/models")).json()["data"][0]["id"] == "fake"
    await client.chat()
    await client.get("/nowhere")
    text = (await client.get("/metrics")).text
    assert 'vreason_requests_total{path="/v1/chat/completions",status="200"} 1.0' in text
    assert 'vreason_requests_total{path="other",status="404"} 1.0' in text
    assert 'vreason_tokens_total{kind="completion"}' in text
    assert "vreason_admitted_answers 0.0" in text
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/v1/chat/completions", "/v1/systemone", "/v1/models", "/healthz", "/metrics"} <= set(paths)


class TestScripted:
    """The bundled model's own tokenizer, template, frames, batches and grammars."""

    @pytest.fixture
    def client(self) -> Client:
        pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
        from vreason_agent.chat_model import ChatVReason
        from vreason_agent.model.scripted import load_scripted
        from vreason_agent.serve import ServeSettings, create_app

        load_scripted(_echo, name="echo")
        return Client(create_app(ChatVReason(model="echo", max_tokens=80), ServeSettings(max_rows=8)))

    async def test_answers_written_side_by_side_do_not_mix(self, client: Client) -> None:
        names = [f"name{number}" for number in range(16)]
        messages = [[{"role": "user", "content": f"Say {name}."}] for name in names]
        streams = await asyncio.gather(*(client.stream(each) for each in messages))
        written = ["".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) for chunks in streams]
        assert written == names
        rounds = re.search(r"vreason_round_rows_count (\S+)", (await client.get("/metrics")).text)
        assert rounds is not None
        assert float(rounds[1]) < 8

    async def test_several_answers_have_seeds_of_their_own(self, client: Client) -> None:
        asked: dict[str, Any] = {"n": 3, "seed": 5, "temperature": 1.5, "max_tokens": 12}
        plain = [{"role": "user", "content": "Hm?"}]
        whole = (await client.chat(plain, **asked)).json()
        alone = [(await client.chat(plain, **{**asked, "n": 1, "seed": seed})).json() for seed in (5, 6, 7)]
        texts = [choice["message"]["content"] for choice in whole["choices"]]
        assert texts == [each["choices"][0]["message"]["content"] for each in alone]
        assert whole["usage"]["completion_tokens"] == sum(each["usage"]["completion_tokens"] for each in alone)
        chunks = await client.stream(plain, **asked)
        assert {chunk["choices"][0]["index"] for chunk in chunks} == {0, 1, 2}

    async def test_tools_are_called_and_schemas_followed(self, client: Client) -> None:
        parameters = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]}
        tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
        asked: dict[str, Any] = {"tools": [tool], "tool_choice": "required"}
        (choice,) = (await client.chat(**asked)).json()["choices"]
        (call,) = choice["message"]["tool_calls"]
        assert (choice["finish_reason"], call["function"]["name"]) == ("tool_calls", "weather")
        assert json.loads(call["function"]["arguments"])["city"] in ("Oslo", "Rome")
        deltas = [chunk["choices"][0]["delta"] for chunk in await client.stream(**asked)]
        pieces = [piece["function"] for delta in deltas for piece in delta.get("tool_calls", [])]
        assert "".join(piece["arguments"] for piece in pieces) == call["function"]["arguments"]
        answered = [*QUESTION, choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "rain"}]
        assert (await client.chat(answered)).status_code == 200
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": parameters}}
        said = (await client.chat(response_format=schema)).json()["choices"][0]["message"]["content"]
        assert json.loads(said)["city"] in ("Oslo", "Rome")

    async def test_a_question_is_asked_until_its_answer_settles(self, client: Client, clip: Path) -> None:
        data = f"data:video/avi;base64,{base64.b64encode(clip.read_bytes()).decode()}"
        asked = {"video": data, "question": "Say red.", "options": ["red", "blue"], "max_frames": 8, "schedule": "off"}
        response = await client.post("/v1/ask", json=asked)
        *events, end, _ = response.text.split("\n\n")
        rows = [json.loads(event.removeprefix("data: ")) for event in events]
        assert end == "data: [DONE]"
        assert (rows[0]["event"], rows[0]["model"]["name"]) == ("open", "echo")
        assert [row["event"] for row in rows if row["event"] != "token"][1:4] == ["sample", "answer", "judge"]
        result = rows[-1]["result"]
        assert result["best_guess"]["answer"] == "red"
        assert result["confidence"]["steering"]["vreason"] == "off"
        assert "".join(row["text"] for row in rows if row.get("channel") == "text") == "red" * len(result["attempts"])
        refused = await client.post("/v1/ask", json={"video": "file:///etc/passwd", "question": "What?"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_video")
        late = await client.post("/v1/ask", json={**asked, "start_seconds": 99})
        assert "99" in json.loads(late.text.split("\n\n")[1].removeprefix("data: "))["error"]["message"]

    async def test_decisions_have_a_probability_for_each_alternative(self, client: Client) -> None:
        questions = {
            "color": {"type": "choice", "instructions": "Which?", "criteria": {"red": None, "blue": None}},
            "is_red": {"type": "noul", "instructions": "Is it red?"},
        }
        response = await client.post("/v1/systemone", json={"state": "A red ball.", "questions": questions})
        answers = response.json()["answers"]
        assert sum(answers["color"]["probabilities"].values()) == pytest.approx(1)
        assert 0 <= answers["is_red"]["noul"] <= 1
        wrong = await client.post("/v1/systemone", json={"state": "x", "questions": {"a": {"type": "which"}}})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "questions.a")


def _echo(prompt: str) -> str:
    found = re.findall(r"Say (\w+)\.", prompt)
    return f"<think>So be it.</think><answer>{found[-1] if found else 'nothing'}</answer>"
