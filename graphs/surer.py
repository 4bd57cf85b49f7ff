"""Which raw signals can rank answers, and which way round. This module knows no graph and no message."""

from __future__ import annotations

from ..errors import ConfigError

HIGHER_IS_SURER = ("answer_probability", "entropy_drop")
LOWER_IS_SURER = (
    "answer_entropy",
    "final_entropy",
    "mean_entropy",
    "num_increases",
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
    if name not in HIGHER_IS_SURER:
        found = "is lower where an answer is surer" if name in LOWER_IS_SURER else "is not known as a measure of it"
        msg = f"signal={name!r} {found}: a least value needs one of {', '.join(HIGHER_IS_SURER)}"
        raise ConfigError(msg)
    return name


def check_rank_signal(name: str) -> str:
    """Return the name of a signal that answers can be ranked by.

    Raises:
        ConfigError: If there is none of that name, or neither more nor less of it means surer.
    """
    if name not in (*HIGHER_IS_SURER, *LOWER_IS_SURER):
        known = ", ".join((*HIGHER_IS_SURER, *LOWER_IS_SURER))
        msg = f"rank_by={name!r} is not known as a measure of how sure an answer is; use one of {known}"
        raise ConfigError(msg)
    return name


def sureness(name: str, value: float) -> float:
    """Return a signal's value so turned that higher means surer."""
    return -value if name in LOWER_IS_SURER else value
