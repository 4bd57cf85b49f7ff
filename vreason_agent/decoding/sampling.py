"""From logits to the next token: transformers' logits processors, grammars, and one generator per sequence.

A processor that states what a grammar allows says so with an attribute `is_grammar = True`; transformers' own prefix
constraint and forced begin and end tokens count as such. A token that the grammar leaves no choice about is *forced*.
This module knows nothing of models, steps or steering.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    PrefixConstrainedLogitsProcessor,
)

_GRAMMARS = (ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor, PrefixConstrainedLogitsProcessor)


class ProcessedScores(NamedTuple):
    """What the processors make of the logits.

    Attributes:
        scores: `(batch, vocab_size)`, float32.
        forced: Per row, whether the grammar leaves exactly one token.
    """

    scores: torch.Tensor
    forced: list[bool]


class TokenSampler:
    """Applies logits processors and draws tokens.

    Attributes:
        has_grammar: Whether any processor can force a token.
    """

    def __init__(
        self,
        processors: LogitsProcessorList,
        *,
        do_sample: bool,
        generators: Sequence[torch.Generator] | None = None,
    ) -> None:
        """Keep the rules.

        Args:
            processors: Applied in order to `(batch, vocab_size)` scores, as transformers does.
            do_sample: Draw from the softmax of the scores; otherwise take the largest.
            generators: One per row when sampling. `None` draws the whole batch from torch's global stream, as
                transformers does.
        """
        self._processors = processors
        self._do_sample = do_sample
        self._generators = generators
        self.has_grammar = any(is_grammar(processor) for processor in processors)

    def process(self, input_ids: torch.Tensor, logits: torch.Tensor) -> ProcessedScores:
        """Run the processors on a copy of raw `logits` `(batch, vocab_size)`, given `input_ids` `(batch, length)`."""
        scores: Any = logits.detach().to(torch.float32, copy=bool(self._processors))
        if not self.has_grammar:
            ids: Any = input_ids
            return ProcessedScores(self._processors(ids, scores), [False] * len(logits))
        allowed = torch.ones_like(scores, dtype=torch.bool)
        for processor in self._processors:
            if is_grammar(processor):
                scores, is_allowed = _apply_grammar(processor, input_ids, scores)
                allowed &= is_allowed
            else:
                scores = processor(input_ids, scores)
        return ProcessedScores(scores, (allowed.sum(dim=-1) == 1).tolist())

    def draw(self, scores: torch.Tensor) -> torch.Tensor:
        """Return one token id per row, `(batch,)`."""
        if not self._do_sample:
            return scores.argmax(dim=-1)
        probs = scores.softmax(dim=-1)
        if self._generators is None:
            return torch.multinomial(probs, num_samples=1).squeeze(1)
        drawn = [
            torch.multinomial(row.to(generator.device), num_samples=1, generator=generator).to(scores.device)
            for row, generator in zip(probs.unsqueeze(1), self._generators, strict=True)
        ]
        return torch.cat(drawn).squeeze(1)


def _apply_grammar(
    grammar: LogitsProcessor, input_ids: torch.Tensor, scores: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores `(batch, vocab_size)` after a grammar, and which tokens it allows, asking it once.

    What others have masked is shown to it as the lowest finite score, so that infinities are its own, and masked again.
    """
    lowest = torch.finfo(scores.dtype).min
    masked = torch.isneginf(scores)
    ids: Any = input_ids
    after: torch.Tensor = grammar(ids, cast("Any", scores.masked_fill(masked, lowest)))
    is_allowed = ~torch.isneginf(after)
    return after.masked_fill(masked & (after == lowest), float("-inf")), is_allowed


def is_grammar(processor: LogitsProcessor) -> bool:
    """Return whether `processor` states what a grammar allows, rather than what is likely."""
    return isinstance(processor, _GRAMMARS) or bool(getattr(processor, "is_grammar", False))
