"""Which raw signals can rank answers, and which way round. This module knows no graph and no message."""

from __future__ import annotations

from ..errors import ConfigError, quote
from .checked import is_one_of

HIGHER_IS_SURER = ("answer_probability", "entropy_drop")
LOWER_IS_SURER = (
    "answer_entropy",
    "final_entropy",
    "mean_entropy",
    "num_increases",
    "perplexity",
    "peak_entropy",
    "slope",
    "unsteered_final_entropy",
    "weakest_window_entropy",
)


def check_least_signal(name: str) -> str:
    """Return the name of a signal that can have a least value.

    Raises:
        ConfigError: If there is none of that name, or lower means surer.
    """
    if not is_one_of(name, HIGHER_IS_SURER):
        found = (
            "is lower where an answer is surer"
            if is_one_of(name, LOWER_IS_SURER)
            else "is not known as a measure of it"
        )
        msg = f"signal={quote(name)} {found}: a least value needs one of {', '.join(HIGHER_IS_SURER)}"
        raise ConfigError(msg)
    return name


def check_rank_signal(name: str) -> str:
    """Return the name of a signal that answers can be ranked by.

    Raises:
        ConfigError: If there is none of that name, or neither more nor less of it means surer.
    """
    known = (*HIGHER_IS_SURER, *LOWER_IS_SURER)
    if not is_one_of(name, known):
        msg = f"rank_by={quote(name)} is not known as a measure of how sure an answer is; use one of {', '.join(known)}"
        raise ConfigError(msg)
    return name


def sureness(name: str, value: float) -> float:
    """Return a signal's value so turned that higher means surer."""
    return -value if name in LOWER_IS_SURER else value
