"""Steering acts (method, point 7): without this, every other test could pass on a loop that never steers."""

from __future__ import annotations

import pytest
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.conftest import load_named_model
from tests.decoding.tiny_models import make_prompt
from vreason_agent.decoding import Phase, Switch, VReasonConfig, decode
from vreason_agent.decoding.config import Schedule


@pytest.mark.parametrize("schedule", ["switching", "alternating", "minimize", "maximize", "random"])
def test_every_schedule_changes_tokens(
    sharp_model: PreTrainedModel, greedy: GenerationConfig, schedule: Schedule
) -> None:
    arguments = make_prompt(sharp_model).arguments
    off = decode(sharp_model, **arguments, config=VReasonConfig(schedule="off"), generation_config=greedy)
    config = VReasonConfig(schedule=schedule, learning_rate=0.2)
    steered = decode(sharp_model, **arguments, config=config, generation_config=greedy)
    assert steered.sequences != off.sequences
    assert steered.sequences[0][:9] == off.sequences[0][:9]  # the first update, at step 8, acts from step 9 on


def test_steering_changes_entropies_on_every_model(hf_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    config = VReasonConfig(record_unsteered_entropy=True)
    trace = decode(hf_model, **make_prompt(hf_model).arguments, config=config, generation_config=greedy).traces[0]
    unsteered = [base for base in trace.unsteered_entropy or () if base is not None]
    assert unsteered[:9] == list(trace.entropy[:9])
    changes = [abs(base - own) for base, own in zip(unsteered[9:], trace.entropy[9:], strict=True)]
    assert max(changes) > 1e-3


def test_strong_steering_changes_tokens_on_every_model(hf_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    strong = VReasonConfig(schedule="maximize", learning_rate=1.0, update_interval=1)
    arguments = [make_prompt(hf_model, seed=seed).arguments for seed in range(3)]
    off, steered = (
        [decode(hf_model, **inputs, config=config, generation_config=greedy).sequences for inputs in arguments]
        for config in (VReasonConfig(schedule="off"), strong)
    )
    assert steered != off


def test_minimize_ends_lower_than_maximize(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    arguments = [make_prompt(sharp_model, seed=seed).arguments for seed in range(4)]
    low, high = (
        sum(
            sum(decode(sharp_model, **inputs, config=config, generation_config=greedy).traces[0].entropy)
            for inputs in arguments
        )
        for config in (VReasonConfig(schedule="minimize"), VReasonConfig(schedule="maximize"))
    )
    assert low < high


def test_the_default_schedule_visits_both_phases_and_both_signs(greedy: GenerationConfig) -> None:
    model = load_named_model("qwen2_vl-sharp")
    traces = [
        decode(model, **make_prompt(model, seed=seed).arguments, generation_config=greedy).traces[0]
        for seed in range(6)
    ]
    assert {phase for trace in traces for phase in trace.phase} == set(Phase)
    assert {switch for trace in traces for switch in trace.switch} == {None, *Switch}
