from __future__ import annotations

import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.model.prompts import plain_prompt, reasoning_prompt

OPTIONS = ("red circle", "red", "blue square", "none of these")


def test_the_reasoning_prompt_names_tags_and_letters() -> None:
    prompt = reasoning_prompt("What is it?", OPTIONS)
    assert prompt.startswith("What is it?\nOptions:\nA. red circle\nB. red\nC. blue square\nD. none of these\n")
    for tag in ("<think>", "</think>", "<answer>", "</answer>", "letter"):
        assert tag in prompt
    assert "letter" not in reasoning_prompt("What is it?")


def test_the_plain_prompt_is_what_the_bundled_model_was_trained_on() -> None:
    assert plain_prompt("What is it?") == "What is it?"
    assert plain_prompt("What is it?", ("red", "blue")) == "What is it?\nOptions: red / blue"


def test_options_that_cannot_be_told_apart_are_written_otherwise_or_refused() -> None:
    one, other = (reasoning_prompt("?", options) for options in (("a\nB. b", "c"), ("a", "b\nC. c")))
    assert '\nA. "a\\nB. b"\nB. c\n' in one
    assert one != other
    assert plain_prompt("?", ("a/b", "c")) == "?\nOptions: a/b / c"
    for option in ("a / b", "a /", "/ b", "a\nb", "a\u2028b"):
        with pytest.raises(ConfigError, match=r"Write it without, .*question_prompt=reasoning_prompt"):
            plain_prompt("?", (option, "c"))
