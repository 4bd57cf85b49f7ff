"""What the next attempt will probably cost, going by those before it.

This module knows no limit and no graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from .budget import Cost
from .state import Attempt


def expected_cost(attempts: Sequence[Attempt], num_frames: int) -> Cost:
    """Estimate an attempt with `num_frames` frames.

    Tokens: those that the last attempt read, in proportion to its frames, and the most that any attempt wrote. Seconds:
    those of the last attempt, in proportion to its frames, though not less than it took itself. So the text of the
    question, and what is loaded with the first answer, count once too often rather than too seldom.
    """
    last = attempts[-1]
    growth = num_frames / max(1, last["num_frames"])
    written = max(attempt["tokens"]["output"] for attempt in attempts)
    tokens = ceil(last["tokens"]["input"] * growth) + written
    return Cost(num_frames, tokens, last["seconds"] * max(1.0, growth))
