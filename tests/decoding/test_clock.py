"""Wall times wait for the device, and each part of a generation is booked where it ran."""

from __future__ import annotations

import itertools
from importlib import import_module
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.tiny_models import make_prompt
from vreason_agent.decoding import DecodingSeconds, DecodingTrace, VReasonConfig, decode, vreason_generate
from vreason_agent.decoding.compat import seconds_now


@pytest.mark.parametrize(("device", "waits"), [("cpu", []), ("cuda:1", ["cuda:1"]), ("mps", ["mps"])])
def test_the_clock_waits_for_the_device(monkeypatch: pytest.MonkeyPatch, device: str, waits: list[str]) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(str(device)))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    first, second = seconds_now(torch.device(device)), seconds_now(torch.device(device))
    assert waited == waits * 2
    assert first <= second


def test_every_part_is_timed_by_the_clock_that_waits(
    monkeypatch: pytest.MonkeyPatch, sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    readings = itertools.count()

    def read(device: torch.device) -> float:
        assert device == sharp_model.device
        return float(next(readings))

    for module in ("decode", "generate", "loop", "steering", "lean_steering"):
        # The package's own `decode` hides the module of that name from a dotted path.
        monkeypatch.setattr(import_module(f"vreason_agent.decoding.{module}"), "seconds_now", read)
    prompt = make_prompt(sharp_model)
    config = VReasonConfig(apply_to="current")
    trace = decode(sharp_model, **prompt.arguments, config=config, generation_config=greedy).traces[0]
    num_readings = 2 * 2 * trace.num_updates + 1  # two spans an update, and the end of decoding
    assert trace.seconds == DecodingSeconds(None, prefill=1.0, decode=num_readings, updates=2 * trace.num_updates)
    traces: list[DecodingTrace] = []
    model: Any = sharp_model
    model.generate(
        **prompt.inputs, generation_config=greedy, custom_generate=vreason_generate, vreason=config, trace_out=traces
    )
    assert traces[0].seconds == trace.seconds
