"""Telling reasoning, answer and tool calls apart while text arrives piece by piece.

The marks are `<think>…</think>`, `<answer>…</answer>` and, where tools may be called, `<tool_call>…</tool_call>`. None
is ever passed on, also when one is cut by a piece's border or by the end of an output that was cut. Text outside of all
is answer. An answer in JSON is passed on as it is, whatever its strings spell. This module knows no LangChain class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from vreason_agent.chat.output_format import CALL_BEGIN, CALL_END, OutputFormat

Channel = Literal["reasoning", "content", "call"]
_THINKING: dict[str, Channel] = {"<think>": "reasoning", "</think>": "content"}
_ANSWER: dict[str, Channel] = {"<answer>": "content", "</answer>": "content"}
_CALL: dict[str, Channel] = {CALL_BEGIN: "call"}


class Piece(NamedTuple):
    """Some text of one channel; `is_end` says that a call is complete with it."""

    channel: Channel
    text: str
    is_end: bool = False


class Output(NamedTuple):
    """The parts of an output; `calls` holds the text of each, `half_mark` what was dropped from the end of one cut."""

    reasoning: str
    content: str
    calls: tuple[str, ...] = ()
    half_mark: str = ""


class OutputSplitter:
    """Sorts text into reasoning, content and calls; however the text is cut into pieces, the sums are the same.

    White space at the edges of each channel is dropped, so that the answer is the bare text.

    Args:
        starts_in_reasoning: Whether the prompt itself ended in `<think>`.
        output_format: Whether there can be calls, and whether the answer is JSON.

    Attributes:
        half_mark: The beginning of a mark that an output ended in when it was cut; part of no channel.
    """

    def __init__(self, *, starts_in_reasoning: bool = False, output_format: OutputFormat | None = None) -> None:
        output_format = output_format or OutputFormat()
        self._is_json = output_format.schema is not None
        calls = _CALL if output_format.has_calls else {}
        answer = {} if self._is_json else _ANSWER
        self._marks: Mapping[Channel, Mapping[str, Channel]] = {
            "reasoning": {**_THINKING, **answer},
            "content": {**_THINKING, **answer, **calls},
            "call": {CALL_END: "content"},
        }
        self._channel: Channel = "reasoning" if starts_in_reasoning else "content"
        self._held = ""
        self.half_mark = ""
        self._space: dict[Channel, str] = dict.fromkeys(self._marks, "")
        self._has_text: dict[Channel, bool] = dict.fromkeys(self._marks, False)

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain after some more text; a possible beginning of a mark is held back."""
        pieces: list[Piece] = []
        self._held += text
        while (found := self._first_mark()) is not None:
            start, mark = found
            self._release(start, pieces)
            self._held = self._held[len(mark) :]
            self._end_call(pieces)
            self._channel = self._marks[self._channel][mark]
        self._release(len(self._held) - self._num_open(), pieces)
        return pieces

    def finish(self, *, is_cut: bool = False) -> list[Piece]:
        """Return what was held back when no more text comes.

        Args:
            is_cut: Whether the output ended before its writer ended it. Then a half mark is none of the text: half of
                a call's mark is a call of which nothing is there, another one is dropped (`half_mark`).
        """
        pieces: list[Piece] = []
        if is_cut and self._held and self._channel != "call":
            begun = [mark for mark in self._marks[self._channel] if mark.startswith(self._held)]
            self.half_mark, self._held = self._held, ""
            self._channel = "call" if begun == [CALL_BEGIN] else self._channel
        self._release(len(self._held), pieces)
        self._end_call(pieces)
        return pieces

    def _end_call(self, pieces: list[Piece]) -> None:
        if self._channel == "call":
            pieces.append(Piece("call", "", is_end=True))
            self._space["call"], self._has_text["call"] = "", False

    def _release(self, length: int, pieces: list[Piece]) -> None:
        channel = self._channel
        text, self._held = self._space[channel] + self._held[:length], self._held[length:]
        text = text if self._has_text[channel] else text.lstrip()
        certain = text.rstrip()
        self._space[channel] = text[len(certain) :]
        if certain:
            self._has_text[channel] = True
            pieces.append(Piece(channel, certain))

    def _first_mark(self) -> tuple[int, str] | None:
        marks = self._marks[self._channel]
        found = [(self._held.find(mark), mark) for mark in marks if mark in self._held]
        return min((place for place in found if self._is_a_mark_at(place[0])), default=None)

    def _is_a_mark_at(self, start: int) -> bool:
        """Tell whether a mark's text at this place is a mark: inside of JSON it is not."""
        if not self._is_json or self._channel != "content":
            return True
        return not self._has_text["content"] and not self._held[:start].strip()

    def _num_open(self) -> int:
        """Return the length of the longest end of the held text that may be the beginning of a mark."""
        marks = self._marks[self._channel]
        longest = max(len(mark) for mark in marks) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            is_open = any(mark.startswith(self._held[-length:]) for mark in marks)
            if is_open and self._is_a_mark_at(len(self._held) - length):
                return length
        return 0


def split_output(
    text: str,
    *,
    starts_in_reasoning: bool = False,
    output_format: OutputFormat | None = None,
    is_cut: bool = False,
) -> Output:
    """Return the parts of an output, complete or cut."""
    splitter = OutputSplitter(starts_in_reasoning=starts_in_reasoning, output_format=output_format)
    texts: dict[Channel, str] = {"reasoning": "", "content": "", "call": ""}
    calls = []
    for piece in [*splitter.feed(text), *splitter.finish(is_cut=is_cut)]:
        texts[piece.channel] += piece.text
        if piece.is_end:
            calls.append(texts["call"])
            texts["call"] = ""
    return Output(texts["reasoning"], texts["content"], tuple(calls), splitter.half_mark)
