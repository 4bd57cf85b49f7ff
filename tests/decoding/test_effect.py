"""Steering acts (method, point 7): without this, every other test could pass on a loop that never steers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.conftest import load_named_model
from tests.decoding.tiny_models import make_prompt
from vreason_agent.decoding import Phase, Switch, VReasonConfig, decode
from vreason_agent.decoding.cache import SteeredLayer
from vreason_agent.decoding.config import Schedule
from vreason_agent.decoding.controller import ValueCacheController
from vreason_agent.decoding.lean_steering import LeanSteering

STEERED = SteeredLayer.steered


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


def assert_steering_changes_tokens(model: PreTrainedModel, greedy: GenerationConfig) -> None:
    """Fail unless strong steering gives other tokens than plain decoding on some of three prompts."""
    strong = VReasonConfig(schedule="maximize", learning_rate=1.0, update_interval=1)
    arguments = [make_prompt(model, seed=seed).arguments for seed in range(3)]
    off, steered = (
        [decode(model, **inputs, config=config, generation_config=greedy).sequences for inputs in arguments]
        for config in (VReasonConfig(schedule="off"), strong)
    )
    assert steered != off, "steering changed no token"


def test_strong_steering_changes_tokens_on_every_model(hf_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    assert_steering_changes_tokens(hf_model, greedy)


def without_effect(layer: SteeredLayer, base: torch.Tensor) -> torch.Tensor:
    """Return the base values with the graph of the steered ones: gradients as ever, and no effect."""
    steered = STEERED(layer, base)
    return base + (steered - steered.detach())


@pytest.mark.parametrize(
    ("owner", "name", "broken", "is_lean"),
    [
        (ValueCacheController, "apply_gradient", lambda *_: None, True),
        (LeanSteering, "_adjusted", lambda _, state: state.attended, True),
        (SteeredLayer, "steered", without_effect, False),
    ],
    ids=["no step", "no effect", "no effect in transformers' steps"],
)
def test_a_suite_in_which_steering_changes_no_token_fails(
    monkeypatch: pytest.MonkeyPatch, greedy: GenerationConfig, owner: type, name: str, broken: Any, is_lean: bool
) -> None:
    monkeypatch.setattr(owner, name, broken)
    if not is_lean:
        monkeypatch.setattr("vreason_agent.decoding.loop.lean_decoder", lambda *_: None)
    with pytest.raises(AssertionError, match="steering changed no token"):
        assert_steering_changes_tokens(load_named_model("qwen2_5_vl-sharp"), greedy)


def test_missing_bundled_weights_fail_and_do_not_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.decoding.conftest.BUNDLED", tmp_path)
    with pytest.raises(pytest.fail.Exception, match=r"train them with vreason_agent\.tiny\.train"):
        load_named_model.__wrapped__("bundled")


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
