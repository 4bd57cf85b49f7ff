"""Every update moves its step's entropy the way it was told (method, point 3)."""

from __future__ import annotations

import pytest
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.conftest import load_named_model
from tests.decoding.tiny_models import ROUNDING_NATS, make_prompt
from vreason_agent.decoding import DecodingTrace, Switch, VReasonConfig, decode
from vreason_agent.decoding.config import Schedule


def steered_trace(model: PreTrainedModel, config: VReasonConfig, greedy: GenerationConfig) -> DecodingTrace:
    return decode(model, **make_prompt(model).arguments, config=config, generation_config=greedy).traces[0]


def check_direction(trace: DecodingTrace, *, least: int) -> None:
    """No update raises its loss, and at least `least` of the 16 lower it by more than rounding."""
    assert trace.loss_after is not None
    assert [before is None for before in trace.loss] == [after is None for after in trace.loss_after]
    moves = [
        after - before
        for before, after in zip(trace.loss, trace.loss_after, strict=True)
        if before is not None and after is not None
    ]
    assert len(moves) == 16
    assert max(moves) < ROUNDING_NATS
    assert sum(move < -ROUNDING_NATS for move in moves) >= least


def strict_moves(model: PreTrainedModel) -> int:
    """A random model attends to the video at every step; a trained one need not, and then nothing moves."""
    return 8 if model is load_named_model("bundled") else 16


@pytest.mark.parametrize("schedule", ["switching", "alternating"])
def test_one_small_step_moves_the_entropy_in_the_commanded_direction(
    hf_model: PreTrainedModel, greedy: GenerationConfig, schedule: Schedule
) -> None:
    config = VReasonConfig(schedule=schedule, learning_rate=0.01, record_loss_after=True)
    trace = steered_trace(hf_model, config, greedy)
    check_direction(trace, least=strict_moves(hf_model))


def test_the_direction_holds_after_a_sign_flip(varied_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    config = VReasonConfig(schedule="alternating", peak_margin=0.99, learning_rate=0.01, record_loss_after=True)
    trace = steered_trace(varied_model, config, greedy)
    switches = [switch for switch in trace.switch if switch is not None]
    assert switches == [Switch.RAISE, Switch.LOWER] * 8
    check_direction(trace, least=strict_moves(varied_model))


def test_current_draws_from_the_updated_distribution(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    config = VReasonConfig(schedule="minimize", apply_to="current", record_loss_after=True)
    trace = steered_trace(sharp_model, config, greedy)
    assert trace.loss_after is not None
    for step, switch in enumerate(trace.switch):
        if switch is not None:
            assert trace.entropy[step] == pytest.approx(trace.loss_after[step], abs=ROUNDING_NATS)
            assert trace.entropy[step] != trace.loss[step]


def test_next_leaves_the_token_of_the_update_alone(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    trace = steered_trace(sharp_model, VReasonConfig(schedule="minimize"), greedy)
    for step, switch in enumerate(trace.switch):
        assert switch is None or trace.entropy[step] == trace.loss[step]


def test_updates_fall_on_the_interval_after_the_warm_up(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    trace = steered_trace(sharp_model, VReasonConfig(update_interval=3, warmup_steps=7), greedy)
    assert [step for step, switch in enumerate(trace.switch) if switch] == list(range(9, 40, 3))
    assert [step for step, average in enumerate(trace.entropy_ema) if average is None] == list(range(6))
    assert trace.entropy_ema[6] == pytest.approx(sum(trace.entropy[:7]) / 7)
