"""Wall time on a device that works behind the caller's back.

This module knows nothing of what is timed.
"""

from __future__ import annotations

import time

import torch


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
