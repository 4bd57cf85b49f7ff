"""Tokens to text while they come: unfinished characters are held back, stop texts never leak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["TextStream"]

_UNFINISHED = "\ufffd"
"""What a byte-level tokenizer decodes an incomplete UTF-8 character to."""


class TextStream:
    """The growing text of one generated sequence.

    Each `push` returns the text that became certain. Two things are held back: the bytes of a character that several
    tokens spell, and a tail that may be the beginning of a stop text. `finish` releases what is held back.

    Attributes:
        text: text released so far; complete after `finish`, and never longer than up to a stop text.
        token_texts: what each token contributed to the decoded text, stop text included.
        is_stopped: whether a stop text was found; later tokens add nothing.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self.text = ""
        self.token_texts: list[str] = []
        self.is_stopped = False
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._held = ""  # decoded, but possibly the beginning of a stop text
        self._context: list[int] = []  # tokens of the last complete characters
        self._pending: list[int] = []  # tokens since then

    def push(self, token_id: int) -> str:
        """Add a token and return the text it makes certain."""
        self._pending.append(token_id)
        decoded = self._decode_pending()
        if decoded.endswith(_UNFINISHED):
            self.token_texts.append("")
            return ""
        self._context, self._pending = self._pending, []
        self.token_texts.append(decoded)
        return self._release(decoded)

    def finish(self) -> str:
        """Return the text still held back; an unfinished character becomes the replacement character."""
        rest = self._decode_pending() if self._pending else ""
        self._pending = []
        if rest and self.token_texts:
            self.token_texts[-1] += rest
        released = self._release(rest)
        if not self.is_stopped:
            released += self._held
            self.text += self._held
            self._held = ""
        return released

    def _decode_pending(self) -> str:
        """Decode the pending tokens in the context of those before: some tokenizers treat a first token differently."""
        before = self._decode(self._context)
        return self._decode([*self._context, *self._pending])[len(before) :]

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _release(self, decoded: str) -> str:
        if self.is_stopped:
            return ""
        self._held += decoded
        certain = len(self._held) - self._longest_stop_prefix()
        found = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if found:
            certain, self.is_stopped = min(found), True
        released, self._held = self._held[:certain], self._held[certain:]
        self.text += released
        return released

    def _longest_stop_prefix(self) -> int:
        """Length of the longest tail of the held text that some stop text begins with."""
        lengths = (n for stop in self._stop for n in range(min(len(stop), len(self._held)), 0, -1))
        tails = {n for n in lengths if any(stop.startswith(self._held[-n:]) for stop in self._stop)}
        return max(tails, default=0)
