"""The value-cache controller: a small trainable tensor beside the last layer's cached values.

Implements the controller of Sridhar et al., "Video Reasoning without Training", arXiv 2510.17045; differs: its
learning rate is scaled to the values it is added to, and Adam forgets when the sign flips. This module knows neither
model nor cache: it is given values and gradients.
"""

from __future__ import annotations

import torch

from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.entropy import precise_dtype
from vreason_agent.decoding.phase import Switch


class ValueCacheController:
    """One sequence's controller with its Adam state; made at the start of a generation, dropped at its end.

    Attributes:
        value_delta: `(num_kv_heads, num_video_tokens, head_dim)`, float32 or better, on the values' device, zeros at
            first: what is added to the values. Larger elements steer more.
        learning_rate: Size of an Adam step in units of the values: the config's rate times their root mean square.
        is_zero: Whether nothing moved yet, so that the controller has no effect.
    """

    def __init__(self, values: torch.Tensor, config: VReasonConfig) -> None:
        """Start at no effect.

        Args:
            values: `(num_kv_heads, num_video_tokens, head_dim)`, base values at the video positions, any float type.
            config: Rates of Adam.
        """
        self._config = config
        base = values.detach().to(precise_dtype(values))
        self.value_delta = torch.zeros_like(base)
        self.learning_rate = config.learning_rate * float(base.pow(2).mean().sqrt())
        self.is_zero = True
        self._first_moment = torch.zeros_like(base)
        self._second_moment = torch.zeros_like(base)
        self._num_moment_steps = 0
        self._last_switch: Switch | None = None

    def apply_gradient(self, gradient: torch.Tensor, switch: Switch) -> None:
        """Take one Adam step down the loss.

        Args:
            gradient: Gradient of the loss (sign times entropy) for `value_delta`, of its shape.
            switch: Sign of the update; a flip resets the moments if the config says so.
        """
        if self._config.reset_moments_on_switch and self._last_switch not in (None, switch):
            self._reset_moments()
        self._last_switch = switch
        beta1, beta2 = self._config.betas
        self._num_moment_steps += 1
        self._first_moment.mul_(beta1).add_(gradient, alpha=1.0 - beta1)
        self._second_moment.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
        step_size = self.learning_rate / (1.0 - beta1**self._num_moment_steps)
        scale = (1.0 - beta2**self._num_moment_steps) ** 0.5
        denominator = self._second_moment.sqrt().div_(scale).add_(self._config.eps)
        self.value_delta.addcdiv_(self._first_moment, denominator, value=-step_size)
        self.is_zero = self.is_zero and self.learning_rate == 0.0

    def norm(self) -> float:
        """Return the L2 norm of `value_delta`, in units of the values."""
        return float(torch.linalg.vector_norm(self.value_delta))

    def _reset_moments(self) -> None:
        self._first_moment.zero_()
        self._second_moment.zero_()
        self._num_moment_steps = 0
