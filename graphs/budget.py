"""How much a question may cost, what it has cost so far, and what the next attempt will probably cost.

This module knows no graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil, isfinite, isnan
from numbers import Real
from typing import Any, NamedTuple

from ..errors import ConfigError, quote
from .state import Attempt, Spent

NOTHING = Spent(attempts=0, frames_seen=0, frames_shown=0, tokens=0, seconds=0.0)


class Cost(NamedTuple):
    """What one more attempt is expected to take; `frames` are those that no attempt saw before."""

    frames: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Budget:
    """Limits of one question; `None` sets no limit. The first attempt is always made.

    The limits are checked between attempts, against what the next one is expected to take (`expected_cost`): its frames
    are known, its tokens and seconds are estimated from the attempts before it. An attempt under way is never cut, so
    that one which takes more than was expected can exceed a limit; the chat model's own `max_tokens` and `timeout` cut.

    Attributes:
        max_attempts: Complete answers. More allow more frames and retries.
        max_total_frames: Different frames, all attempts together: one that a later attempt keeps is not counted again.
        max_total_tokens: Tokens read and written, all attempts together. A chat model that reports no usage counts as
            none.
        max_seconds: Time spent answering, all attempts together, pauses not counted.
        ask: Whether a human is asked (LangGraph's `interrupt`) before a limit is exceeded. Without a checkpointer
            nobody can answer later, and the run ends with the reason.

    Raises:
        ConfigError: If a limit is no positive and finite number, or is a fraction of what is counted.
    """

    max_attempts: int | None = 8
    max_total_frames: int | None = None
    max_total_tokens: int | None = None
    max_seconds: float | None = None
    ask: bool = True

    def __post_init__(self) -> None:
        check_flag("ask", self.ask)
        for name in (item.name for item in fields(self) if item.name != "ask"):
            limit = getattr(self, name)
            if limit is None:
                continue
            if not is_number(limit) or not isfinite(limit) or limit <= 0:
                msg = f"{name}={quote(limit)}: a limit must be a number above 0; use None for no limit"
                raise ConfigError(msg)
            if name != "max_seconds" and limit != int(limit):
                msg = f"{name}={quote(limit)}: this is a count; use a whole number, e.g. {int(limit) or 1}"
                raise ConfigError(msg)

    def find_excess(self, spent: Spent, cost: Cost) -> str | None:
        """Return which limit another attempt of that cost would exceed, as a sentence; `None` if it fits."""
        tokens, seconds = spent["tokens"] + max(1, cost.tokens), spent["seconds"] + cost.seconds
        checks = (
            ("max_attempts", self.max_attempts, spent["attempts"] + 1, "{} attempts"),
            ("max_total_frames", self.max_total_frames, spent["frames_seen"] + cost.frames, "{} frames"),
            ("max_total_tokens", self.max_total_tokens, tokens, "about {} tokens"),
            ("max_seconds", self.max_seconds, seconds, "about {} seconds"),
        )
        for name, limit, needed, wording in checks:
            if limit is not None and needed > limit:
                total = wording.format(f"{round(needed, 3):.10g}")
                return f"one more attempt would bring the total to {total}, over {name}={float(limit):.10g}"
        return None


def spent_on(attempts: Sequence[Attempt]) -> Spent:
    """Return what attempts have cost together; a frame that several of them saw is decoded and encoded once."""
    seen = {second for attempt in attempts for second in attempt["timestamps_seconds"]}
    return Spent(
        attempts=len(attempts),
        frames_seen=len(seen),
        frames_shown=sum(attempt["num_frames"] for attempt in attempts),
        tokens=sum(sum(attempt["tokens"].values()) for attempt in attempts),
        seconds=sum(attempt["seconds"] for attempt in attempts),
    )


def expected_cost(attempts: Sequence[Attempt], num_frames: int, num_new_frames: int) -> Cost:
    """Estimate an attempt with `num_frames` frames, of which so many were not seen before, by the attempts so far.

    Tokens: those that the last attempt read, in proportion to its frames, and the most that any attempt wrote. Seconds:
    those of the last attempt, in proportion to its frames, though not less than it took itself. So the text of the
    question, and what is loaded with the first answer, count once too often rather than too seldom.
    """
    last = attempts[-1]
    growth = num_frames / max(1, last["num_frames"])
    written = max(attempt["tokens"]["output"] for attempt in attempts)
    tokens = ceil(last["tokens"]["input"] * growth) + written
    return Cost(num_new_frames, tokens, last["seconds"] * max(1.0, growth))


def is_number(value: Any) -> bool:
    """Tell whether a value is a real number that a float can hold; NaN, True and False are none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return not isnan(value)
    except OverflowError:
        return False


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False, such as the text "false".

    Raises:
        ConfigError: If it is neither.
    """
    if not isinstance(value, bool):
        msg = f"{name}={quote(value)}: use True or False"
        raise ConfigError(msg)
