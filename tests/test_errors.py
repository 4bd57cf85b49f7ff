"""What an error repeats of its input stays short."""

from collections.abc import Callable

import pytest

from vreason_agent.confidence import confidence_of
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import MAX_QUOTED_CHARS, VReasonError, quote, shorten
from vreason_agent.evaluation import load_questions
from vreason_agent.graphs.policy import Ladder
from vreason_agent.model.source import locate_model
from vreason_agent.question import video_question
from vreason_agent.video import probe


def test_a_quote_is_the_repr_and_keeps_both_ends_of_a_long_one() -> None:
    assert quote("it's") == '"it\'s"'
    quoted = quote(["x" * 10_000, "end"])
    assert (quoted[:5], quoted[-8:]) == ("['xxx", ", 'end']")
    for length in range(MAX_QUOTED_CHARS - 4, MAX_QUOTED_CHARS + 4):
        assert len(quote("x" * length)) == min(length + 2, MAX_QUOTED_CHARS)
    assert shorten("short") == "short"
    assert quote(10**5000) == "<int>"  # Python refuses to write it out


def test_no_door_repeats_a_long_input_whole() -> None:
    long = "x" * 5000
    doors: list[Callable[[], object]] = [
        lambda: probe(f"{long}.mp4"),
        lambda: probe("/".join(["d" * 200] * 10)),
        lambda: video_question("a.mp4", "?", options=[long]),
        lambda: confidence_of(long),
        lambda: locate_model(long),
        lambda: VReasonConfig(schedule=long),  # type: ignore[arg-type]
        lambda: Ladder(num_frames=long),  # type: ignore[arg-type]
        lambda: load_questions(long),
    ]
    for door in doors:
        with pytest.raises(VReasonError) as caught:
            door()
        assert len(str(caught.value)) < 1000
