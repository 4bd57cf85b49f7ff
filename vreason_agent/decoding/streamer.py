"""The `streamer` given to `generate`, which transformers hides from a custom loop.

`generate` puts the prompt into it and then leaves it out of what it hands over, so that whoever waits on a
`TextIteratorStreamer` would wait forever. It is read from the call that is still running. This module knows nothing of
how tokens are chosen.
"""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Protocol

import torch
from transformers import GenerationMixin, PreTrainedModel

_GENERATE = inspect.unwrap(GenerationMixin.generate).__code__


class Streamer(Protocol):
    """What transformers asks of a streamer."""

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt `(batch, length)`, then the tokens `(batch,)` of each step."""

    def end(self) -> None:
        """Take note that nothing follows."""


def streamer_of_generate(model: PreTrainedModel) -> Streamer | None:
    """Return the streamer that the running `model.generate(...)` was given; `None` without one, or without that."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if frame.f_code is _GENERATE and frame.f_locals["self"] is model:
            streamer: Streamer | None = frame.f_locals["streamer"]
            return streamer
        frame = frame.f_back
    return None
