from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel

from tests.decoding.forcing import EveryThirdIsForced
from tests.decoding.tiny_models import ROUNDING_NATS, make_prompt
from vreason_agent.decoding import DecodingSeconds, DecodingTrace, StepRecord, Switch, VReasonConfig, decode
from vreason_agent.errors import ConfigError


def made_trace(entropies: list[float], averages: list[float | None], forced: tuple[int, ...] = ()) -> DecodingTrace:
    steps = [
        StepRecord(0, step, 7, -0.5, entropy, average, forced=step in forced)
        for step, (entropy, average) in enumerate(zip(entropies, averages, strict=True))
    ]
    return DecodingTrace.from_steps(VReasonConfig(min_final_steps=2), steps)


def test_the_final_phase_runs_from_the_peak_to_the_end_of_the_answer() -> None:
    trace = made_trace([1.0, 4.0, 2.0, 1.0, 9.0], [None, 2.5, 2.0, 2.5, 2.0])
    assert (trace.peak_step, trace.peak_entropy) == (1, 2.5)
    assert trace.final_steps(4) == (2, 3)
    assert trace.final_entropy(4) == pytest.approx(1.5)
    assert trace.entropy_drop(4) == pytest.approx(0.4)
    assert trace.final_entropy() == pytest.approx(4.0)


def test_forced_tokens_are_not_in_the_final_phase() -> None:
    trace = made_trace([1.0, 4.0, 2.0, 1.0, 3.0], [None, 2.5, 2.0, 2.0, 2.0], forced=(3,))
    assert trace.final_steps() == (2, 4)
    assert trace.final_entropy() == pytest.approx(2.5)


def test_a_peak_after_the_answer_does_not_count() -> None:
    trace = made_trace([1.0, 2.0, 1.0, 1.0, 9.0], [1.0, 1.5, 1.2, 1.1, 5.0])
    assert trace.peak_step == 4
    assert trace.peak(4) == (1, 1.5)
    assert trace.entropy_drop(4) == pytest.approx(1 / 3)
    summary = trace.summary(4)
    assert (summary["peak_step"], summary["peak_entropy"]) == (1, 1.5)
    assert summary["entropy_drop"] == pytest.approx(1.0 - summary["final_entropy"] / summary["peak_entropy"])


def test_an_answer_that_ends_at_its_peak_has_a_drop_of_zero() -> None:
    cases: tuple[tuple[list[float], list[float | None], tuple[int, float], float], ...] = (
        ([1.0, 3.0], [None, None], (1, 2.0), 3.0),  # shorter than the warm-up
        ([1.0, 1.0, 0.5], [1.0, 2.0, 1.0], (1, 2.0), 0.5),  # one step after the peak, two are needed
        ([1.0, 4.0], [1.0, 2.0], (1, 2.0), 4.0),  # the peak is the last step
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], (0, 0.0), 0.0),
    )
    for entropies, averages, peak, final in cases:
        trace = made_trace(entropies, averages)
        assert (trace.peak(), trace.final_entropy(), trace.entropy_drop()) == (peak, final, 0.0)


def test_without_a_free_token_there_is_no_drop() -> None:
    for trace in (made_trace([], []), made_trace([1.0, 1.0], [None, None], forced=(0, 1))):
        assert (trace.peak(), trace.final_entropy(), trace.entropy_drop()) == (None, None, None)


def test_json_goes_both_ways_exactly(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    for config in (VReasonConfig(record_loss_after=True, record_unsteered_entropy=True), VReasonConfig(schedule="off")):
        trace = decode(
            sharp_model, **make_prompt(sharp_model).arguments, config=config, generation_config=greedy
        ).traces[0]
        assert DecodingTrace.from_json(trace.to_json()) == trace
        assert json.loads(json.dumps(trace.to_dict(), allow_nan=False)) == trace.to_dict()
        json.dumps(trace.summary(), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"entropy": ["x"]}, r"field entropy\[0\]='x': .* valid number; pass what to_dict\(\) or to_json\(\) gave"),
        ({"entropy": [float("nan")]}, r"field entropy\[0\]=nan: .* finite number; pass what to_dict\(\)"),
        ({"entropy": [None]}, r"field entropy\[0\]=None: .* valid number; pass what to_dict\(\)"),
        ({"entropy": 1.0}, r"field entropy=1.0: .* valid array; pass what to_dict\(\) or to_json\(\) gave"),
        ({"entropy": [1.0, 2.0]}, r"one entry per token .*'entropy': 2.*; pass what to_dict\(\) or to_json\(\) gave"),
        ({"loss_after": []}, r"one entry per token .*'loss_after': 0.*; pass what to_dict\(\) or to_json\(\) gave"),
        ({"token_ids": [1.5]}, r"field token_ids\[0\]=1.5: .* valid integer.*; pass what to_dict\(\)"),
        ({"token_ids": [True]}, r"field token_ids\[0\]=True: .* valid integer; pass what to_dict\(\)"),
        ({"phase": ["begin"]}, r"field phase\[0\]='begin': .* 'exploration' or 'exploitation'; pass what"),
        ({"switch": [[]]}, r"field switch\[0\]=\[\]: .* 'lower' or 'raise'; pass what"),
        ({"steered": 1}, r"field steered=1: .* valid boolean; pass what to_dict\(\)"),
        ({"not_steered_because": 1}, r"field not_steered_because=1: .* valid string; pass what to_dict\(\)"),
        ({"seconds": [1.0]}, r"field seconds=\[1.0\]: .* an object; pass what to_dict\(\)"),
        ({"seconds": {"decode": "1"}}, r"field seconds.decode='1': .* valid number; pass what to_dict\(\)"),
        ({"seconds": {"hours": 1}}, r"field seconds.hours=1: Unexpected .*; pass what to_dict\(\)"),
        ({"config": None}, r"field config=None: .* an object; pass what to_dict\(\)"),
        ({"config": {"seed": -1}}, "^seed=-1 must be a whole number of at least 0"),
        ({"config": {"rate": 1}}, r"field config.rate=1: Unexpected .*; pass what to_dict\(\)"),
        ({"tokens": []}, "unknown decoding trace field 'tokens'; use one of: config, token_ids"),
    ],
)  # fmt: skip
def test_data_that_is_no_trace_is_refused(change: dict[str, Any], remedy: str) -> None:
    data = made_trace([1.0], [None]).to_dict()
    with pytest.raises(ConfigError, match=remedy):
        DecodingTrace.from_dict({**data, **change})
    with pytest.raises(ConfigError, match=remedy):
        DecodingTrace.from_json(json.dumps({**data, **change}))


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "7", None, b"\xff"], ids=repr)
def test_text_that_is_no_trace_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"decoding trace must be a JSON object; got .*; write it as \{...\}"):
        DecodingTrace.from_json(text)


