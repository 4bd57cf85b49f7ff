"""Explicit M-RoPE positions: three rows (time, height, width) for every token of a prompt.

Positions are computed here and passed with every call. The library can compute them too, but keeps `rope_deltas` on the
model between calls, which is silently wrong once another video was asked in between; `tests/model/test_mrope.py`
checks that these positions equal the library's `get_rope_index`.

As in the library (transformers 5.23), text after a vision segment goes on at the segment's start plus its larger side
in tokens, however long the segment is in time, so that the temporal positions of a long Qwen2.5-VL video reach past the
first text after it. The processors that Qwen2-VL and Qwen2.5-VL were released with went on after the largest position.

This module does not know what the tokens mean, how time is written into a prompt, or any model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Span", "mrope_positions", "temporal_steps"]


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


def temporal_steps(num_pairs: int, positions_per_pair: float) -> np.ndarray:
    """Temporal offset of each pair, int64 `(num_pairs,)`: whole positions, truncated as the library does in float32."""
    return (np.arange(num_pairs, dtype=np.float32) * np.float32(positions_per_pair)).astype(np.int64)


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
