"""Running out of memory, in torch's several words for it, as one typed error with the numbers that are known.

This module does not know what was being loaded or generated.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vreason_agent.errors import GenerationError, ModelLoadError
from vreason_agent.model.placement import available_bytes

__all__ = ["is_out_of_memory", "out_of_memory_as"]

_SIGNS = ("not enough memory", "DefaultCPUAllocator", "out of memory", "ALLOC_FAILED", "Cannot allocate memory")
"""What torch's allocators, cuBLAS and the operating system say where no class of its own tells it."""


@contextmanager
def out_of_memory_as(
    error: type[ModelLoadError] | type[GenerationError], what: str, device: torch.device, *, remedy: str
) -> Iterator[None]:
    """Raise running out of memory as `error`; everything else passes.

    Args:
        error: the class to raise.
        what: what was being done and how large it is, with its numbers.
        device: whose free memory is told.
        remedy: what to do, the end of the message.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as exc:
        if not is_out_of_memory(exc):
            raise
        free = available_bytes(device)
        left = "" if free is None else f", which has {free / 1e9:.1f} GB free now"
        first_line = str(exc).strip().split("\n", 1)[0][:160] or type(exc).__name__
        raise error(f"{what}: out of memory on {device}{left} ({first_line}). {remedy}") from exc


def is_out_of_memory(exc: BaseException) -> bool:
    """Tell whether an error means that memory ran out."""
    if isinstance(exc, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(exc, OSError):
        return exc.errno == errno.ENOMEM
    return isinstance(exc, RuntimeError) and any(sign in str(exc) for sign in _SIGNS)
