"""Grammars for what a model writes: their words in a model's own tokens, and the processor that enforces them.

A grammar is text in llguidance's dialect of Lark. It is enforced by masking logits after their entropy was taken, so
that entropies stay those of the raw logits; a token without an alternative is marked `forced` by the decode loop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import LogitsProcessor

from vreason_agent.errors import ConfigError, GenerationError

__all__ = ["GrammarProcessor", "GrammarWords"]


@dataclass(frozen=True)
class GrammarRules:
    """Two ways of writing freely up to a mark.

    Attributes:
        until: Name of the rule for any text that ends in the mark, its first.
        without: Name of the rule for any text, also none, that does not hold the mark.
        text: The definition of both, to be put into the grammar.
    """

    until: str
    without: str
    text: str


class GrammarWords:
    """A model's tokens as words of a grammar."""

    def __init__(self, tokenizer: Any, vocab_size: int, stop_token_ids: Sequence[int]) -> None:
        """Read the tokenizer, about 1.5 s for a vocabulary of 100,000.

        Args:
            tokenizer: a fast transformers tokenizer.
            vocab_size: width of the model's logits.
            stop_token_ids: tokens that end an output.

        Raises:
            ConfigError: the tokenizer is not a fast one.
        """
        try:
            self.tokens: LLTokenizer = from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=list(stop_token_ids))
        except ValueError as exc:
            msg = (
                f"{type(tokenizer).__name__} cannot be used with tools or schemas ({exc}); add a tokenizer.json to the "
                "model's folder: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            )
            raise ConfigError(msg) from exc
        self._tokenizer = tokenizer
        self._stop = set(stop_token_ids)
        # Tokens that a text rule never matches, because llguidance counts every token written like <mark> as special.
        added = [int(token) for token in tokenizer.added_tokens_decoder]
        self._special = {token for token in added if self.tokens.is_special_token(token)} - self._stop

    def word(self, text: str) -> str:
        """Return the term that matches `text`, as one token where the model has one for it."""
        token = self._single(text)
        return _quoted(text) if token is None else f"<[{token}]>"

    def free_text(
        self, name: str, mark: str, *, never: Sequence[str] = (), max_tokens: int | None = None
    ) -> GrammarRules:
        """Return rules for free text, special tokens included, up to a mark.

        Args:
            name: lower case; beginning of the rules' names.
            mark: what ends the text.
            never: texts that must not be in it.
            max_tokens: after how many tokens the text has to end, where the mark is one token; no other special token
                is allowed in such a text.
        """
        lost = [self._single(text) for text in (mark, *never)]
        is_bounded = max_tokens is not None and lost[0] is not None
        ids = self._special - {token for token in lost if token is not None}
        spelled = [text for text, token in zip((mark, *never), lost, strict=True) if token is None]
        forbidden = "".join(f" & ~/(?s:.*)({_regex(text)})(?s:.*)/" for text in spelled)
        token = f"<[{','.join(map(str, sorted(ids)))}]>" if ids else ""
        part = f"({name.upper()})? {token}" if token else ""
        if is_bounded:
            until = f"{name}_bounded {self.word(mark)}\n{name}_bounded[max_tokens={max_tokens}]: /(?s:.*)/"
        elif lost[0] is not None:
            until = f"{name}_without {self.word(mark)}"
        else:
            until = f"({part})* {name}_last\n{name}_last[lazy]: /(?s:.*){_regex(mark)}/"
        lines = [
            f"{name.upper()}: /(?s:.+)/{forbidden}",
            f"{name}_without: ({part})* ({name.upper()})?" if part else f"{name}_without: ({name.upper()})?",
            f"{name}_until: {until}",
        ]
        return GrammarRules(f"{name}_until", f"{name}_without", "\n".join(lines))

    def processor(self, grammars: Sequence[str | None]) -> GrammarProcessor:
        """Return the processor of a batch with one grammar, or none, per row."""
        return GrammarProcessor([None if text is None else _Row(self.tokens, text, self._stop) for text in grammars])

    def _single(self, text: str) -> int | None:
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return int(ids[0]) if len(ids) == 1 and ids[0] in self._special else None


class GrammarProcessor(LogitsProcessor):
    """Masks what the rows' grammars do not allow."""

    is_grammar = True

    def __init__(self, rows: Sequence[_Row | None]) -> None:
        self._rows = rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores `(batch, vocab_size)` with minus infinity where a token is not allowed.

        Raises:
            GenerationError: a grammar turned out too complex.
        """
        for index, row in enumerate(self._rows):
            allowed = None if row is None else row.allowed(input_ids[index].tolist())
            if allowed is not None:
                mask = torch.from_numpy(allowed[: scores.shape[-1]]).to(scores.device)
                scores[index, ~mask] = float("-inf")
        return scores


class _Row:
    """Where one row is in its grammar. Asked twice about the same tokens, it answers the same."""

    def __init__(self, tokens: LLTokenizer, grammar: str, stop: set[int]) -> None:
        self._matcher = LLMatcher(tokens, grammar, log_level=0)
        self._size, self._stop = tokens.vocab_size, stop
        self._num_read: int | None = None
        self._is_over = False

    def allowed(self, ids: Sequence[int]) -> np.ndarray | None:
        """Return a bool per token of the vocabulary, `None` if the row has ended."""
        start = len(ids) if self._num_read is None else self._num_read
        self._num_read = len(ids)
        for token in ids[start:]:
            # An ended row is filled with padding, which no grammar takes.
            self._is_over |= token in self._stop or self._matcher.try_consume_tokens([token]) == 0
        if self._matcher.is_error():
            msg = f"the output format cannot be enforced any further: {self._matcher.get_error()}; simplify the schema"
            raise GenerationError(msg)
        if self._is_over:
            return None
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(bits, bitorder="little")[: self._size].astype(bool)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _regex(text: str) -> str:
    return re.escape(text).replace("/", "\\/")
