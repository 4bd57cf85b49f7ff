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
from typing import Any, Literal

import numpy as np
import torch

from vreason_agent.model.families.base import Grid, Kind, temporal_steps
from vreason_agent.model.parts import VisionUse
from vreason_agent.model.vision_settings import FrameFit

__all__ = ["EncodedPrompt", "Picture", "PromptDraft", "Span", "mrope_positions"]

TOKEN_TYPES: dict[Kind, int] = {"image": 1, "video": 2}
"""Numbers of transformers' `mm_token_type_ids`; text is 0."""


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


@dataclass(frozen=True, eq=False)
class Picture:
    """A video or still image of a prompt.

    Attributes:
        kind: which of the two.
        frames: uint8 `(num_frames, height, width, 3)` as given; one frame for an image.
        fit: the size that the frames get, and what they cost.
        grids: grid (temporal patches, patch rows, patch columns) of every vision block.
    """

    kind: Kind
    frames: np.ndarray
    fit: FrameFit
    grids: tuple[Grid, ...]


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """A prompt as the model takes it, pixels not computed yet.

    Attributes:
        input_ids: int64 `(num_tokens,)`.
        position_ids: int64 `(3, num_tokens)`: time, height, width; `(num_tokens,)` where the model counts tokens.
        token_types: int64 `(num_tokens,)`: 0 text, 1 image, 2 video.
        pictures: the pictures in the order of the prompt.
        vision_spans: first token and the one after the last of every vision block, in the order of the prompt.
        uses: what each picture costs, in the same order.
        notes: what the families' layouts say about time.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    token_types: torch.Tensor
    pictures: tuple[Picture, ...]
    vision_spans: tuple[tuple[int, int], ...]
    uses: tuple[VisionUse, ...]
    notes: tuple[str, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens in the prompt."""
        return len(self.input_ids)

    @property
    def video_mask(self) -> torch.Tensor:
        """Bool `(num_tokens,)`, true at the tokens of a video's frames."""
        return self.token_types == TOKEN_TYPES["video"]

    def grids(self, kind: Kind) -> list[Grid]:
        """Grid of every vision block of one kind, in the order of the prompt."""
        return [grid for picture in self.pictures if picture.kind == kind for grid in picture.grids]


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
    types: list[int] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    vision_spans: list[tuple[int, int]] = field(default_factory=list)
    uses: list[VisionUse] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _texts: list[tuple[str, bool]] = field(default_factory=list)

    def add_text(self, text: str, *, is_given: bool = False) -> None:
        """Add text; names of special tokens in a given one, as against a template's, stay text."""
        self._texts.append((text, is_given))

    def add_vision(self, kind: Kind, token_id: int, span: Span) -> None:
        """Add the tokens of one vision segment."""
        self._flush()
        self.vision_spans.append((len(self.ids), len(self.ids) + span.num_tokens))
        self.ids.extend([token_id] * span.num_tokens)
        self.types.extend([TOKEN_TYPES[kind]] * span.num_tokens)
        self.spans.append(span)

    def finish(self, rope_axes: Literal[1, 3]) -> EncodedPrompt:
        """Return the prompt with positions on one axis or three."""
        self._flush()
        positions = mrope_positions(self.spans) if rope_axes == 3 else np.arange(len(self.ids))
        return EncodedPrompt(
            input_ids=torch.tensor(self.ids, dtype=torch.long),
            position_ids=torch.from_numpy(positions),
            token_types=torch.tensor(self.types, dtype=torch.long),
            pictures=tuple(self.pictures),
            vision_spans=tuple(self.vision_spans),
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
            self.types.extend([0] * len(ids))
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
