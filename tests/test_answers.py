"""No reply is read as an option that it does not state; what states one is read. docs/answers.md holds the examples."""

# ruff: noqa: RUF001 (marks and letters of many scripts)

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vreason_agent.answers import (
    find_answer,
    match_option,
    normalize_answer,
    option_label,
    parse_answer,
    repeated_option,
    same_answer,
)

ROWS = re.findall(
    r"^\| `(.+?)` \| (`.+`) \| (unread|[A-Z]+) \|$",
    (Path(__file__).parents[1] / "docs" / "answers.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
OPTIONS = ("red circle", "red", "blue square", "none of these")
COLORS = ("red", "blue")
LETTERS = tuple("abcdefghi")
MANY = tuple(f"o{index}" for index in range(60))
NUMBERS = ("5", "10")
CHOSEN: dict[tuple[str, ...], dict[str, str | None]] = {
    OPTIONS: {
        "A": "A", "b": "B", "(C)": "C", "C.": "C", "C. blue square": "C", "C) blue square": "C", "C blue square": "C",
        "Option B": "B", "red circle": "A", "Red": "B", "the red circle.": "A", "It is the blue square": "C",
        "none of these": "D", "A red thing": "B", "It is none of these": "D", "C. The shape is a blue square": "C",
        "C: because it moves left": "C",
    },
    COLORS: {
        "“red”": "A", "**A. red**": "A", "`A`": "A", "A - red": "A", "A – red": "A", "$\\text{A}$": "A",
        "red\u200b": "A",
        "（Ａ）": "A", "选A": "A", "A选项": "A", "답: A": "A", "La respuesta es A": "A", "A is the answer": "A",
        "Red. The light glows all the time.": "A",
        "most likely red": "A", "Option A: red": "A", "It is red (A).": "A", "I go with A": "A", "【答案】A": "A",
        "𝐀": "A", "Aが正解です": "A", "정답은 A번입니다": "A", "Het antwoord is A": "A", "Odpowiedź: A": "A",
        "Answer A, red": "A", "It's red": "A", "It’s red": "A",
    },
    ("5%", "10%"): {r"$10\%$": "B", "10": None},
    ("赤", "青"): {"答えは「青」です": "B", "青です。": "B"},
    NUMBERS: {"5.": "A", "5.0": "A", "５": "A", "5 times": "A", "It is 5.": "A", "10 people": "B"},
    ("yes", "no"): {"No.": "B", "No, it does not turn left.": "B", "Yes, it is.": "A", "Yes, but no": None},
    ("-5", "5"): {"–5": "A", "5": "B", "﹣5": "A", "−٥": "A"},
    LETTERS: {"I": "I", "It is i": "I", "I think so": None, "I am": None},
    MANY: {
        "AA": "AA", "(AB)": "AB", "Z": "Z", "o1": "B", "o27": "AB", "Am": None, "as": None, "Be": None, "E. coli": None,
    },
    ("left", "right"): {"It is right": "B", "That's right": None, "right": "B"},
    ("5-10", "10-15"): {"5–10": "A"},
    ("St. Louis", "St"): {"St. Louis": "A", "The answer is St. Louis. It is shown there.": "A"},
    ("one line\nor two", "x"): {"one line\nor two": "A", "or two": None},
    ("red", "red."): {"red.": "B", "Red!": None},
    ("B. up", "A. down"): {"A": None, "up": "A", "B. up": "A"},
    ("Why?", "How?"): {"How?": "B"},
}  # fmt: skip
UNREAD: dict[tuple[str, ...], list[str]] = {
    OPTIONS: [
        "a green one", "E", "B. blue square", "A. blue square", "red circle or blue square", "reddish", "not red",
        "B) and C)", "B: no, C is right", "B. maybe C. blue", "B. blue square or none of these",
    ],
    COLORS: [
        "It isn’t red", "there aren't any red", "neither red", "never red", "without red", "except red", "far from red",
        "rather than red", "hardly red", "no longer red", "red is wrong", "red can be ruled out", "maybe red",
        "unless it is red", "it would have been red before", "the opposite of red",
        "The background, not the car, is red",
        "red and blue", "red, blue", "red, green", "red: green", "red. green. yellow.", "red/blue",
        "red-blue", "red→blue",
        "red-ish", "infrared", "red's", "red_1", "redo", "is it red?", "A or B", "A, B", "A/B", "neither A nor B",
        "A B", "A. green", "A) crimson", "A: green", "A, green", "!A",
        "not A", "Option A: blue", "blue (A)", "a.m.", "Vitamin B", "Grade B-", "A+", "B. red", "a) blue", "红色吗", "",
    ],
    NUMBERS: [
        "+5.5", "5–10", "5 - 10", "5 to 10", "between 5 and 10", "5,000", "1,005", "12:10", "5:30", "$5", "5°", "5th",
        "x5",
        "5/10", "1e5", ".5", "5²", "½5", "5½", "~5", ">5", "at least 5", "5 or more", "5+", "5'", '5"', "5 thousand",
        "5 m", "minus 5", "1. 5", "5 out of 10", "(5, 10)", "105", "5 percent",
    ],
    ("Polish", "polish"): ["POLISH", "It is Polish"],
    ("left", "straight"): ["right, left", "right or left"],
    ("known", "unknown"): ["well-known", "not known"],
    ("1", "1000"): ["1.000"],
    ("1", "2"): ["1. Red", "1. red 2. blue"],
    ("红色", "蓝色"): ["红", "红色或蓝色", "错误答案是红色", "不是红色"],
    ("赤", "青"): ["赤ではありません", "赤い車"],
    ("빨간색", "파란색"): ["빨간색이 아닙니다", "빨간색입니까"],
    ("สีแดง", "สีฟ้า"): ["ไม่ใช่สีแดง"],
    ("e", "f"): ["e\u0301"],
}  # fmt: skip


def test_the_examples_of_the_docs_hold() -> None:
    assert len(ROWS) > 40
    for reply, options, read in ROWS:
        choice = parse_answer(reply, re.findall("`(.+?)`", options)).choice
        assert (choice or "unread") == read, (reply, options)


@pytest.mark.parametrize(
    "form", ["{}", "<answer>{}</answer>", "<think>The answer is 3.</think>\n\\boxed{{{}}}", "The answer is {}"]
)
def test_a_reply_is_read_as_what_it_states_and_as_nothing_else(form: str) -> None:
    for options, replies in CHOSEN.items():
        for reply, choice in replies.items():
            if not (form.startswith("The answer is") and reply.startswith(("Yes", "No", "The", "It", "La", "A is"))):
                assert parse_answer(form.format(reply), options).choice == choice, (reply, options)
    for options, refused in UNREAD.items():
        for reply in refused:
            parsed = parse_answer(form.format(reply), options)
            assert (parsed.answer, parsed.choice, parsed.answer_span) == (None, None, None), (reply, options)


def test_an_option_named_first_and_ruled_out_after_it_is_unread() -> None:
    for reply in (
        "A: This option is ruled out by the video.",
        "A. Eliminated as the ball goes up",
        "red. This is ruled out by the second frame.",
    ):
        assert parse_answer(reply, COLORS).choice is None, reply


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (r"\boxed{A}", "A"),
        (r"It isn't red, so the answer is $\boxed{\text{B}}$.", "B"),
        (r"There is no motion so it must be \boxed{A}", "A"),
        (r"\boxed{A} because it does not move", "A"),
        (r"\boxed{A}. The ball is not seen again.", "A"),
        (r"The answer is not \boxed{A}", None),
        (r"It is definitely not \boxed{red}.", None),
        (r"\boxed{A} is wrong", None),
        (r"\boxed{A}. Wait, it is B", None),
        (r"\boxed{A} or \boxed{B}", None),
        (r"The answer is \boxed{A}, not \boxed{B}", None),
        (r"I cannot tell \boxed{A} from \boxed{B}", None),
    ],
)
def test_a_box_is_read_unless_its_clause_or_what_follows_takes_it_back(text: str, choice: str | None) -> None:
    assert parse_answer(text, COLORS).choice == choice


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
        (r"So we get \boxed{\text{a cat}}.", "a cat", "So we get"),
        (r"\boxed{\frac{1}{2}} is it", r"\frac{1}{2}", ""),
        ("I looked.\nThe answer is **3.5 seconds**.", "3.5 seconds", "I looked.\nThe"),
        ("**Answer**: left", "left", "**"),
        ("Final answer: left", "left", "Final"),
        ("正确答案是红色。", "红色", "正确"),
        ("<think>hm</think>left", "left", "hm"),
        ("left", "left", ""),
        ("I don't think the answer is left.", None, ""),
        ("If the answer is left, it moves.", None, ""),
        ("The answer is left. Wait, it is right.", None, ""),
        ("<think>still thinking about it", None, "still thinking about it"),
        ("<think>The answer is left. Or is it", None, "The answer is left. Or is it"),
        ("<answer></answer>", None, ""),
        ("", None, ""),
        ("First line\nsecond line", None, ""),
        ("x" * 81, None, ""),
    ],
)
def test_an_open_answer_is_found(text: str, answer: str | None, reasoning: str) -> None:
    parsed = parse_answer(text)
    assert (parsed.answer, parsed.choice, parsed.reasoning) == (answer, None, reasoning)
    if answer is not None:
        assert parsed.answer_span is not None
        assert text[slice(*parsed.answer_span)] == answer == text[slice(*find_answer(text))]


