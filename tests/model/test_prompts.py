from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vreason_agent.errors import ConfigError
from vreason_agent.model.prompts import parse_answer, plain_prompt, reasoning_prompt

OPTIONS = ("red circle", "red", "blue square", "none of these")


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<think>It moves.</think><answer>left</answer>", "left", "It moves."),
        ("<think>It moves.</think>\n\n<answer>\n left \n</answer>", "left", "It moves."),
        ("It moves.</think><answer>left</answer>", "left", "It moves."),
        (
            "<think>Is it <answer>up</answer>? No.</think><answer>left</answer>",
            "left",
            "Is it <answer>up</answer>? No.",
        ),
        ("<answer>up</answer> or rather <answer>left</answer>", "left", "<answer>up</answer> or rather"),
        ("<think>It moves.<answer>left</answer>", "left", "It moves."),
        ("<think>It moves.</think><answer>left", "left", "It moves."),
        (r"So we get \boxed{3}.", "3", "So we get"),
        (r"\boxed{\frac{1}{2}} is it", r"\frac{1}{2}", ""),
        ("I looked.\nThe answer is **3.5 seconds**.", "3.5 seconds", "I looked.\nThe"),
        ("Final answer: left", "left", "Final"),
        ("<think>hm</think>left", "left", "hm"),
        ("left", "left", ""),
        ("<think>still thinking about it", None, "still thinking about it"),
        ("<think>The answer is left. Or is it", None, "The answer is left. Or is it"),
        ("<answer></answer>", None, ""),
        ("", None, ""),
        ("First line\nsecond line", None, ""),
        ("x" * 81, None, ""),
    ],
)
def test_an_open_answer_is_read(text: str, answer: str | None, reasoning: str) -> None:
    parsed = parse_answer(text)
    assert parsed.answer == answer
    assert parsed.choice is None
    assert parsed.reasoning == reasoning
    if answer is not None:
        assert parsed.answer_span is not None
        assert text[slice(*parsed.answer_span)] == answer
    else:
        assert parsed.answer_span is None


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("A", "A"),
        ("b", "B"),
        ("(C)", "C"),
        ("C.", "C"),
        ("C. blue square", "C"),
        ("C) blue square", "C"),
        ("C blue square", "C"),
        ("Option B", "B"),
        ("red circle", "A"),
        ("Red", "B"),
        ("the red circle.", "A"),
        ("It is the blue square", "C"),
        ("none of these", "D"),
        ("a green one", None),
        ("A red thing", "B"),
        ("E", None),
        ("B. blue square", None),
        ("red circle or blue square", None),
        ("reddish", None),
        ("not red", None),
        ("It is none of these", "D"),
        ("B) and C)", None),
        ("B: no, C is right", None),
        ("B. maybe C. blue", None),
        ("B. blue square or none of these", None),
        ("C. The shape is a blue square", "C"),
        ("C: because it moves left", "C"),
    ],
)
def test_a_choice_is_read_by_letter_or_text(said: str, choice: str | None) -> None:
    parsed = parse_answer(f"<think>Hm.</think><answer>{said}</answer>", OPTIONS)
    assert parsed.choice == choice
    assert parsed.answer == (None if choice is None else OPTIONS["ABCD".index(choice)])
    assert (parsed.answer_span is None) == (choice is None)
    assert parsed.reasoning == "Hm."


def test_options_that_are_numbers_or_letters_are_compared_as_text_first() -> None:
    assert parse_answer("<answer>2</answer>", ("3", "2")).choice == "B"
    assert parse_answer("<answer>A</answer>", ("B", "A")).choice == "B"


def test_a_model_that_ignores_the_form_is_still_read_when_it_is_plain() -> None:
    assert parse_answer("The correct option is: C.", OPTIONS).answer == "blue square"
    assert parse_answer("B", OPTIONS).answer == "red"
    assert parse_answer("I see both.\nThey move.", OPTIONS).answer is None


@given(st.text(max_size=60), st.lists(st.text(max_size=5), max_size=4))
def test_any_text_is_parsed_or_unparsed_but_never_an_error(text: str, options: list[str]) -> None:
    parsed = parse_answer(text, options)
    assert (parsed.answer is None) == (parsed.answer_span is None)
    if options:
        assert (parsed.choice is None) == (parsed.answer is None)


def test_the_reasoning_prompt_names_tags_and_letters() -> None:
    prompt = reasoning_prompt("What is it?", OPTIONS)
    assert prompt.startswith("What is it?\nOptions:\nA. red circle\nB. red\nC. blue square\nD. none of these\n")
    for tag in ("<think>", "</think>", "<answer>", "</answer>", "letter"):
        assert tag in prompt
    assert "letter" not in reasoning_prompt("What is it?")


def test_the_plain_prompt_is_what_the_bundled_model_was_trained_on() -> None:
    assert plain_prompt("What is it?") == "What is it?"
    assert plain_prompt("What is it?", ("red", "blue")) == "What is it?\nOptions: red / blue"


def test_more_options_than_letters_are_refused() -> None:
    many = [str(number) for number in range(27)]
    for use in (reasoning_prompt, lambda _, options: parse_answer("A", options)):
        with pytest.raises(ConfigError, match="give at most 26"):
            use("?", many)
