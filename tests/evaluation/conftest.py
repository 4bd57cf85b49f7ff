from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from vreason_agent.evaluation import Answer, Question

COLORS = ("red", "green", "blue", "yellow")


@pytest.fixture
def questions() -> list[Question]:
    """Twelve questions on six clips, two kinds."""
    return [
        Question(
            id=f"q{index}",
            video=f"clip{index // 2}.mp4",
            question="What color is the circle?",
            answer=COLORS[index % 4],
            options=COLORS,
            kind="color" if index % 2 else "first",
            video_id=f"clip{index // 2}",
        )
        for index in range(12)
    ]


@pytest.fixture
def always_red() -> Callable[[Sequence[Question]], list[Answer]]:
    def answer(batch: Sequence[Question]) -> list[Answer]:
        return [Answer(text="<answer>red</answer>", answer="red", num_tokens=9, num_frames=4) for _ in batch]

    return answer