def test_a_long_reply_is_an_open_answer_of_other_models_and_an_option_however_long() -> None:
    text = "<think>hm</think> " + "It moves to the left. " * 9
    assert text[slice(*find_answer(text))] == text[18:].strip()
    long = "It moves to the left, then up, and then it is hidden. " * 3
    assert parse_answer(f"<think>hm</think>{long}", (long, "x")).choice == "A"


@pytest.mark.timeout(20)
def test_a_long_reply_costs_no_more_than_its_beginning() -> None:
    """Reading every sentence of such a reply against every option took minutes."""
    for sentence in (
        "The car, the dog and a man (who runs) go on. ",
        "车往左边开，然后停下来。",
        "The answer is unclear. ",
    ):
        assert parse_answer(f"<answer>{sentence * 3000}</answer>", OPTIONS).choice is None


def test_labels_go_on_after_z_and_are_read() -> None:
    options = [f"item {number}" for number in range(60)]
    labels = [option_label(index) for index in range(800)]
    assert labels[0:800:26] == [
        "A",
        *(f"{letter}A" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        "AAA",
        "ABA",
        "ACA",
        "ADA",
    ]
    assert len(set(labels)) == 800
    assert parse_answer("item 27", options).choice == "AB"
    assert match_option("AB", options) == 27
    assert match_option("[", options) is None


WORDS = st.text("abcdefgh ", min_size=1, max_size=8).map(str.strip).filter(bool)
NUMERALS = st.integers(-200, 200).map(str) | st.decimals(-20, 20, places=1).map(str)
TEXTS = st.lists(WORDS | NUMERALS | st.sampled_from("ABCD"), min_size=2, max_size=6, unique_by=normalize_answer)
STATING = (
    "{}",
    " {}\n",
    "{}.",
    "**{}**",
    "The answer is {}.",
    "<answer>{}</answer>",
    "\\boxed{{{}}}",
    "The answer is: {}",
)
DENYING = (
    "not {}",
    "It isn't {}",
    "anything but {}",
    "{} is wrong",
    "no{}",
    "{}x",
    "{}-like",
    "9{}",
    "{}9",
    "{}?",
    "-{}x",
)


@settings(deadline=None, max_examples=60)
@given(TEXTS, st.data())
def test_an_exact_statement_is_read_and_a_denial_is_not(options: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(options) - 1))
    label = option_label(index)
    letters = {option_label(number) for number in range(len(options))}
    assume(not letters & {normalize_answer(option).upper() for option in options})  # a letter that is a text is unread
    for form in STATING:
        assert parse_answer(form.format(options[index]), options).choice == label
        assert parse_answer(form.format(label), options).choice == label
        assert parse_answer(form.format(f"{label}. {options[index]}"), options).choice == label
    for form in DENYING:
        assert parse_answer(f"<answer>{form.format(options[index])}</answer>", options).choice != label


