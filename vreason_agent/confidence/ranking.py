"""Which raw signals rank answers, and which way round."""

from __future__ import annotations

from typing import Any

from vreason_agent.errors import ConfigError, quote

HIGHER_IS_BETTER = (
    "answer_probability",
    "entropy_drop",
    "joint_probability",
    "option_margin",
    "option_margin_before",
    "option_mass",
    "option_probability",
    "option_probability_before",
    "self_certainty",
)
LOWER_IS_BETTER = (
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


def ranking_key(name: str, value: float) -> float:
    """Return a signal's value, its sign turned where lower is better, so that the best answer has the highest key."""
    return -value if name in LOWER_IS_BETTER else value


def check_ranking_signal(name: Any) -> str:
    """Return the name of a signal that answers can be ranked by.

    Raises:
        ConfigError: If there is none of that name, or neither more nor less of it tells a better answer.
    """
    known = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)
    if not isinstance(name, str) or name not in known:
        msg = f"rank_by={quote(name)} cannot rank answers; use one of {', '.join(known)}"
        raise ConfigError(msg)
    return name


def check_threshold_signal(name: Any) -> str:
    """Return the name of a signal that a least value can be set for.

    Raises:
        ConfigError: If there is none of that name, or a lower value is better.
    """
    if not isinstance(name, str) or name not in HIGHER_IS_BETTER:
        found = "is better when lower" if name in LOWER_IS_BETTER else "is not known"
        msg = f"signal={quote(name)} {found}; a least value can be set for {' or '.join(HIGHER_IS_BETTER)}"
        raise ConfigError(msg)
    return name
