"""A prompt in the making, and made: token ids, M-RoPE positions, and the pictures that belong to them.

Positions have three rows (time, height, width). They are computed here and passed with every call: the library can
compute them too, but keeps `rope_deltas` on the model between calls, which is silently wrong once another video was
asked about in between; `tests/model/test_draft.py` checks that these positions equal the library's `get_rope_index`.
As in the library (transformers 5.23), text after a vision segment goes on at the segment's start plus its larger side
in tokens, however long the segment is in time, so that the temporal positions of a long Qwen2.5-VL video reach past the
first text after it. The processors that Qwen2-VL and Qwen2.5-VL were released with went on after the largest position.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from vreason_agent.model.families.base import temporal_steps
from vreason_agent.model.parts import ImagePart, VideoPart, VisionUse

__all__ = ["EncodedPrompt", "PromptDraft", "Span", "mrope_positions"]


@dataclass(frozen=True)
class Span:
    """A stretch of a prompt: text, or the tokens of one vision segment.

    Attributes:
        num_tokens: tokens in the span.
        grid: (temporal pairs, token rows, token columns) of a vision segment after merging; `None` for text.
        positions_per_pair: temporal positions from one pair to the next; fractions are truncated after multiplying.
    """

    num_tokens: int
    grid: tuple[int, int, int] | None = None
    positions_per_pair: float = 1.0


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as the model takes it, pixels not computed yet.

    Attributes:
        input_ids: int64 `(num_tokens,)`.
        position_ids: int64 `(3, num_tokens)`: time, height, width.
        video_mask: bool `(num_tokens,)`, true at video tokens.
        videos: the video parts in the order of the prompt.
        video_grids: grid (pairs, patch rows, patch columns) of every video segment, in the order of the prompt.
        images: the image parts in the order of the prompt.
        image_grids: the same for images.
        uses: what each picture costs, in the order of the prompt.
        notes: what the families' layouts say about time.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    video_mask: torch.Tensor
    videos: tuple[VideoPart, ...] = ()
    video_grids: tuple[tuple[int, int, int], ...] = ()
    images: tuple[ImagePart, ...] = ()
    image_grids: tuple[tuple[int, int, int], ...] = ()
    uses: tuple[VisionUse, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Length of the prompt."""
        return len(self.input_ids)


@dataclass
class PromptDraft:
    """A prompt in the making: text is gathered and tokenized in one go up to the next picture.

    Attributes:
        tokenizer: the transformers tokenizer.
        special: names of the tokens that no given text may become.
    """

    tokenizer: Any
    special: Collection[str]
    ids: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    videos: list[VideoPart] = field(default_factory=list)
    video_grids: list[tuple[int, int, int]] = field(default_factory=list)
    images: list[ImagePart] = field(default_factory=list)
    image_grids: list[tuple[int, int, int]] = field(default_factory=list)
    uses: list[VisionUse] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _texts: list[tuple[str, bool]] = field(default_factory=list)

    def add_text(self, text: str, *, is_given: bool = False) -> None:
        """Add text; names of special tokens in a given one, as against a template's, stay text."""
        self._texts.append((text, is_given))

    def add_vision(self, token_id: int, span: Span) -> None:
        """Add the tokens of one vision segment."""
        self._flush()
        self.ids.extend([token_id] * span.num_tokens)
        self.spans.append(span)

    def finish(self, video_id: int) -> EncodedPrompt:
        """Return the prompt, video tokens being those with `video_id`."""
        self._flush()
        input_ids = torch.tensor(self.ids, dtype=torch.long)
        return EncodedPrompt(
            input_ids=input_ids,
            position_ids=torch.from_numpy(mrope_positions(self.spans)),
            video_mask=input_ids == video_id,
            videos=tuple(self.videos),
            video_grids=tuple(self.video_grids),
            images=tuple(self.images),
            image_grids=tuple(self.image_grids),
            uses=tuple(self.uses),
            notes=tuple(self.notes),
        )

    def _flush(self) -> None:
        """Tokenize what was gathered, text by text where given ones would spell a special token."""
        text = "".join(text for text, _ in self._texts)
        ours = [text for text, is_given in self._texts if not is_given]
        if all(text.count(token) == sum(one.count(token) for one in ours) for token in self.special):
            self._extend(text, is_given=False)
        else:
            for is_given, run in groupby(self._texts, key=itemgetter(1)):
                self._extend("".join(text for text, _ in run), is_given=is_given)
        self._texts.clear()

    def _extend(self, text: str, *, is_given: bool) -> None:
        if text:
            ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=is_given)["input_ids"]
            self.ids.extend(ids)
            self.spans.append(Span(len(ids)))


def mrope_positions(spans: Sequence[Span]) -> np.ndarray:
    """Positions of a prompt, int64 `(3, num_tokens)`: rows are time, height, width; text counts up on all three."""
    pieces = [np.zeros((3, 0), dtype=np.int64)]
    start = 0
    for span in spans:
        if span.grid is None:
            pieces.append(np.broadcast_to(np.arange(span.num_tokens) + start, (3, span.num_tokens)))
            start += span.num_tokens
        else:
            pairs, rows, columns = span.grid
            axes = (temporal_steps(pairs, span.positions_per_pair), np.arange(rows), np.arange(columns))
            pieces.append(np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1) + start)
            start += max(rows, columns)
    return np.concatenate(pieces, axis=1)
