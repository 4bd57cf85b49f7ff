"""One batch under V-Reason: which rows get an update when, and how the update runs.

Ties the controllers, the steered cache layer and the last layer together for the duration of a generation, and puts a
plain cache layer back afterwards. This module knows nothing of sampling, stopping or traces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from vreason_agent.decoding.cache import SteeredLayer, steerable_layer
from vreason_agent.decoding.compat import seconds_now
from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.controller import ValueCacheController
from vreason_agent.decoding.entropy import Distribution, distribution
from vreason_agent.decoding.last_layer import FindPoint, LastLayer, SteeringPoint, check_state, find_steering_point
from vreason_agent.decoding.phase import Switch
from vreason_agent.errors import GenerationError


class Unsteered:
    """A batch in which nothing is steered: every row is plainly decoded.

    Attributes:
        controllers: One per row; `None` for a row that is not steered.
        seconds: Wall time spent on updates and the evaluations they need.
    """

    def __init__(self, num_rows: int) -> None:
        self.controllers: Sequence[ValueCacheController | None] = [None] * num_rows
        self.seconds = 0.0

    def __enter__(self) -> Unsteered:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Detach."""

    @property
    def is_effective(self) -> list[bool]:
        """Per row, whether its controller moved, so that it changes the model's output."""
        return [controller is not None and not controller.is_zero for controller in self.controllers]

    def is_due(self, step: int, row: int) -> bool:
        """Return whether the schedule updates `row` at `step`, warm-up and grammar aside."""
        return False

    def tracing(self, rows: Sequence[int]) -> AbstractContextManager[None]:
        """Return the context of a model pass after which `rows` can be updated (none: an ordinary pass)."""
        return nullcontext()

    def update(self, switches: Mapping[int, Switch], raw: Distribution) -> dict[int, float]:
        """Take the config's optimizer steps for some rows; returns the new norms of their controllers.

        Args:
            switches: Row to sign, which holds for all steps of this update.
            raw: From the pass under `tracing`, with its graph where there is one.
        """
        return {}

    def steered_logits(self) -> torch.Tensor:
        """Return the current token's logits `(batch, vocab_size)` under the controllers as they are now."""
        raise NotImplementedError("nothing is steered: the step's own logits are the answer")

    def base_logits(self) -> torch.Tensor:
        """Return the current token's logits `(batch, vocab_size)` without controllers."""
        raise NotImplementedError("nothing is steered: the step's own logits are the answer")


class Steering(Unsteered):
    """The controllers of a batch at work; a context manager around its steps.

    A step runs as: `tracing(due)` around the model's pass and the entropy, then `update`, then, where the config asks
    for it, `steered_logits` and `base_logits`.
    """

    def __init__(
        self, point: SteeringPoint, cache: DynamicCache, video_mask: torch.Tensor, config: VReasonConfig
    ) -> None:
        """Make the controllers; attach them on entry.

        Args:
            point: Where the model is steered; weights are never changed, nor their `requires_grad`.
            cache: Filled by the prompt.
            video_mask: `(batch, length)`, bool: which entries of the point's cache layer are video tokens.
            config: The schedule and the optimizer.
        """
        super().__init__(len(video_mask))
        self._cache = cache
        self._config = config
        self._point = point
        plain: Any = steerable_layer(cache, point.cache_index)
        self._device: torch.device = plain.values.device
        indices = [row.nonzero().squeeze(1) for row in video_mask.to(plain.values.device)]
        self.controllers = [
            ValueCacheController(values.index_select(1, index), config) if len(index) else None
            for values, index in zip(plain.values, indices, strict=True)
        ]
        self._layer = SteeredLayer(plain, self.controllers, indices)
        self._last_layer = LastLayer(point, cache, self._layer.steered)

    def __enter__(self) -> Steering:
        is_shared, config = self._point.replace_values is not None, self._config
        if not is_shared:
            self._cache.layers[self._point.cache_index] = self._layer
        is_asked = config.record_loss_after or config.record_unsteered_entropy
        if is_shared or config.num_optim_steps > 1 or config.apply_to == "current" or is_asked:
            self._last_layer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._point.replace_values is None:
            self._cache.layers[self._point.cache_index] = self._layer.to_plain()
        self._last_layer.__exit__(kind, error, traceback)

    def is_due(self, step: int, row: int) -> bool:
        """Return whether `row` has a controller and `step` falls on the update interval."""
        return self.controllers[row] is not None and step > 0 and step % self._config.update_interval == 0

    def tracing(self, rows: Sequence[int]) -> AbstractContextManager[None]:
        """Return the context of a model pass that carries a graph from the controllers on."""
        return self._layer.tracing() if rows else nullcontext()

    def update(self, switches: Mapping[int, Switch], raw: Distribution) -> dict[int, float]:
        """Take the optimizer steps; those after the first run the last layer again."""
        started, entropy = seconds_now(self._device), raw.entropy
        for optim_step in range(self._config.num_optim_steps):
            if optim_step > 0:
                with self._layer.tracing(), self._layer.replaying():
                    entropy = distribution(self._last_layer.logits()).entropy
            self._descend(switches, entropy)
        norms = {row: controller.norm() for row in switches if (controller := self.controllers[row]) is not None}
        self.seconds += seconds_now(self._device) - started
        return norms

    def steered_logits(self) -> torch.Tensor:
        """Run the last layer again with the controllers as they are now."""
        started = seconds_now(self._device)
        with self._layer.replaying():
            logits = self._last_layer.logits()
        self.seconds += seconds_now(self._device) - started
        return logits

    def base_logits(self) -> torch.Tensor:
        """Run the last layer again on the base values."""
        with self._layer.replaying(base=True):
            return self._last_layer.logits()

    def _descend(self, switches: Mapping[int, Switch], entropy: torch.Tensor) -> None:
        """Take one optimizer step down each row's loss, sign times entropy."""
        signs = [switches[row].loss_sign if row in switches else 0.0 for row in range(len(self.controllers))]
        leaves = [leaf for row in switches if (leaf := self._layer.leaves[row]) is not None]
        gradients: tuple[torch.Tensor, ...] = ()
        if entropy.requires_grad:
            found = torch.autograd.grad(entropy, leaves, grad_outputs=entropy.new_tensor(signs), allow_unused=True)
            gradients = tuple(gradient for gradient in found if gradient is not None)
        if len(gradients) < len(leaves):
            raise GenerationError(
                "the model's forward pass dropped the gradient between its last cache layer and its logits; load it "
                "without compilation, offloading or kernels that have no backward pass, or decode with "
                "VReasonConfig(schedule='off')"
            )
        for (row, switch), gradient in zip(switches.items(), gradients, strict=True):
            controller = self.controllers[row]
            if controller is not None:
                controller.apply_gradient(gradient, switch)


def steer(
    hf_model: PreTrainedModel,
    cache: DynamicCache,
    video_mask: torch.Tensor,
    config: VReasonConfig,
    find_point: FindPoint = find_steering_point,
) -> Unsteered:
    """Return the steering of a batch; `Unsteered` if the schedule is off or no row has video tokens.

    Args:
        hf_model: The model.
        cache: Filled by the prompt.
        video_mask: `(batch, length)`, bool: the video tokens.
        config: The schedule and the optimizer.
        find_point: Finds where the model is steered; a model family's own where the usual place is not it.

    Raises:
        GenerationError: the model, or its state, cannot be steered.
    """
    if not (config.is_steering and bool(video_mask.any())):
        return Unsteered(len(video_mask))
    point = find_point(hf_model)
    check_state(hf_model, point)
    return Steering(point, cache, video_mask, config)
