from __future__ import annotations

from math import log

import pytest

from vreason_agent.confidence import OPTION_SIGNALS, OptionProbabilities, option_shift, read_option_signals

OPTIONS = ("red", "blue", "green")


def test_probabilities_are_normalized_over_the_options_and_their_mass_is_kept() -> None:
    found = OptionProbabilities.of(OPTIONS, [log(0.1)] * 3, [log(0.4), log(0.3), log(0.1)])
    assert found.before == pytest.approx(dict.fromkeys(OPTIONS, 1 / 3))
    assert found.after == pytest.approx({"red": 0.5, "blue": 0.375, "green": 0.125})
    assert found.mass == pytest.approx(0.8)


def test_signals_are_those_of_the_answer_that_was_given() -> None:
    found = OptionProbabilities.of(OPTIONS, [log(0.2), log(0.5), log(0.3)], [log(0.5), log(0.4), log(0.1)])
    signals = read_option_signals(found, "blue")
    assert signals == pytest.approx(
        {
            "option_probability_before": 0.5,
            "option_margin_before": 0.2,
            "option_probability": 0.4,
            "option_margin": -0.1,
            "option_mass": 1.0,
        }
    )


def test_what_was_not_measured_is_none() -> None:
    assert read_option_signals(None, "red") == dict.fromkeys(OPTION_SIGNALS)
    found = OptionProbabilities.of(OPTIONS, [log(0.2)] * 3)
    assert read_option_signals(found, "red")["option_probability"] is None
    outside = read_option_signals(OptionProbabilities.of(OPTIONS, [-1.0] * 3, [-2.0] * 3), None)
    assert [name for name, value in outside.items() if value is not None] == ["option_mass"]


def test_option_shift_is_zero_for_the_same_and_log_two_for_opposite_beliefs() -> None:
    assert option_shift({"a": 0.3, "b": 0.7}, {"a": 0.3, "b": 0.7}) == pytest.approx(0.0, abs=1e-12)
    assert option_shift({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}) == pytest.approx(log(2))
    assert option_shift({"a": 1.0}, {"b": 1.0}) is None
    assert option_shift(None, {"b": 1.0}) is None
