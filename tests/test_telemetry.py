"""Spans of a ladder on the bundled model, read back from memory; and nothing at all where nobody traces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vreason_agent import telemetry
from vreason_agent.chat_model import ChatVReason
from vreason_agent.graphs import build_video_qa_graph
from vreason_agent.graphs.policy import AcceptPolicy, Ladder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What is traced by a provider of this test's own."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", lambda: provider.get_tracer(telemetry.NAME))
    yield exporter
    provider.shutdown()


def ask(tmp_path: Path) -> dict[str, Any]:
    write_clip(tmp_path / "clip.mp4", make_clip(3, "dev"))
    chat_model = ChatVReason(model="tiny", device="cpu", max_tokens=40)
    policy = AcceptPolicy(min_probability=1.0, max_retries=0)
    graph = build_video_qa_graph(chat_model, ladder=Ladder(4, 8), policy=policy)
    return dict(graph.invoke({"video": str(tmp_path / "clip.mp4"), "question": "What color is the circle?"}))


def test_looks_hold_chats_and_chats_hold_their_phases(exported: Any, tmp_path: Path) -> None:
    attempts = ask(tmp_path)["attempts"]
    spans = exported.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    held = [(names.get(span.parent.span_id) if span.parent else None, span.name) for span in spans]
    assert held.count((None, "vreason.look")) == held.count(("vreason.look", "chat tiny")) == len(attempts) == 2
    assert held.count(("chat tiny", "vreason.decode")) == held.count(("chat tiny", "vreason.prefill")) == 2
    chats = [span.attributes for span in spans if span.name == "chat tiny"]
    assert [chat["gen_ai.usage.input_tokens"] for chat in chats] == [one["tokens"]["input"] for one in attempts]
    assert [chat["gen_ai.usage.output_tokens"] for chat in chats] == [one["tokens"]["output"] for one in attempts]
    assert {chat["gen_ai.operation.name"] for chat in chats} == {"chat"}
    decodes = [span for span in spans if span.name == "vreason.decode"]
    assert all(span.attributes["vreason.num_updates"] > 0 and span.end_time > span.start_time for span in decodes)


def test_without_opentelemetry_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(telemetry, "_is_installed", lambda: False)
    assert len(ask(tmp_path)["attempts"]) == 2
