"""The rule by which times are read from a model's words."""

from __future__ import annotations

import pytest

from vreason_agent.graphs.frame_policy import NamedPart, find_named_part, find_times


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("It falls at 3.2 s.", [3.2]),
        ("It falls at 3 seconds, i.e. 3sec in.", [3.0, 3.0]),
        ("between 4 s and 6 s", [4.0, 6.0]),
        ("from 4 to 6.5 seconds", [4.0, 6.5]),
        ("4-6 s", [4.0, 6.0]),
        ("4\u20136 s", [4.0, 6.0]),
        ("at 1:05 and at 1:02:03.5", [65.0, 3723.5]),
        ("0.0 -\n8.0 green cross 1 SE", [0.0, 8.0]),
        ("2 cars and 3 dogs", []),
        ("7.5", []),
        ("7.5 is its number", [7.5]),
        ("frame 12, version 1.2.3 sides", []),
        ("3 s2 tracks in 5 songs", []),
    ],
)
def test_times_are_numbers_with_a_unit_clock_times_and_heads_of_lines(text: str, times: list[float]) -> None:
    assert find_times(text) == times


@pytest.mark.parametrize(
    ("answer", "reasoning", "part"),
    [
        ("between 4 s and 6 s", "At 1 s it starts.", NamedPart(4.0, 6.0, "the answer")),
        ("red", "At 1 s a dog. At 3 s a Red car. Red again at 5 s.", NamedPart(3, 5, "the reasoning for the answer")),
        ("2", "At 2 s a dog. At 7 s there are 2 dogs.", NamedPart(7, 7, "the reasoning for the answer")),
        ("red", "At 1 s a dog.\nAt 3 s a hundred cars.", NamedPart(1, 3, "the reasoning")),
        ("A", "At 1 s a dog. At 3 s one car.", NamedPart(1, 3, "the reasoning")),
        (None, "Something is there at 3 s.", NamedPart(3, 3, "the reasoning")),
        ("red", "It is red.", None),
        (None, "", None),
    ],
)
def test_the_answer_comes_first_then_what_is_said_for_it(
    answer: str | None, reasoning: str, part: NamedPart | None
) -> None:
    assert find_named_part(answer, reasoning) == part
