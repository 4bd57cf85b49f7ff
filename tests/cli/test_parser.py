from __future__ import annotations

import argparse

import pytest

from vreason_agent.cli.parser import UsageError, device, frame_count, ladder, seconds, text, whole_number
from vreason_agent.errors import ConfigError
from vreason_agent.question import video_question


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None), (4, 32)),
        ((8, None), (8, 32)),
        ((6, None), (6, 24)),
        ((64, None), (64, 64)),
        ((8, 8), (8, 8)),
        ((2, 64), (2, 64)),
        ((None, 2), (2, 2)),
        ((None, 16), (4, 16)),
    ],
)
def test_a_ladder_is_completed_by_doubling(given: tuple[int | None, int | None], expected: tuple[int, int]) -> None:
    assert ladder(*given) == expected


def test_a_first_rung_above_the_last_says_what_to_change() -> None:
    with pytest.raises(UsageError, match=r"--frames 16 is more than --max-frames 8; use --frames 8 or --max-frames 16"):
        ladder(16, 8)


def test_a_last_rung_that_doubling_misses_names_the_nearest_that_it_reaches() -> None:
    with pytest.raises(UsageError, match=r"30 is not --frames 4 times a power of two; use --max-frames 16 or 32"):
        ladder(4, 30)


@pytest.mark.parametrize("value", ["0", "1", "3", "-2", "four", "4.0", ""])
def test_a_frame_count_that_is_no_even_number_from_2_on_is_refused(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        frame_count(value)


def test_an_odd_frame_count_is_told_the_next_even_one() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"'5' must be an even number.*try 6"):
        frame_count("5")


def test_a_frame_count_beyond_any_context_is_told_the_most() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="use at most 65536"):
        frame_count(str(10**18))


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1:30", ""])
def test_a_time_that_is_no_number_of_seconds_is_told_how_to_write_it(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"give a number of at least 0, such as 12\.5"):
        seconds(value)


@pytest.mark.parametrize("value", ["-1", "1.5", "x", str(2**63)])
def test_a_seed_that_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number from 0 to 9223372036854775807"):
        whole_number(value)


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_text_is_refused(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is empty; give some text"):
        text(value)


@pytest.mark.parametrize("value", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_device_is_told_the_known_ones(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="use cpu, cuda, cuda:0"):
        device(value)


@pytest.mark.parametrize("value", ["cpu", "cuda", "cuda:3", "mps"])
def test_known_devices_are_taken(value: str) -> None:
    assert device(value) == value


@pytest.mark.parametrize(("question", "options"), [("What\udcff?", ()), ("What?", ("red", "\udcff"))])
def test_a_question_from_python_that_is_not_utf8_is_refused(question: str, options: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="holds bytes that are not UTF-8"):
        video_question("clip.mp4", question, options=options)
