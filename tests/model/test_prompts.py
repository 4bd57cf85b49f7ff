from __future__ import annotations

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
