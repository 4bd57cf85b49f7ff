"""Explicit M-RoPE positions: three rows (time, height, width) for every token of a prompt.

Positions are computed here and passed with every call. The library can compute them too, but keeps `rope_deltas` on the
model between calls, which is silently wrong once another video was asked in between; `tests/model/test_positions.py`
checks that these positions equal the library's `get_rope_index`.

As in the library (transformers 5.23), text after a vision segment goes on at the segment's start plus its larger side
in tokens, however long the segment is in time, so that the temporal positions of a long Qwen2.5-VL video reach past the
first text after it. The processors that Qwen2-VL and Qwen2.5-VL were released with went on after the largest position.

This module does not know what the tokens mean, how time is written into a prompt, or any model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["Span", "mrope_positions", "pad_left", "temporal_steps"]


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


def temporal_steps(num_pairs: int, positions_per_pair: float) -> torch.Tensor:
    """Temporal offset of each pair, int64 `(num_pairs,)`: whole positions, truncated as the library does in float32."""
    return (torch.arange(num_pairs) * positions_per_pair).long()


def mrope_positions(spans: Sequence[Span]) -> torch.Tensor:
    """Positions of a prompt, int64 `(3, num_tokens)`: rows are time, height, width; text counts up on all three."""
    pieces: list[torch.Tensor] = []
    start = 0
    for span in spans:
        if span.grid is None:
            pieces.append((torch.arange(span.num_tokens) + start).expand(3, -1))
            start += span.num_tokens
        else:
            pieces.append(_segment_positions(span.grid, span.positions_per_pair) + start)
            start += max(span.grid[1:])
    return torch.cat(pieces, dim=1) if pieces else torch.zeros((3, 0), dtype=torch.long)


def pad_left(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
    """Stack tensors `(..., length_i)` to `(batch, ..., max length)`, filled up with `value` on the left."""
    longest = max(row.shape[-1] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (longest - row.shape[-1], 0), value=value) for row in rows])


def _segment_positions(grid: tuple[int, int, int], positions_per_pair: float) -> torch.Tensor:
    pairs, rows, columns = grid
    axes = (temporal_steps(pairs, positions_per_pair), torch.arange(rows), torch.arange(columns))
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
