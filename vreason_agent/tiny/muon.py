"""Muon with its iteration in float32, and the precision of a forward pass on this CPU.

`torch.optim.Muon` always iterates in bfloat16, which a CPU without such instructions emulates at a tenth of the speed.
Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, as in torch.optim.Muon
NUM_ITERATIONS = 5


def mixed_precision() -> torch.autocast:
    """Context of a forward pass: bfloat16 where this CPU has instructions for it, else float32 throughout."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())


def orthogonalize(matrix: Tensor) -> Tensor:
    """Bring all singular values of a float32 matrix `(rows, columns)` near 1, by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    is_tall = matrix.size(0) > matrix.size(1)
    wide = matrix.T if is_tall else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if is_tall else wide


class Float32Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` with ``adjust_lr_fn="match_rms_adamw"``, in float32; it reads that optimizer's saved state.

    Implements Muon of Keller Jordan et al., with the step size of "Muon is Scalable for LLM Training" (arXiv
    2502.16982).

    Args:
        matrices: parameters `(rows, columns)`.
        lr: size of a step, as for AdamW.
        weight_decay: share of a parameter that a step of size 1 takes away.
        momentum: weight of the past in the average of gradients, in [0, 1).
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], *, lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; `closure` is not supported and ignored."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, group)

    def _move(self, matrix: Tensor, group: dict[str, Any]) -> None:
        gradient, momentum = matrix.grad, group["momentum"]
        assert gradient is not None
        average = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(gradient))
        average.lerp_(gradient, 1 - momentum)
        size = group["lr"] * 0.2 * max(matrix.shape) ** 0.5
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.sub_(orthogonalize(gradient.lerp(average, momentum)), alpha=size)
