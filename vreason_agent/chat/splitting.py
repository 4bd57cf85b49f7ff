"""Telling reasoning from answer while text arrives piece by piece.

The markers are `<think>…</think>` and `<answer>…</answer>`; neither is ever passed on, also when a marker is cut by a
piece's border. Text outside of both is answer. This module knows no LangChain class.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Channel = Literal["reasoning", "content"]
_MARKERS: dict[str, Channel] = {
    "<think>": "reasoning",
    "</think>": "content",
    "<answer>": "content",
    "</answer>": "content",
}


class Piece(NamedTuple):
    """Some text of one channel."""

    channel: Channel
    text: str


class OutputSplitter:
    """Sorts text into reasoning and content; however the text is cut into pieces, the sums are the same.

    White space at the edges of each channel is dropped, so that the answer is the bare text.

    Args:
        starts_in_reasoning: Whether the prompt itself ended in `<think>`.
    """

    def __init__(self, *, starts_in_reasoning: bool = False) -> None:
        self._channel: Channel = "reasoning" if starts_in_reasoning else "content"
        self._held = ""
        self._space = {"reasoning": "", "content": ""}
        self._has_text = {"reasoning": False, "content": False}

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain after some more text; a possible beginning of a marker is held back."""
        pieces: list[Piece] = []
        self._held += text
        while (found := _first_marker(self._held)) is not None:
            start, marker = found
            self._release(start, pieces)
            self._held = self._held[len(marker) :]
            self._channel = _MARKERS[marker]
        self._release(len(self._held) - _open_marker(self._held), pieces)
        return pieces

    def finish(self) -> list[Piece]:
        """Return what was held back when no more text comes."""
        pieces: list[Piece] = []
        self._release(len(self._held), pieces)
        return pieces

    def _release(self, length: int, pieces: list[Piece]) -> None:
        channel = self._channel
        text, self._held = self._space[channel] + self._held[:length], self._held[length:]
        text = text if self._has_text[channel] else text.lstrip()
        certain = text.rstrip()
        self._space[channel] = text[len(certain) :]
        if certain:
            self._has_text[channel] = True
            pieces.append(Piece(channel, certain))


def split_output(text: str, *, starts_in_reasoning: bool = False) -> tuple[str, str]:
    """Return reasoning and content of a complete output."""
    splitter = OutputSplitter(starts_in_reasoning=starts_in_reasoning)
    pieces = [*splitter.feed(text), *splitter.finish()]
    reasoning = "".join(piece.text for piece in pieces if piece.channel == "reasoning")
    return reasoning, "".join(piece.text for piece in pieces if piece.channel == "content")


def _first_marker(text: str) -> tuple[int, str] | None:
    found = [(text.find(marker), marker) for marker in _MARKERS if marker in text]
    return min(found, default=None)


def _open_marker(text: str) -> int:
    """Return the length of the longest end of `text` that may be the beginning of a marker."""
    longest = max(len(marker) for marker in _MARKERS) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(marker.startswith(text[-length:]) for marker in _MARKERS):
            return length
    return 0
