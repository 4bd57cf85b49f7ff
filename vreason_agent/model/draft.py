"""A prompt in the making, and made: token ids, positions, and the pictures that belong to them.

This module does not know about chat templates, families or pixels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch

from vreason_agent.model.mrope import Span, mrope_positions
from vreason_agent.model.parts import ImagePart, VideoPart, VisionUse

__all__ = ["EncodedPrompt", "PromptDraft"]


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
