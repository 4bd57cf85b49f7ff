"""First training phase: the vision tower alone learns what lies in each cell of both frames of a pair.

Linear heads on the merged tokens, thrown away afterwards, supervise color and shape per frame and the token's own
cell. Knows no question and no language model.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vreason_agent.tiny.frame_pairs import COLOR_IDS, PAIRS_PER_FILE, SHAPE_IDS, Pairs, Replay, random_pairs
from vreason_agent.tiny.muon import mixed_precision
from vreason_agent.tiny.pixels import patchify, see_pairs
from vreason_agent.tiny.training_loop import Run, Stateful, descend, run_steps

NUM_COLORS, NUM_SHAPES = len(COLOR_IDS) + 1, len(SHAPE_IDS) + 1
PER_FRAME = NUM_COLORS + NUM_SHAPES
STOCK, FRESH = 64, 8  # files known before the first step, and more at each step


def cell_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and share of cells all right, from logits `(n, 9, 2 * PER_FRAME + 9)`, labels `(n, 2, 9, 2)`."""
    loss, right = torch.zeros(()), torch.ones(labels.shape[0], 9, dtype=torch.bool)
    for frame in range(2):
        part = logits[..., frame * PER_FRAME : (frame + 1) * PER_FRAME]
        for head, target in (
            (part[..., :NUM_COLORS], labels[:, frame, :, 0]),
            (part[..., NUM_COLORS:], labels[:, frame, :, 1]),
        ):
            loss = loss + functional.cross_entropy(head.flatten(0, 1), target.flatten())
            right &= head.argmax(-1) == target
    own = logits[..., 2 * PER_FRAME :]
    cells = torch.arange(9).expand(len(own), 9)
    return loss + 0.3 * functional.cross_entropy(own.flatten(0, 1), cells.flatten()), right.float().mean()


def make_files(step: int, *, seed: int, folder: str) -> list[Pairs]:
    """The files that become known at a step; the first step brings a stock."""
    return [_file(number, seed=seed, folder=folder) for number in range(_num_known(step), _num_known(step + 1))]


def _num_known(step: int) -> int:
    """Number of files that are known before a step."""
    return STOCK + FRESH * step if step else 0


def _file(number: int, *, seed: int, folder: str) -> Pairs:
    return random_pairs(np.random.default_rng([1, 77, seed, number]), folder)


def train_vision(
    visual: nn.Module,
    hidden: int,
    run: Run,
    *,
    batch: int,
    learning_rate: float,
    seed: int = 0,
    folder: str = "/dev/shm",
    capacity: int = 24000,
) -> None:
    """Train the tower in place on batches of `batch` pairs, drawn from the latest `capacity` ones."""
    torch.manual_seed(seed)
    heads = nn.Linear(hidden, 2 * PER_FRAME + 9)
    parameters = [*visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    replay, means = Replay(capacity), dict[str, float]()

    def resume(start: int) -> None:
        known = _num_known(start)
        first = max(0, known - capacity // PAIRS_PER_FILE - 1)
        replay.at = first * PAIRS_PER_FILE % capacity  # where it would stand, had it seen all before
        for number in range(first, known):
            replay.add(_file(number, seed=seed, folder=folder))

    def update(step: int, files: list[Pairs]) -> None:
        for file in files:
            replay.add(file)
        pairs = replay.draw(np.random.default_rng([seed, step]), batch)
        labels = torch.from_numpy(pairs.labels.astype(np.int64))
        with mixed_precision():
            logits = heads(see_pairs(visual, patchify(torch.from_numpy(pairs.frames))))
        loss, right = cell_loss(logits.float(), labels)
        descend(loss, parameters, [optimizer], learning_rate=learning_rate * _schedule(step, run.num_steps))
        means.update(loss=round(loss.item(), 4), cells_right=round(right.item(), 4))

    make = partial(make_files, seed=seed, folder=folder)
    state: dict[str, Stateful] = {"visual": visual, "heads": heads, "optimizer": optimizer}
    run_steps(run, state, make, update, lambda: means, resume=resume)


def _schedule(step: int, num_steps: int) -> float:
    """Factor on the learning rate: up, flat, then down to 2 % over the second half."""
    return min(1.0, (step + 1) / 100, max(0.02, (num_steps - step) / (0.5 * num_steps)))
