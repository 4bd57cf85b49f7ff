"""One batch under V-Reason: which rows get an update when, and how the update runs.

Ties the controllers, the steered cache layer and the last layer together for the duration of a generation, and puts a
plain cache layer back afterwards. This module knows nothing of sampling, stopping or traces.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import torch
from transformers import DynamicCache, PreTrainedModel

from vreason_agent.decoding.cache import SteeredLayer
from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.controller import ValueCacheController
from vreason_agent.decoding.entropy import distribution
from vreason_agent.decoding.last_layer import LastLayer
from vreason_agent.decoding.switch import Switch


class Steering:
    """The controllers of a batch at work; a context manager around its steps.

    A step runs as: `tracing(due)` around the model's pass and the entropy, then `update`, then, where the config asks
    for it, `steered_logits` and `base_logits`. With nothing to steer all of it is a no-op.

    Attributes:
        controllers: One per row; `None` for a row without video tokens or under `schedule="off"`.
        seconds: Wall time spent on updates and the evaluations they need.
    """

    def __init__(
        self, hf_model: PreTrainedModel, cache: DynamicCache, video_mask: torch.Tensor, config: VReasonConfig
    ) -> None:
        """Attach nothing yet.

        Args:
            hf_model: The model; its weights are never changed, nor their `requires_grad`.
            cache: Filled by the prompt.
            video_mask: `(batch, length)`, bool: which entries of the last layer are video tokens.
            config: The schedule and the optimizer.

        Raises:
            GenerationError: there is something to steer and the model cannot be steered.
        """
        self._cache = cache
        self._config = config
        self.seconds = 0.0
        self.controllers: list[ValueCacheController | None] = [None] * len(video_mask)
        self._layer: SteeredLayer | None = None
        self._last_layer: LastLayer | None = None
        if config.is_steering and bool(video_mask.any()):
            self._last_layer = LastLayer(hf_model, cache)
            self._layer = self._attach(video_mask)

    def __enter__(self) -> Steering:
        if self._layer is not None and self._last_layer is not None:
            self._cache.layers[-1] = self._layer
            if self._needs_replay:
                self._last_layer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._layer is not None and self._last_layer is not None:
            self._cache.layers[-1] = self._layer.to_plain()
            self._last_layer.__exit__(kind, error, traceback)

    def tracing(self, rows: Iterable[int]) -> AbstractContextManager[None]:
        """Return the context of a model pass after which `rows` can be updated (none: an ordinary pass)."""
        return self._layer.tracing() if self._layer is not None and any(True for _ in rows) else nullcontext()

    def is_due(self, step: int, row: int) -> bool:
        """Return whether `row` has a controller that the schedule updates at `step`, warm-up and grammar aside."""
        return self.controllers[row] is not None and step > 0 and step % self._config.update_interval == 0

    @property
    def is_effective(self) -> list[bool]:
        """Per row, whether its controller moved, so that it changes the model's output."""
        return [controller is not None and not controller.is_zero for controller in self.controllers]

    def why_not(self, row: int) -> str | None:
        """Return why `row` is not steered; `None` if it is."""
        if self.controllers[row] is not None:
            return None
        return "the prompt has no video tokens" if self._config.is_steering else "the schedule is off"

    def update(self, switches: Mapping[int, Switch], entropy: torch.Tensor) -> dict[int, float]:
        """Take the config's optimizer steps for some rows; returns the new norms of their controllers.

        Args:
            switches: Row to sign, which holds for all steps of this update.
            entropy: `(batch,)`, nats, from the pass under `tracing`, with its graph.
        """
        assert self._layer is not None
        started = time.perf_counter()
        for optim_step in range(self._config.num_optim_steps):
            if optim_step > 0:
                with self._layer.tracing(), self._layer.replaying():
                    entropy = distribution(self._replay()).entropy
            self._descend(switches, entropy)
        norms = {row: controller.norm() for row in switches if (controller := self.controllers[row]) is not None}
        self.seconds += time.perf_counter() - started
        return norms

    def steered_logits(self) -> torch.Tensor:
        """Return the current token's logits `(batch, vocab_size)` under the controllers as they are now."""
        assert self._layer is not None
        started = time.perf_counter()
        with self._layer.replaying():
            logits = self._replay()
        self.seconds += time.perf_counter() - started
        return logits

    def base_logits(self) -> torch.Tensor:
        """Return the current token's logits `(batch, vocab_size)` without controllers."""
        assert self._layer is not None
        with self._layer.replaying(base=True):
            return self._replay()

    @property
    def _needs_replay(self) -> bool:
        config = self._config
        is_asked = config.record_loss_after or config.record_unsteered_entropy
        return config.num_optim_steps > 1 or config.apply_to == "current" or is_asked

    def _attach(self, video_mask: torch.Tensor) -> SteeredLayer:
        plain = self._cache.layers[-1]
        rows = video_mask.to(plain.values.device)
        indices = [row.nonzero().squeeze(1) if bool(row.any()) else None for row in rows]
        self.controllers = [
            None if index is None else ValueCacheController(plain.values[row].index_select(1, index), self._config)
            for row, index in enumerate(indices)
        ]
        return SteeredLayer(plain, self.controllers, indices)

    def _replay(self) -> torch.Tensor:
        assert self._last_layer is not None
        return self._last_layer.logits()

    def _descend(self, switches: Mapping[int, Switch], entropy: torch.Tensor) -> None:
        assert self._layer is not None
        signs = [switches[row].loss_sign if row in switches else 0.0 for row in range(len(self.controllers))]
        leaves = [leaf for row in switches if (leaf := self._layer.leaves[row]) is not None]
        gradients = torch.autograd.grad(entropy, leaves, grad_outputs=entropy.new_tensor(signs))
        for (row, switch), gradient in zip(switches.items(), gradients, strict=True):
            controller = self.controllers[row]
            if controller is not None:
                controller.apply_gradient(gradient, switch)
