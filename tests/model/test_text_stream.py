from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from tests.model.published import IDS, make_tokenizer
from vreason_agent.model.text_stream import TextStream

TOKENIZER: Any = PreTrainedTokenizerFast(tokenizer_object=make_tokenizer(), eos_token="<|im_end|>")


def tokens_of(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def stream(text: str, *stop: str) -> tuple[TextStream, list[str]]:
    """Push a text token by token, which is byte by byte."""
    out = TextStream(TOKENIZER, stop)
    pieces = [out.push(token) for token in tokens_of(text)]
    return out, [*pieces, out.finish()]


@given(st.text(max_size=30))
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    out, pieces = stream(text)
    assert "".join(pieces) == out.text == "".join(out.token_texts) == text


def test_a_character_of_several_tokens_is_released_by_its_last_one() -> None:
    out, pieces = stream("a\U0001f600b")
    assert pieces == ["a", "", "", "", "\U0001f600", "b", ""]
    assert out.token_texts == ["a", "", "", "", "\U0001f600", "b"]


def test_an_unfinished_character_becomes_a_replacement_character_at_the_end() -> None:
    out = TextStream(TOKENIZER)
    pieces = [out.push(token) for token in tokens_of("x\u20ac")[:-1]]
    assert pieces == ["x", "", ""]
    assert out.finish() == "\ufffd"
    assert out.text == "".join(out.token_texts) == "x\ufffd"


def test_special_tokens_are_no_text() -> None:
    out = TextStream(TOKENIZER)
    assert [out.push(token) for token in [*tokens_of("ok"), IDS["<|im_end|>"]]] == ["o", "k", ""]
    assert out.token_texts == ["o", "k", ""]


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one STOP two", ("STOP",), "one "),
        ("one ST two", ("STOP",), "one ST two"),
        ("one STSTOP", ("STOP",), "one ST"),
        ("aab", ("aac", "ab"), "a"),
        ("abc", ("bc", "b"), "a"),
        ("STOP", ("STOP",), ""),
        ("ends in ST", ("STOP",), "ends in ST"),
        ("\u20ac!\u20ac", ("!\u20ac",), "\u20ac"),
        ("line\n\nnext", ("\n\n",), "line"),
    ],
)
def test_the_text_ends_before_a_stop_text(text: str, stop: tuple[str, ...], expected: str) -> None:
    out, pieces = stream(text, *stop)
    assert "".join(pieces) == out.text == expected
    assert out.is_stopped == (expected != text)


@given(st.text(alphabet="ab", max_size=12), st.lists(st.text(alphabet="ab", min_size=1, max_size=3), max_size=3))
def test_no_piece_of_a_stop_text_leaks(text: str, stop: list[str]) -> None:
    out, pieces = stream(text, *stop)
    ends = [text.find(one) + len(one) for one in stop if one in text]
    seen = text[: min(ends)] if ends else text  # the stop text that is complete first ends it
    starts = [seen.find(one) for one in stop if one in seen]
    assert "".join(pieces) == out.text == (seen[: min(starts)] if starts else seen)
    assert not any(one in out.text for one in stop)


def test_nothing_is_released_after_a_stop_text() -> None:
    out, _ = stream("a|b|c", "|")
    assert out.push(tokens_of("d")[0]) == ""
    assert (out.finish(), out.text) == ("", "a")
