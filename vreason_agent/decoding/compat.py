"""What differs between releases of transformers and between devices; every other module asks here.

This module knows names of transformers' interfaces, and nothing of decoding.
"""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any, Final

import torch
from transformers import Cache
from transformers.generation.utils import GenerateDecoderOnlyOutput

CACHE_NAME: Final = next(
    field.name for field in fields(GenerateDecoderOnlyOutput) if field.name in ("cache", "past_key_values")
)
"""What transformers calls the key-value cache in arguments, `model_kwargs` and outputs: `cache` from 5.24 on."""


def cache_argument(cache: Cache) -> dict[str, Any]:
    """Return the keyword argument that hands `cache` to a model, or to one of transformers' outputs."""
    return {CACHE_NAME: cache}


def cache_of(named: Any) -> Any:
    """Return the cache in a model's arguments or in an output of transformers; `None` without one."""
    return named.get(CACHE_NAME)


def seconds_now(device: torch.device) -> float:
    """Return a wall clock's seconds, read once `device` has finished what it was given; only differences mean anything.

    CUDA and MPS take work into a queue and let Python go on, so that a clock read at once would book a pass's time to
    whoever waits for its result. On the CPU nothing is waited for.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