@settings(deadline=None, max_examples=60)
@given(TEXTS, st.text("ABCDabcd .,:-−0159()%'/", max_size=12))
def test_a_reply_names_every_option_it_is_read_as(options: list[str], reply: str) -> None:
    read = match_option(reply, options)
    if read is not None:
        text, label = normalize_answer(options[read]), option_label(read)
        said = normalize_answer(reply)
        before = "[-\\w.,]" if text[0].isdigit() else "\\w"
        assert re.search(rf"(?<!{before}){re.escape(text)}(?!\w|[.,:-]\d)", said) or re.search(
            rf"(?<!\w){label}(?![\w'])", reply.upper()
        )
        assert not re.search(r"\d[-−:]\d", reply) or said == text


@given(st.text(max_size=60), st.lists(st.text(max_size=5), max_size=4))
def test_any_text_is_parsed_or_unparsed_but_never_an_error(text: str, options: list[str]) -> None:
    parsed = parse_answer(text, options)
    assert (parsed.answer is None) == (parsed.answer_span is None)
    if options:
        assert (parsed.choice is None) == (parsed.answer is None)


def test_answers_are_the_same_however_they_are_written() -> None:
    same = [
        ("Red.", "red"),
        ("the circle", "Circle"),
        ("Three", "3"),
        (" left ", "“left”"),
        ("1,024", "1024.0"),
        ("+3", "3."),
    ]
    other = [
        ("red", "red circle"),
        ("-3", "3"),
        ("3.5", "35"),
        (".5", "5"),
        ("a", "the"),
        ("5%", "5"),
        ("5²", "52"),
        ("1,02", "102"),
    ]
    for pairs, expected in ((same, True), (other, False)):
        for one, two in pairs:
            assert same_answer({"text": one}, {"text": two}) is expected, (one, two)
    assert same_answer({"text": "the red one", "choice": "A"}, {"text": "red", "choice": "A"})
    assert not same_answer({"text": "red", "choice": "A"}, {"text": "red", "choice": "B"})
    assert not same_answer({"text": None}, {"text": None})
    assert normalize_answer("A") == "a"


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize_answer(text)
    assert normalize_answer(f"the {once}") in (once, normalize_answer(once), "the")


def test_an_option_that_is_there_twice_is_named() -> None:
    assert repeated_option(["red", "blue", "Red "]) == "Red "
    assert repeated_option(["red", "blue"]) is None