def test_a_trace_without_its_fields_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"field config=\{\}: .* required.*; pass what to_dict\(\)"):
        DecodingTrace.from_json("{}")


def test_series_have_one_entry_per_token_and_only_what_was_asked(
    sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    trace = decode(sharp_model, **make_prompt(sharp_model).arguments, generation_config=greedy).traces[0]
    series = [getattr(trace, field.name) for field in fields(trace) if isinstance(getattr(trace, field.name), tuple)]
    assert [len(one) for one in series] == [40] * 10
    assert trace.loss_after is None
    assert trace.unsteered_entropy is None
    assert trace.steered
    assert trace.not_steered_because is None
    assert all(logprob <= 0.0 for logprob in trace.logprobs)
    assert trace.controller_norm[7] == 0.0
    assert sum(trace.phase_shares.values()) == pytest.approx(1.0)
    raised = trace.switch.count(Switch.RAISE)
    assert trace.share_differs_from_minimize == pytest.approx(raised / trace.num_updates)


def test_seconds_are_measured(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    arguments = make_prompt(sharp_model).arguments
    seconds = decode(sharp_model, **arguments, generation_config=greedy, vision_seconds=1.5).traces[0].seconds
    assert seconds.vision == 1.5
    assert seconds.prefill > 0
    assert 0 < seconds.updates < seconds.decode
    assert replace(seconds, vision=None) == DecodingSeconds(None, seconds.prefill, seconds.decode, seconds.updates)


def test_unsteered_entropy_is_that_of_the_base_model_at_the_same_prefix(
    sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    from tests.decoding.forcing import TeacherForcing

    prompt = make_prompt(sharp_model)
    config = VReasonConfig(record_unsteered_entropy=True)
    steered = decode(sharp_model, **prompt.arguments, config=config, generation_config=greedy)
    forcing = LogitsProcessorList([TeacherForcing(prompt.length, steered.sequences[0])])
    base = decode(
        sharp_model, **prompt.arguments, config=VReasonConfig(schedule="off", record_unsteered_entropy=True),
        generation_config=greedy, logits_processor=forcing,
    )  # fmt: skip
    trace = steered.traces[0]
    assert trace.unsteered_entropy == pytest.approx(base.traces[0].entropy, abs=ROUNDING_NATS)
    assert trace.unsteered_entropy != pytest.approx(trace.entropy, abs=1e-2)
    assert base.traces[0].unsteered_entropy == base.traces[0].entropy


def test_forced_tokens_are_flagged_and_left_alone(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    prompt = make_prompt(sharp_model)
    grammar = LogitsProcessorList([EveryThirdIsForced(prompt.length, token=50)])
    for config in (VReasonConfig(), VReasonConfig(apply_to="current")):
        trace = decode(
            sharp_model, **prompt.arguments, config=config, generation_config=greedy, logits_processor=grammar
        ).traces[0]
        assert [step for step, forced in enumerate(trace.forced) if forced] == list(range(2, 40, 3))
        assert {trace.token_ids[step] for step in range(2, 40, 3)} == {50}
        assert all(trace.switch[step] is None for step in range(2, 40, 3))
        assert all(trace.entropy_ema[step] == trace.entropy_ema[step - 1] for step in range(2, 40, 3))
        free = [entropy for step, entropy in enumerate(trace.entropy) if step % 3 != 2]
        assert trace.entropy_ema[10] == pytest.approx(sum(free[:8]) / 8)


def test_tokens_are_reported_as_they_come_and_a_row_can_be_stopped(
    sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    events: list[StepRecord] = []

    def watch(event: StepRecord) -> bool:
        events.append(event)
        return event.step == 12

    prompt = make_prompt(sharp_model)
    result = decode(sharp_model, **prompt.arguments, generation_config=greedy, on_token=watch, num_top_logprobs=3)
    trace = result.traces[0]
    assert result.finish_reasons == ["cancelled"]
    assert [event.token_id for event in events] == result.sequences[0] == list(trace.token_ids)
    assert len(events) == 13
    assert [event.entropy for event in events] == list(trace.entropy)
    for event in events:
        assert len(event.top_logprobs) == 3
        best_id, best_logprob = event.top_logprobs[0]
        assert best_id == event.token_id
        assert best_logprob == pytest.approx(event.logprob)
        assert event.phase in ("exploration", "exploitation")
    assert result.top_logprobs[0] == [event.top_logprobs for event in events]
