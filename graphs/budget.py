"""How much a question may cost, and what it has cost so far.

This module knows no graph: it is limits, sums and sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from typing_extensions import TypedDict

from ..errors import ConfigError, quote
from .checked import check_flag, is_limit


class Cost(NamedTuple):
    """What one more attempt is expected to take."""

    frames: int
    tokens: int
    seconds: float


class Spent(TypedDict):
    """What a run has used: answers, frames, tokens, and the time that answering took, over all attempts."""

    attempts: int
    frames: int
    tokens: int
    seconds: float


NOTHING = Spent(attempts=0, frames=0, tokens=0, seconds=0.0)


@dataclass(frozen=True)
class Budget:
    """Limits of one question; `None` sets no limit. The first attempt is always made.

    The limits are checked between attempts, against what the next one is expected to take (`expected_cost`): its frames
    are known, its tokens and seconds are estimated from the attempts before it. An attempt under way is never cut, so
    that one which takes more than was expected can exceed a limit; the chat model's own `max_tokens` and `timeout` cut.

    Attributes:
        max_attempts: Complete answers. More allow more frames and retries.
        max_total_frames: Frames looked at, all attempts together.
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
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None or item.name == "ask":
                continue
            if not is_limit(value):
                msg = f"{item.name}={quote(value)}: a limit must be a number above 0; use None for no limit"
                raise ConfigError(msg)
            if item.name != "max_seconds" and value != int(value):
                msg = (
                    f"{item.name}={quote(value)}: this counts whole things; use a whole number, e.g. {int(value) or 1}"
                )
                raise ConfigError(msg)
        check_flag("ask", self.ask)

    def refusal(self, spent: Spent, cost: Cost) -> str | None:
        """Return why another attempt of that cost is not allowed, with its numbers; `None` if it is."""
        tokens, seconds = spent["tokens"] + max(1, cost.tokens), spent["seconds"] + cost.seconds
        checks = (
            ("max_attempts", self.max_attempts, spent["attempts"] + 1, "{} attempts"),
            ("max_total_frames", self.max_total_frames, spent["frames"] + cost.frames, "{} frames in all"),
            ("max_total_tokens", self.max_total_tokens, tokens, "about {} tokens in all"),
            ("max_seconds", self.max_seconds, seconds, "about {} seconds in all"),
        )
        for name, limit, needed, wording in checks:
            if limit is not None and needed > limit:
                amount = wording.format(f"{round(needed, 3):.10g}")
                return f"the next attempt would take {amount}, over {name}={float(limit):.10g}"
        return None


def add_spent(spent: Spent, *, frames: int, tokens: int, seconds: float) -> Spent:
    """Return what is spent after one more attempt."""
    return Spent(
        attempts=spent["attempts"] + 1,
        frames=spent["frames"] + frames,
        tokens=spent["tokens"] + tokens,
        seconds=spent["seconds"] + seconds,
    )
