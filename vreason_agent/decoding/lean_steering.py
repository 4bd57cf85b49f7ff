"""V-Reason's update in closed form, on the pass that a lean step has made anyway.

With the current token's query and keys fixed, attention weights are constants: what attention gives depends on the
controller linearly, and the gradient for it is, per KV head, the sum over query heads of attention weights times one
vector. No autograd graph is built. Equal to `Steering` but for rounding. This module knows `LeanDecoder` and
controllers, and nothing of sampling, stopping or traces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import torch

from vreason_agent.decoding.compat import seconds_now
from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.controller import ValueCacheController
from vreason_agent.decoding.entropy import Distribution, distribution
from vreason_agent.decoding.lean import LastLayerState, LastPart, LeanDecoder
from vreason_agent.decoding.phase import Switch
from vreason_agent.decoding.steering import Unsteered


class LeanSteering(Unsteered):
    """The controllers of a batch at work inside a `LeanDecoder`; a context manager around its steps."""

    def __init__(
        self, decoder: LeanDecoder, values: torch.Tensor, video_mask: torch.Tensor, config: VReasonConfig
    ) -> None:
        """Make the controllers; attach them on entry.

        Args:
            decoder: Runs the steps.
            values: `(batch, num_kv_heads, length, head_dim)`, what the last layer's cache holds of the prompt.
            video_mask: `(batch, length)`, bool: which of these are video tokens.
            config: The schedule and the optimizer.
        """
        super().__init__(len(video_mask))
        self._decoder = decoder
        self._config = config
        self._device = values.device
        self._places = [_place(row.nonzero().squeeze(1)) for row in video_mask.to(values.device)]
        self.controllers = [
            ValueCacheController(_take(row, place, dim=1), config) if place is not None else None
            for row, place in zip(values, self._places, strict=True)
        ]

    def __enter__(self) -> LeanSteering:
        self._decoder.adjust = self._adjusted
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._decoder.adjust = None

    def is_due(self, step: int, row: int) -> bool:
        """Return whether `row` has a controller and `step` falls on the update interval."""
        return self.controllers[row] is not None and step > 0 and step % self._config.update_interval == 0

    def tracing(self, rows: Sequence[int]) -> AbstractContextManager[None]:
        """Return a context without effect: a lean step leaves all that an update needs."""
        return nullcontext()

    def update(self, switches: Mapping[int, Switch], raw: Distribution) -> dict[int, float]:
        """Take the optimizer steps; those after the first run the last part again."""
        started = seconds_now(self._device)
        state, part = self._current()
        for optim_step in range(self._config.num_optim_steps):
            if optim_step > 0:
                part = self._decoder.run_last_part(self._adjusted(state))
                raw = distribution(self._decoder.to_batch(part.logits))
            self._descend(switches, state, part, raw)
        norms = {row: controller.norm() for row in switches if (controller := self.controllers[row]) is not None}
        self.seconds += seconds_now(self._device) - started
        return norms

    def steered_logits(self) -> torch.Tensor:
        """Run the last part again with the controllers as they are now."""
        started = seconds_now(self._device)
        logits = self._decoder.to_batch(self._decoder.run_last_part(self._adjusted(self._current()[0])).logits)
        self.seconds += seconds_now(self._device) - started
        return logits

    def base_logits(self) -> torch.Tensor:
        """Run the last part again on the base values."""
        return self._decoder.to_batch(self._decoder.run_last_part(self._current()[0].attended).logits)

    def _current(self) -> tuple[LastLayerState, LastPart]:
        state, part = self._decoder.state, self._decoder.last_part
        assert state is not None  # updates and replays fall on steps after the first
        assert part is not None
        return state, part

    def _adjusted(self, state: LastLayerState) -> torch.Tensor:
        """Return what attention gives with the controllers, in the shape and type of `state.attended`."""
        if not any(self.is_effective):
            return state.attended
        steered = state.attended.clone()
        for number, row in enumerate(self._decoder.rows):
            controller, place = self.controllers[row], self._places[row]
            if controller is not None and place is not None and not controller.is_zero:
                weights = _take(state.weights[number], place, dim=2)  # (num_kv_heads, num_groups, num_video_tokens)
                steered[number] += torch.bmm(weights, controller.value_delta).to(steered.dtype)
        return steered

    def _descend(
        self, switches: Mapping[int, Switch], state: LastLayerState, part: LastPart, raw: Distribution
    ) -> None:
        """Take one optimizer step down each row's loss, sign times entropy."""
        attended = self._decoder.attended_gradient(part, self._decoder.of_running(_entropy_gradient(raw)))
        for row, switch in switches.items():
            controller, place, number = self.controllers[row], self._places[row], self._decoder.rows.index(row)
            if controller is not None and place is not None:
                weights = _take(state.weights[number], place, dim=2)
                gradient = torch.bmm(weights.transpose(1, 2), switch.loss_sign * attended[number])
                controller.apply_gradient(gradient, switch)


def _entropy_gradient(raw: Distribution) -> torch.Tensor:
    """Return the gradient `(batch, vocab_size)` of each row's entropy for its logits: -p (log p + entropy)."""
    finite = raw.log_probs.clamp_min(torch.finfo(raw.log_probs.dtype).min)
    return -finite.exp() * (finite + raw.entropy.unsqueeze(1))


def _place(indices: torch.Tensor) -> torch.Tensor | slice | None:
    """Return cache positions as a slice where they are one span, which needs no copy; `None` without any."""
    if len(indices) == 0:
        return None
    first, last = int(indices[0]), int(indices[-1])
    return slice(first, last + 1) if last - first + 1 == len(indices) else indices


def _take(tensor: torch.Tensor, place: torch.Tensor | slice | None, *, dim: int) -> torch.Tensor:
    if isinstance(place, slice):
        return tensor.narrow(dim, place.start, place.stop - place.start)
    assert place is not None
    return tensor.index_select(dim, place)
