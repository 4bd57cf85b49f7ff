"""`VReasonConfig`: every choice of V-Reason decoding, validated once and frozen.

The paper leaves most of these open; `docs/method.md` says which reading each default stands for. This
module knows nothing of models, tensors or the loop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from vreason_agent.decoding.plain_data import PLAIN, check_names, checked_mapping, json_object, shown
from vreason_agent.errors import ConfigError

Schedule = Literal["off", "switching", "alternating", "minimize", "maximize", "random"]
ApplyTo = Literal["next", "current"]


@dataclass(frozen=True)
class VReasonConfig:
    """How one generation is steered. `VReasonConfig()` is the method, `VReasonConfig(schedule="off")` plain decoding.

    Attributes:
        schedule: Rule for the sign of an update. `switching` pulls the entropy toward its moving average before the
            peak and lowers it after; `alternating` does the opposite of the last update (first: raise) before the peak
            and lowers after; `minimize`, `maximize` and `random` are ablations that ignore the phase; `off` never
            updates.
        ema_decay: Weight of the past in the moving average of the entropy, in [0, 1). Larger: a smoother average, a
            later switch to exploitation; smaller: the average follows single tokens.
        warmup_steps: Number of first tokens whose mean entropy starts the average, at least 1. They belong to
            exploration and see no update. Larger: later first update, steadier start.
        peak_margin: Fraction of the peak, in [0, 1), by which the average must fall below it before exploitation
            begins. Larger: exploration lasts longer.
        update_interval: Tokens between updates, at least 1: an update falls on every `step % update_interval == 0`.
            Larger: cheaper, weaker steering.
        num_optim_steps: Adam steps per update, at least 1. Larger: stronger and costlier; each one beyond the first
            runs the last layer and the head again.
        learning_rate: Size of an Adam step, from 0 to 1000, in units of the root mean square of the base values at the
            video positions: 0.05 moves an element by five percent of a typical value. Larger: stronger steering;
            0 steers nothing and still runs the same loop.
        betas: Adam's decay rates of the first and second moment, each in [0, 1). Larger: longer memory of gradients.
        eps: Added to the root of Adam's second moment, above 0 and at most 1000, in units of the gradient (nats per
            unit of value). Larger: elements with a small gradient move less.
        reset_moments_on_switch: Forget Adam's moments when the sign flips. `False`: the first step after a flip can
            move the entropy the wrong way.
        apply_to: `next`: an update acts from the next token on and costs a backward pass only. `current`: it also
            acts on the token being chosen, for one more pass of the last layer and the head.
        lite: Drop the video tokens of lowest value norm from the key-value cache after the prompt was read.
        lite_keep_ratio: Share of video tokens that `lite` keeps in each layer, in (0, 1]. Smaller: less memory and
            time, more of the video forgotten.
        min_final_steps: Fewest steps after the peak for the entropy to have come down, at least 1; with fewer,
            `entropy_drop` is 0. Larger: more short answers have no drop.
        record_loss_after: Also record the loss after each update; one more pass of the last layer per update.
        record_unsteered_entropy: Also record what the entropy would be without the controller at the same prefix;
            one more pass of the last layer per steered token.
        seed: Seed of the `random` schedule, at least 0; every sequence of a batch starts from it. Without effect on
            other schedules and on the sampling of tokens.

    Raises:
        ConfigError: a field is outside its range or of another type.
    """

    __pydantic_config__ = PLAIN

    schedule: Schedule = "switching"
    ema_decay: float = 0.9
    warmup_steps: int = 8
    peak_margin: float = 0.1
    update_interval: int = 2
    num_optim_steps: int = 1
    learning_rate: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    reset_moments_on_switch: bool = True
    apply_to: ApplyTo = "next"
    lite: bool = False
    lite_keep_ratio: float = 0.5
    min_final_steps: int = 4
    record_loss_after: bool = False
    record_unsteered_entropy: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choice("schedule", self.schedule, get_args(Schedule))
        _check_choice("apply_to", self.apply_to, get_args(ApplyTo))
        for name in ("ema_decay", "peak_margin"):
            _check_number(name, getattr(self, name), low=0.0, below=1.0)
        _check_number("learning_rate", self.learning_rate, low=0.0, high=1000.0)
        _check_number("eps", self.eps, above=0.0, high=1000.0)
        _check_number("lite_keep_ratio", self.lite_keep_ratio, above=0.0, high=1.0)
        for name in ("warmup_steps", "update_interval", "num_optim_steps", "min_final_steps"):
            _check_int(name, getattr(self, name), low=1)
        _check_int("seed", self.seed, low=0)
        for name in ("reset_moments_on_switch", "lite", "record_loss_after", "record_unsteered_entropy"):
            _check_bool(name, getattr(self, name))
        object.__setattr__(self, "betas", _checked_betas(self.betas))

    @property
    def is_steering(self) -> bool:
        """Whether this schedule ever updates the controller."""
        return self.schedule != "off"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON data."""
        return {**asdict(self), "betas": list(self.betas)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VReasonConfig:
        """Build a config from `to_dict`'s data; missing fields take their defaults.

        Raises:
            ConfigError: the data is no mapping, a key is no field, or a value is outside its range.
        """
        what = "V-Reason config"
        check_names(checked_mapping(data, what=what), cls, what=what)
        return cls(**data)

    def to_json(self) -> str:
        """Return the config as one line of JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> VReasonConfig:
        """Build a config from `to_json`'s text.

        Raises:
            ConfigError: the text is no JSON object, or a field is not allowed.
        """
        return cls.from_dict(json_object(text, what="V-Reason config"))


def checked_config(config: object, *, keyword: str) -> VReasonConfig:
    """Return `config`, or the default for `None`; `keyword` is the caller's name for it.

    Raises:
        ConfigError: it is something else.
    """
    if config is None:
        return VReasonConfig()
    if not isinstance(config, VReasonConfig):
        raise ConfigError(
            f"{keyword}={shown(config)} must be a VReasonConfig; pass {keyword}=VReasonConfig(...), or "
            "VReasonConfig.from_dict(...) of a dict of its fields"
        )
    return config


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{name}={shown(value)} is not known; use one of: {', '.join(allowed)}")


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={shown(value)} must be True or False")


def _check_int(name: str, value: object, *, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(f"{name}={shown(value)} must be a whole number of at least {low}")


def _check_number(
    name: str,
    value: object,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> None:
    limits = [(low, "at least"), (above, "above"), (high, "at most"), (below, "below")]
    allowed = " and ".join(f"{word} {limit:g}" for limit, word in limits if limit is not None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (
        (low is None or value >= low)  # type: ignore[operator]
        and (above is None or value > above)  # type: ignore[operator]
        and (high is None or value <= high)  # type: ignore[operator]
        and (below is None or value < below)  # type: ignore[operator]
    ):  # a NaN is inside no limit
        raise ConfigError(f"{name}={shown(value)} must be a number {allowed}")


def _checked_betas(betas: object) -> tuple[float, float]:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ConfigError(f"betas={shown(betas)} must be two numbers, such as (0.9, 0.999)")
    for index, beta in enumerate(betas):
        _check_number(f"betas[{index}]", beta, low=0.0, below=1.0)
    return (float(betas[0]), float(betas[1]))
