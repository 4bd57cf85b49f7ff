from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from tests.confidence.fakes import HandTrace
from vreason_agent.confidence import SIGNAL_NAMES, read_signals, token_span


def test_every_named_signal_is_there_and_json_plain() -> None:
    signals = read_signals(HandTrace([1.0, 2.0, 0.5, 0.5]), (2, 4))
    assert tuple(signals) == SIGNAL_NAMES
    assert json.loads(json.dumps(signals)) == signals


def test_the_final_phase_ends_with_the_answer_and_not_with_the_text() -> None:
    trace = HandTrace([1.0, 2.0, 0.5, 0.7, 9.0])
    signals = read_signals(trace, (2, 4))
    assert signals["final_entropy"] == pytest.approx(0.6)
    assert signals["entropy_drop"] == pytest.approx((2.0 - 0.6) / 2.0)
    assert signals["peak_entropy"] == 2.0


def test_joint_probability_is_the_product_over_the_answer_and_free_tokens_alone_count() -> None:
    trace = HandTrace([1.0] * 4, logprobs=[-9.0, math.log(0.5), math.log(0.125), -9.0], forced=[False] * 4)
    assert read_signals(trace, (1, 3))["joint_probability"] == pytest.approx(0.0625)
    trace.forced[2] = True
    assert read_signals(trace, (1, 3))["joint_probability"] == pytest.approx(0.5)
    assert read_signals(trace)["joint_probability"] is None


def test_self_certainty_is_the_mean_over_free_tokens_and_none_where_it_was_not_recorded() -> None:
    trace = HandTrace([1.0] * 3, self_certainty=[2.0, 4.0, 90.0], forced=[False, False, True])
    assert read_signals(trace)["self_certainty"] == 3.0
    trace.self_certainty = None
    assert read_signals(trace)["self_certainty"] is None


def test_answer_probability_is_the_geometric_mean_over_the_answer_alone() -> None:
    trace = HandTrace([1.0] * 4, logprobs=[-9.0, math.log(0.5), math.log(0.125), -9.0])
    assert read_signals(trace, (1, 3))["answer_probability"] == pytest.approx(0.25)


def test_perplexity_is_of_all_free_tokens() -> None:
    trace = HandTrace([1.0] * 3, logprobs=[math.log(0.5), 0.0, math.log(0.125)], forced=[False, True, False])
    assert read_signals(trace)["perplexity"] == pytest.approx(4.0)
    assert read_signals(HandTrace([1.0], logprobs=[-1e9]))["perplexity"] == pytest.approx(math.exp(700))


def test_without_an_answer_span_answer_signals_are_none_and_never_a_number() -> None:
    signals = read_signals(HandTrace([1.0, 0.5]))
    assert signals["answer_probability"] is None
    assert signals["answer_entropy"] is None


def test_an_empty_generation_measures_nothing_but_its_length() -> None:
    signals = read_signals(HandTrace([]))
    assert {name for name, value in signals.items() if value is not None} == {"num_tokens"}


def test_forced_tokens_are_in_no_mean() -> None:
    trace = HandTrace([1.0, 3.0, 0.0, 0.4], forced=[False, False, True, False])
    signals = read_signals(trace, (2, 4))
    assert signals["mean_entropy"] == pytest.approx((1.0 + 3.0 + 0.4) / 3)
    assert signals["answer_entropy"] == pytest.approx(0.4)
    assert signals["answer_probability"] == pytest.approx(math.exp(-0.4))


def test_the_weakest_window_is_at_least_eight_tokens_wide() -> None:
    spike = [0.0] * 10 + [8.0] + [0.0] * 10
    assert read_signals(HandTrace(spike))["weakest_window_entropy"] == pytest.approx(1.0)


def test_the_weakest_window_of_a_long_trace_is_a_tenth_of_it() -> None:
    plateau = [0.0] * 180 + [2.0] * 20
    assert read_signals(HandTrace(plateau))["weakest_window_entropy"] == pytest.approx(2.0)
    assert read_signals(HandTrace([0.0] * 190 + [2.0] * 10))["weakest_window_entropy"] == pytest.approx(1.0)


def test_slope_is_in_nats_per_token() -> None:
    assert read_signals(HandTrace([2.0, 1.75, 1.5, 1.25]))["slope"] == pytest.approx(-0.25)


def test_increases_are_counted_after_the_peak_up_to_the_answers_end() -> None:
    trace = HandTrace([1.0, 5.0, 1.0, 2.0, 1.0, 3.0])
    assert read_signals(trace)["num_increases"] == 2
    assert read_signals(trace, (2, 5))["num_increases"] == 1


def test_unsteered_entropy_is_averaged_over_the_same_steps() -> None:
    trace = HandTrace([1.0, 3.0, 0.5, 0.5], unsteered_entropy=[1.0, 3.0, None, 0.9])
    assert read_signals(trace)["unsteered_final_entropy"] == pytest.approx(0.9)
    assert read_signals(HandTrace([1.0, 0.5]))["unsteered_final_entropy"] is None


def test_token_span_covers_exactly_the_tokens_that_touch_the_characters() -> None:
    spans = {(0, 3): (0, 1), (3, 4): (1, 2), (2, 5): (0, 2), (5, 9): (2, 3), (4, 4): None, None: None, (5, 99): None}
    for char_span, expected in spans.items():
        assert token_span(["red", "  ", "blue"], char_span) == expected


def test_confidence_imports_no_torch() -> None:
    heavy = ("torch", "cv2", "langchain_core")
    code = f"import sys, vreason_agent.confidence; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_real_trace_is_read_with_its_own_definition_of_the_final_phase() -> None:
    from vreason_agent.decoding import DecodingTrace, VReasonConfig
    from vreason_agent.decoding.phase import Phase

    entropy = (1.0, 1.0, 2.0, 0.8, 0.6, 0.4, 0.2)
    trace = DecodingTrace(
        config=VReasonConfig(min_final_steps=4),
        entropy=entropy,
        entropy_ema=(None, 1.0, 1.5, 1.4, 1.2, 1.0, 0.8),
        logprobs=tuple(-value for value in entropy),
        forced=(False,) * 7,
        phase=(Phase.EXPLORATION,) * 7,
    )
    whole, short = read_signals(trace, (5, 7)), read_signals(trace, (4, 5))
    assert whole["entropy_drop"] == trace.entropy_drop(7) == pytest.approx((1.5 - 0.5) / 1.5)
    assert whole["peak_entropy"] == 1.5
    assert short["entropy_drop"] == 0.0
