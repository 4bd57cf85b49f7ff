from __future__ import annotations

from typing import Any

import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.messages import video_question
from vreason_agent.question import question_text


def block(message: Any, index: int) -> dict[str, Any]:
    content: list[dict[str, Any]] = message.content
    return content[index]


def test_the_text_is_complete_in_itself() -> None:
    message = video_question("a.mp4", "Which color?", options=["red", "blue"])
    assert block(message, 1)["text"] == "Which color?\nOptions:\nA. red\nB. blue"


def test_options_stay_apart_whatever_is_in_them() -> None:
    texts = [question_text("Which way?", options) for options in (["a / b", "c"], ["a", "b / c"], ["a\nB. b / c", "d"])]
    assert len(set(texts)) == 3
    assert texts[2].splitlines() == ["Which way?", "Options:", 'A. "a\\nB. b / c"', "B. d"]
    assert question_text("How many?") == "How many?"


def test_what_is_not_given_is_not_in_the_block() -> None:
    assert block(video_question("a.mp4", "?"), 0) == {"type": "video", "url": "a.mp4"}
    message = video_question("a.mp4", "?", num_frames=8, start_seconds=1.0)
    assert block(message, 0)["extras"] == {"num_frames": 8, "start_seconds": 1.0}


@pytest.mark.parametrize(
    ("question", "options", "match"),
    [
        ("", [], "ask something"),
        ("?", ["red"], "at least two texts"),
        ("?", ["red", " "], "none empty"),
        ("?", ["red", "red "], "make them different"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(question: str, options: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        video_question("a.mp4", question, options=options)
