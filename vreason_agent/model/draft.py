"""A prompt in the making, and made: token ids, positions, and the pictures that belong to them.

This module does not know about chat templates, families or pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from vreason_agent.model.parts import ImagePart, VideoPart, VisionUse
from vreason_agent.model.positions import Span, mrope_positions

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
    """A prompt in the making: text is gathered and tokenized in one go up to the next picture."""

    tokenizer: Any
    ids: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    videos: list[VideoPart] = field(default_factory=list)
    video_grids: list[tuple[int, int, int]] = field(default_factory=list)
    images: list[ImagePart] = field(default_factory=list)
    image_grids: list[tuple[int, int, int]] = field(default_factory=list)
    uses: list[VisionUse] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _text: str = ""

    def add_text(self, text: str, *, is_plain: bool = False) -> None:
        """Add text; plain text is tokenized by itself, names of special tokens in it staying text."""
        if not is_plain:
            self._text += text
            return
        self._flush()
        self._extend(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

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
            position_ids=mrope_positions(self.spans),
            video_mask=input_ids == video_id,
            videos=tuple(self.videos),
            video_grids=tuple(self.video_grids),
            images=tuple(self.images),
            image_grids=tuple(self.image_grids),
            uses=tuple(self.uses),
            notes=tuple(self.notes),
        )

    def _flush(self) -> None:
        if self._text:
            self._extend(self.tokenizer(self._text, add_special_tokens=False)["input_ids"])
            self._text = ""

    def _extend(self, ids: list[int]) -> None:
        self.ids.extend(ids)
        self.spans.append(Span(len(ids)))
