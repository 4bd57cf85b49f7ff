"""The parts without a model: entropy, phase, switch, controller, positions, Lite, sampling."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import (
    DynamicCache,
    ForcedEOSTokenLogitsProcessor,
    LogitsProcessorList,
    PrefixConstrainedLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TopKLogitsWarper,
)

from tests.decoding.forcing import EveryThirdIsForced
from vreason_agent.decoding import Phase, Switch, VReasonConfig, distribution, normalized_entropy
from vreason_agent.decoding.config import Schedule
from vreason_agent.decoding.controller import ValueCacheController
from vreason_agent.decoding.lite import drop_video_tokens
from vreason_agent.decoding.phase import PhaseState, PhaseTracker, SwitchSchedule
from vreason_agent.decoding.prompt import NextPositions, text_positions
from vreason_agent.decoding.sampling import TokenSampler


def test_entropy_of_known_distributions() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1000.0, 0.0, 0.0, 0.0], [0.0, 0.0, float("-inf"), float("-inf")]])
    assert distribution(logits).entropy.tolist() == pytest.approx([math.log(4), 0.0, math.log(2)], abs=1e-6)
    assert normalized_entropy(math.log(4), 4) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="vocab_size=1 must be at least 2"):
        normalized_entropy(0.0, 1)


def test_entropy_of_impossible_tokens_has_a_finite_gradient() -> None:
    logits = torch.tensor([[1.0, 0.5, float("-inf")]], requires_grad=True)
    (gradient,) = torch.autograd.grad(distribution(logits).entropy.sum(), [logits])
    assert torch.isfinite(gradient).all()
    assert gradient[0, 0] < 0 < gradient[0, 1]


def feed(tracker: PhaseTracker, entropies: list[float]) -> list[PhaseState]:
    return [tracker.observe(step, entropy) for step, entropy in enumerate(entropies)]


def test_the_average_starts_as_the_mean_of_the_warm_up() -> None:
    tracker = PhaseTracker(VReasonConfig(warmup_steps=3, ema_decay=0.5))
    averages = [state.entropy_ema for state in feed(tracker, [1.0, 2.0, 6.0, 5.0])]
    assert averages == [None, None, 3.0, 4.0]
    assert tracker.is_warm


def test_exploitation_begins_below_the_margin_and_ends_on_a_new_maximum_only() -> None:
    tracker = PhaseTracker(VReasonConfig(warmup_steps=1, ema_decay=0.0, peak_margin=0.1))
    states = feed(tracker, [2.0, 1.81, 1.79, 1.95, 2.0, 2.01, 1.9])
    explore, exploit = Phase.EXPLORATION, Phase.EXPLOITATION
    assert [state.phase for state in states] == [explore, explore, exploit, exploit, exploit, explore, explore]
    assert [state.peak_step for state in states] == [0, 0, 0, 0, 0, 5, 5]
    assert states[-1].entropy_peak == 2.01


def test_preview_does_not_observe() -> None:
    tracker = PhaseTracker(VReasonConfig(warmup_steps=1))
    tracker.observe(0, 1.0)
    before = tracker.state
    assert tracker.preview(1, 5.0).entropy_ema == pytest.approx(1.4)
    assert tracker.state is before


@pytest.mark.parametrize(
    ("schedule", "exploring", "exploiting"),
    [
        ("switching", ["lower", "raise", "raise"], ["lower"] * 3),
        ("alternating", ["raise", "lower", "raise"], ["lower"] * 3),
        ("minimize", ["lower"] * 3, ["lower"] * 3),
        ("maximize", ["raise"] * 3, ["raise"] * 3),
    ],
)
def test_switch_rules(schedule: Schedule, exploring: list[str], exploiting: list[str]) -> None:
    for phase, expected in ((Phase.EXPLORATION, exploring), (Phase.EXPLOITATION, exploiting)):
        rule = SwitchSchedule(VReasonConfig(schedule=schedule))
        state = PhaseState(phase, entropy_ema=1.0, entropy_peak=2.0, peak_step=0)
        assert [rule.choose(entropy, state).value for entropy in (1.5, 1.0, 0.5)] == expected


def test_random_switches_follow_their_seed() -> None:
    def draw(seed: int) -> list[Switch]:
        rule = SwitchSchedule(VReasonConfig(schedule="random", seed=seed))
        return [rule.choose(1.0, PhaseState()) for _ in range(64)]

    assert draw(1) == draw(1) != draw(2)
    assert set(draw(1)) == set(Switch)


def test_controller_steps_are_scaled_to_the_values() -> None:
    values = torch.full((1, 2, 3), 4.0, dtype=torch.bfloat16)
    controller = ValueCacheController(values, VReasonConfig(learning_rate=0.05))
    assert controller.value_delta.dtype is torch.float32
    assert controller.learning_rate == pytest.approx(0.2)
    assert controller.is_zero
    assert controller.norm() == 0.0
    controller.apply_gradient(torch.tensor([1e-3, -5.0, 0.0]).expand(1, 2, 3), Switch.LOWER)
    assert controller.value_delta[0, 0].tolist() == pytest.approx([-0.2, 0.2, 0.0], rel=1e-4)
    assert not controller.is_zero


@pytest.mark.parametrize("reset", [True, False])
def test_moments_are_forgotten_on_a_flip_if_asked(reset: bool) -> None:
    config = VReasonConfig(learning_rate=1.0, reset_moments_on_switch=reset)
    controller = ValueCacheController(torch.ones(1, 1, 1), config)
    controller.apply_gradient(torch.full((1, 1, 1), 100.0), Switch.LOWER)
    before = controller.value_delta.item()
    controller.apply_gradient(torch.full((1, 1, 1), -1.0), Switch.RAISE)
    moved_up = controller.value_delta.item() > before
    assert moved_up is reset


def test_next_positions_continue_each_axis() -> None:
    flat = torch.tensor([[0, 1, 2], [0, 0, 1]])
    assert NextPositions(flat).at(2).tolist() == [[5], [4]]
    axes = torch.tensor([[[0, 1, 5]], [[0, 30, 3]], [[0, 2, 3]], [[0, 2, 3]]])
    assert NextPositions(axes).at(1).tolist() == [[[7]], [[5]], [[5]], [[5]]]
    mask = torch.tensor([[0, 0, 1, 1]])
    assert text_positions(torch.zeros(1, 4), mask).tolist() == [[0, 0, 0, 1]]


def filled_cache(values: torch.Tensor) -> Any:
    cache: Any = DynamicCache()
    cache.update(torch.arange(values.numel()).reshape(values.shape).float(), values, 0)
    cache.update(torch.arange(values.numel()).reshape(values.shape).float(), values.flip(2), 1)
    return cache


def test_lite_drops_the_lowest_norms_of_each_layer_in_order() -> None:
    norms = torch.tensor([9.0, 1.0, 3.0, 2.0, 4.0, 0.1])
    cache = filled_cache(norms.reshape(1, 1, 6, 1).expand(1, 2, 6, 1).contiguous())
    video_mask = torch.tensor([[False, True, True, True, True, False]])
    masks = drop_video_tokens(cache, video_mask, keep_ratio=0.5, attention_mask=None)
    assert cache.layers[0].values[0, 0, :, 0].tolist() == pytest.approx([9.0, 3.0, 4.0, 0.1])
    assert cache.layers[0].keys[0, 1, :, 0].tolist() == [6, 8, 10, 11]
    assert cache.layers[1].values[0, 0, :, 0].tolist() == pytest.approx([0.1, 4.0, 3.0, 9.0])
    assert masks.video_mask.tolist() == [[False, True, True, False]]
    assert masks.attention_mask is None


def test_lite_keeps_padding_and_rounds_up() -> None:
    cache = filled_cache(torch.rand(1, 1, 6, 2))
    video_mask = torch.tensor([[False, True, True, True, False, False]])
    mask = torch.tensor([[0, 1, 1, 1, 1, 1]])
    masks = drop_video_tokens(cache, video_mask, keep_ratio=0.5, attention_mask=mask)
    assert masks.video_mask.sum() == 2
    assert masks.attention_mask is not None
    assert masks.attention_mask.tolist() == [[0, 1, 1, 1, 1]]


def test_lite_keeps_the_share_that_was_written() -> None:
    cache = filled_cache(torch.rand(1, 1, 100, 2))
    everything = torch.ones(1, 100, dtype=torch.bool)
    masks = drop_video_tokens(cache, everything, keep_ratio=0.55, attention_mask=None)  # 0.55 * 100 > 55 in floats
    assert masks.video_mask.sum() == 55


def test_switching_without_a_past_raises_until_exploitation() -> None:
    config = VReasonConfig(ema_decay=0.0, warmup_steps=1, peak_margin=0.5)
    tracker, rule = PhaseTracker(config), SwitchSchedule(config)
    signs = [rule.choose(entropy, tracker.observe(step, entropy)) for step, entropy in enumerate([2.0, 3.0, 2.0, 1.0])]
    assert signs == [Switch.RAISE, Switch.RAISE, Switch.RAISE, Switch.LOWER]


def test_a_grammar_forces_and_top_k_does_not() -> None:
    ids, logits = torch.zeros(1, 2, dtype=torch.long), torch.tensor([[1.0, 3.0, 2.0]])
    grammar = EveryThirdIsForced(prompt_length=0, token=2)
    top_1: Any = TopKLogitsWarper(top_k=1)
    assert TokenSampler(LogitsProcessorList([grammar, top_1]), do_sample=False).process(ids, logits).forced == [True]
    assert TokenSampler(LogitsProcessorList([top_1]), do_sample=False).process(ids, logits).forced == [False]
    free = TokenSampler(LogitsProcessorList([grammar, top_1]), do_sample=False).process(ids[:, :1], logits)
    assert free.forced == [False]
    prefix: Any = PrefixConstrainedLogitsProcessor(lambda batch, sent: [1], num_beams=1)
    assert TokenSampler(LogitsProcessorList([prefix]), do_sample=False).process(ids, logits).forced == [True]


def test_a_token_is_forced_whatever_other_processors_mask_before() -> None:
    ids, logits = torch.zeros(1, 2, dtype=torch.long), torch.tensor([[1.0, 3.0, 2.0]])
    masked: Any = SuppressTokensLogitsProcessor([0])
    grammar = EveryThirdIsForced(prompt_length=0, token=2)
    assert TokenSampler(LogitsProcessorList([masked, grammar]), do_sample=False).process(ids, logits).forced == [True]
    wide: Any = PrefixConstrainedLogitsProcessor(lambda batch, sent: [0, 1], num_beams=1)
    chosen = TokenSampler(LogitsProcessorList([masked, wide]), do_sample=False).process(ids, logits)
    assert chosen.forced == [False]  # the grammar leaves two tokens, of which another processor took one


def forced_end() -> Any:
    return ForcedEOSTokenLogitsProcessor(max_length=3, eos_token_id=0)


def two_allowed() -> Any:
    return PrefixConstrainedLogitsProcessor(lambda batch, sent: [0, 1], num_beams=1)


@pytest.mark.parametrize("make_grammar", [forced_end, two_allowed, lambda: EveryThirdIsForced(0, token=0)])
def test_scores_after_a_grammar_are_those_of_the_processors_in_order(make_grammar: Any) -> None:
    ids, logits = torch.zeros(1, 2, dtype=torch.long), torch.tensor([[1.0, 3.0, 2.0]])
    masked: Any = SuppressTokensLogitsProcessor([0])
    for processors in ([masked, make_grammar()], [make_grammar(), masked], [make_grammar()]):
        plain: Any = LogitsProcessorList(processors)
        expected = plain(ids, logits.clone())
        assert torch.equal(TokenSampler(plain, do_sample=False).process(ids, logits).scores, expected)


class CountedGrammar(EveryThirdIsForced):
    """Keeps how often it was asked."""

    num_asked = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.num_asked += 1
        return super().__call__(input_ids, scores)


def test_a_grammar_is_asked_once() -> None:
    ids, logits = torch.zeros(1, 2, dtype=torch.long), torch.tensor([[1.0, 3.0, 2.0]])
    grammar = CountedGrammar(prompt_length=0, token=2)
    TokenSampler(LogitsProcessorList([grammar]), do_sample=False).process(ids, logits)
    assert grammar.num_asked == 1


def test_raw_logits_are_not_changed_by_processors() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    sampler = TokenSampler(LogitsProcessorList([EveryThirdIsForced(0, 2)]), do_sample=False)
    sampler.process(torch.zeros(1, 2, dtype=torch.long), logits)
    assert logits.tolist() == [[1.0, 3.0, 2.0]]
