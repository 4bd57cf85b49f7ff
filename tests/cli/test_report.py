"""How a report words what was done."""

from __future__ import annotations

import pytest

from vreason_agent.cli.answer_report import format_attempt


@pytest.mark.parametrize(
    ("num_different", "told"), [(4, "1. 4 frames: 'red' (0.5 s)"), (3, "1. 4 frames (3 different): 'red' (0.5 s)")]
)
def test_an_attempt_tells_how_many_frames_it_saw(num_different: int, told: str) -> None:
    seen = [float(number) for number in range(num_different)]
    attempt = {"attempt": 0, "num_frames": 4, "timestamps_seconds": seen, "answer": "red", "seconds": 0.5}
    assert format_attempt({**attempt, "decision": None}) == told
