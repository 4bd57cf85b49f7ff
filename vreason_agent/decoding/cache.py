"""The last layer's key-value cache with the controllers beside it.

The layer stores the model's own values and hands attention the values plus each row's controller, so a finished
generation leaves a clean cache. This module knows transformers' cache classes and controllers, but no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from vreason_agent.decoding.controller import ValueCacheController
from vreason_agent.errors import GenerationError


class LiteLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A cache layer that lacks entries: good to decode on from, of no use as the prefix of another prompt.

    Nothing in a shortened layer says which tokens are missing, and its length no longer counts the prompt.

    Attributes:
        num_dropped: Video tokens that Lite took out of each row, at least 1.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, num_dropped: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_dropped = num_dropped


class SteeredLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """The cache layer of the last decoder layer while a batch is steered.

    `update` stores what the model computed and returns the stored keys with the *steered* values: the base values,
    plus each row's `value_delta` at its video positions. Two switches change one forward pass:

    - tracing: the pass builds an autograd graph from the deltas on. Everything below the last layer's attention has run
      by then without a graph, so a backward pass reaches the head, the MLP and the output projection and nothing else.
    - replaying: nothing is stored; the last layer runs again on the entries that the step has stored already.

    Attributes:
        leaves: Per row, the tensor that a traced pass may be differentiated for; `None` for a row without controller.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(
        self,
        layer: DynamicLayer,
        controllers: Sequence[ValueCacheController | None],
        video_indices: Sequence[torch.Tensor | None],
    ) -> None:
        """Take over the entries of `layer`.

        Args:
            layer: The filled plain or shortened layer, keys and values `(batch, num_kv_heads, length, head_dim)`.
            controllers: One per row; `None` leaves the row alone.
            video_indices: Per row `(num_video_tokens,)`, the cache positions that its controller acts on.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        move_entries(layer, self)
        self._num_dropped = layer.num_dropped if isinstance(layer, LiteLayer) else 0
        self._controllers = controllers
        self._video_indices = video_indices
        self._is_tracing = False
        self._is_replaying = False
        self._is_base = False
        self.leaves: list[torch.Tensor | None] = [None] * len(controllers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the new entries unless replaying; return all keys and the steered values."""
        if not self._is_replaying:
            super().update(key_states, value_states, *args, **kwargs)
        return self.keys, self.steered(self.values)

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Within it, a forward pass carries a graph from the deltas to the logits; gradients are off again after it."""
        self._is_tracing = True
        try:
            with torch.no_grad():  # its exit undoes the switch in `steered`
                yield
        finally:
            self._is_tracing = False

    @contextmanager
    def replaying(self, *, base: bool = False) -> Iterator[None]:
        """Within it, the last layer may run again on the stored entries; `base` leaves the controllers out."""
        self._is_replaying, self._is_base = True, base
        try:
            yield
        finally:
            self._is_replaying = self._is_base = False

    def to_plain(self) -> DynamicLayer:
        """Return a layer of the kind it took over from, with the base entries."""
        plain = LiteLayer(self._num_dropped) if self._num_dropped else DynamicLayer()  # type: ignore[no-untyped-call]
        move_entries(self, plain)
        return plain

    def steered(self, base: torch.Tensor) -> torch.Tensor:
        """Return base values `(batch, num_kv_heads, length, head_dim)` with the controllers added."""
        if self._is_base or not (self._is_tracing or any(c and not c.is_zero for c in self._controllers)):
            return base
        if self._is_tracing:
            torch.set_grad_enabled(True)
        steered = base.clone()
        for row, (controller, index) in enumerate(zip(self._controllers, self._video_indices, strict=True)):
            if controller is not None and index is not None:
                # The sum is taken in float32 or better, then rounded once to the model's dtype.
                values = base[row].index_select(1, index) + self._delta(row, controller)
                steered[row].index_copy_(1, index, values.to(base.dtype))
        return steered

    def _delta(self, row: int, controller: ValueCacheController) -> torch.Tensor:
        if not self._is_tracing:
            return controller.value_delta
        self.leaves[row] = leaf = controller.value_delta.detach().requires_grad_()
        return leaf


def move_entries(source: DynamicLayer, target: DynamicLayer) -> None:
    """Let the empty layer `target` hold the entries of the filled layer `source`."""
    assert source.keys is not None  # it is filled
    assert source.values is not None
    target.lazy_initialization(source.keys, source.values)  # sets whatever else a release keeps beside the entries
    target.keys, target.values = source.keys, source.values


def check_cache(cache: object) -> DynamicCache:
    """Return `cache` if decoding can use it.

    Raises:
        GenerationError: it is no `DynamicCache` (but static or quantized), it is offloaded, or a run under Lite dropped
            some of its entries.
    """
    layers = getattr(cache, "layers", [])
    _check_complete(layers)
    if type(cache) is not DynamicCache or getattr(cache, "offloading", False):
        kinds = sorted({type(layer).__name__ for layer in layers}) or ["no layers"]
        raise GenerationError(
            f"V-Reason decodes with a plain DynamicCache; got {type(cache).__name__} of {', '.join(kinds)}; "
            "leave out `cache_implementation` and the cache argument"
        )
    return cache


def steerable_layer(cache: DynamicCache, index: int) -> DynamicLayer:
    """Return the layer of `cache` whose values a controller can act on.

    Raises:
        GenerationError: it keeps a window or a state in place of all entries.
    """
    layer = cache.layers[index]
    if type(layer) not in (DynamicLayer, LiteLayer):
        raise GenerationError(
            f"V-Reason steers a layer that keeps keys and values of the whole context; layer {index} of this cache is "
            f"a {type(layer).__name__}; decode with --schedule off (VReasonConfig(schedule='off'))"
        )
    return cast("DynamicLayer", layer)


def _check_complete(layers: Sequence[object]) -> None:
    """Refuse a prefix with holes: the next prompt would be read at the wrong entries, and answer wrongly."""
    dropped = [layer.num_dropped for layer in layers if isinstance(layer, LiteLayer)]
    if dropped:
        raise GenerationError(
            f"the cache lacks {max(dropped)} video tokens that Lite dropped in {len(dropped)} of {len(layers)} "
            "layers, so it is no prefix of a prompt; leave it out, or fill it under "
            "VReasonConfig(lite=False)"
        )
