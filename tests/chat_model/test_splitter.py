from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vreason_agent.chat.output_format import OutputFormat
from vreason_agent.chat.splitter import Output, OutputSplitter, split_output
from vreason_agent.chat.tool_calls import tool_use

WITH_CALLS = OutputFormat(tool_use([{"type": "function", "function": {"name": "zoom"}}]))

PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "<", ">", "a", " ", "\n", "</", "é"])
)


def test_markers_are_cut_out_and_nothing_else() -> None:
    for text, reasoning, content in (
        ("<think>I see</think><answer>red</answer>", "I see", "red"),
        ("<think>\n I see \n</think>\n\n<answer> red </answer>\n", "I see", "red"),
        ("red", "", "red"),
        ("<think>cut off", "cut off", ""),
        ("a < b and <b>bold</b>", "", "a < b and <b>bold</b>"),
        ("<think>x</think>The answer is <answer>B</answer>.", "x", "The answer is B."),
        ("", "", ""),
        ("ends in <thi", "", "ends in <thi"),
    ):
        assert split_output(text)[:2] == (reasoning, content)


def test_a_prompt_that_opens_the_thinking_is_followed() -> None:
    assert split_output("I see</think>red", starts_in_reasoning=True)[:2] == ("I see", "red")


def test_half_a_mark_at_the_end_of_a_cut_output_is_no_text() -> None:
    """It once was content, in streams and in whole answers."""
    for text, expected in (
        ("red <tool_c", Output("", "red", ("",), "<tool_c")),
        ("red <tool_call>", Output("", "red", ("",), "<tool_call>")),
        ("red <to", Output("", "red", ("",), "<to")),
        ("red <t", Output("", "red", (), "<t")),
        ("<answer>red</answ", Output("", "red", (), "</answ")),
        ("<think>red</thin", Output("red", "", (), "</thin")),
        ("red <b", Output("", "red <b")),
        ("red", Output("", "red")),
    ):
        assert split_output(text, output_format=WITH_CALLS, is_cut=True) == expected
        splitter = OutputSplitter(output_format=WITH_CALLS)
        pieces = [piece for character in text for piece in splitter.feed(character)] + splitter.finish(is_cut=True)
        assert "".join(piece.text for piece in pieces if piece.channel == "content") == expected.content
        assert len([piece for piece in pieces if piece.is_end]) == len(expected.calls)


def test_half_a_mark_that_the_writer_ended_with_is_text() -> None:
    assert split_output("red <tool_c", output_format=WITH_CALLS) == Output("", "red <tool_c")
    assert split_output("red <tool_call>", is_cut=True) == Output("", "red <tool_call>"), "there are no tools"


@given(PIECES, st.booleans())
def test_however_the_text_is_cut_the_sums_are_the_same(pieces: list[str], starts_in_reasoning: bool) -> None:
    text = "".join(pieces)
    splitter = OutputSplitter(starts_in_reasoning=starts_in_reasoning)
    streamed = [piece for character in text for piece in splitter.feed(character)] + splitter.finish()
    sums = tuple("".join(p.text for p in streamed if p.channel == channel) for channel in ("reasoning", "content"))
    assert sums == split_output(text, starts_in_reasoning=starts_in_reasoning)[:2]


@given(PIECES)
def test_no_marker_is_ever_passed_on(pieces: list[str]) -> None:
    splitter = OutputSplitter()
    for piece in [out for text in pieces for out in splitter.feed(text)] + splitter.finish():
        assert not any(marker in piece.text for marker in ("<think>", "</think>", "<answer>", "</answer>"))


def test_text_is_passed_on_as_soon_as_it_is_certain() -> None:
    splitter = OutputSplitter()
    assert [piece.text for piece in splitter.feed("red circle")] == ["red circle"]
    assert splitter.feed(" <ans") == []
    assert [piece.text for piece in splitter.feed("or>")] == [" <ansor>"]
