"""Claims about Muon in float32: the same optimizer as torch's, up to the rounding of bfloat16."""

from __future__ import annotations

import torch
from torch import nn

from vreason_agent.tiny.muon import Float32Muon, orthogonalize


def train(optimizer_of, num_steps: int) -> nn.Parameter:
    generator = torch.Generator().manual_seed(0)
    matrix = nn.Parameter(torch.randn(24, 40, generator=generator))
    optimizer = optimizer_of([matrix])
    for _ in range(num_steps):
        matrix.grad = torch.randn(24, 40, generator=generator)
        optimizer.step()
    return matrix


def test_orthogonalizing_brings_singular_values_near_one() -> None:
    for shape in ((24, 40), (40, 24)):
        matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * 7
        values = torch.linalg.svdvals(orthogonalize(matrix))
        assert values.max() < 1.3
        assert values.min() > 0.3


def test_steps_equal_those_of_torch_up_to_its_rounding() -> None:
    ours = train(lambda p: Float32Muon(p, lr=0.02, weight_decay=0.1), 10)
    torchs = train(
        lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw", ns_steps=5), 10
    )
    moved = (train(lambda p: Float32Muon(p, lr=0.02, weight_decay=0.1), 0) - torchs).norm()
    assert (ours - torchs).norm() < 0.02 * moved


def test_it_goes_on_from_the_saved_state_of_torchs_muon() -> None:
    matrix = nn.Parameter(torch.ones(4, 6))
    matrix.grad = torch.ones(4, 6)
    saved = torch.optim.Muon([matrix], lr=0.1, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    saved.step()
    ours = Float32Muon([matrix], lr=0.3, weight_decay=0.0)
    ours.load_state_dict(saved.state_dict())
    assert ours.param_groups[0]["lr"] == 0.1
    assert torch.equal(ours.state[matrix]["momentum_buffer"], saved.state[matrix]["momentum_buffer"])
