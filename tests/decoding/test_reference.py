"""The engine equals a naive reference: same tokens, entropies as good as equal (method, point 4)."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.naive import naive_decode
from tests.decoding.tiny_models import ROUNDING_NATS, make_prompt
from vreason_agent.decoding import VReasonConfig, decode
from vreason_agent.decoding.config import Schedule


def assert_equals_naive(model: PreTrainedModel, config: VReasonConfig, greedy: GenerationConfig) -> None:
    prompt = make_prompt(model)
    result = decode(model, **prompt.arguments, config=config, generation_config=greedy)
    naive = naive_decode(model, prompt.inputs, prompt.arguments["position_ids"], config, greedy.max_new_tokens)
    trace = result.traces[0]
    assert result.sequences[0] == naive.tokens
    assert trace.entropy == pytest.approx(naive.entropy, abs=ROUNDING_NATS)
    signs = [None if switch is None else int(switch.loss_sign) for switch in trace.switch]
    assert signs == naive.signs
    if trace.unsteered_entropy is not None:
        assert trace.unsteered_entropy == pytest.approx(naive.unsteered, abs=ROUNDING_NATS)


def test_steered_run_equals_the_naive_reference(hf_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    assert_equals_naive(hf_model, VReasonConfig(record_unsteered_entropy=True), greedy)


@pytest.mark.parametrize("schedule", ["off", "alternating", "minimize", "maximize", "random"])
def test_every_schedule_equals_the_naive_reference(
    sharp_model: PreTrainedModel, greedy: GenerationConfig, schedule: Schedule
) -> None:
    assert_equals_naive(sharp_model, VReasonConfig(schedule=schedule, seed=3), greedy)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_optim_steps": 3},
        {"apply_to": "current"},
        {"apply_to": "current", "num_optim_steps": 2, "record_unsteered_entropy": True},
        {"reset_moments_on_switch": False},
        {"update_interval": 3, "warmup_steps": 5, "ema_decay": 0.5, "peak_margin": 0.02},
        {"learning_rate": 0.05, "betas": (0.5, 0.9), "eps": 1e-4},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_every_option_equals_the_naive_reference(
    sharp_model: PreTrainedModel, greedy: GenerationConfig, fields: dict[str, Any]
) -> None:
    assert_equals_naive(sharp_model, VReasonConfig(**fields), greedy)
