"""First training phase: the vision tower alone learns what lies in each cell of both frames of a pair.

Linear heads on the merged tokens, thrown away afterwards, supervise color and shape per frame and the token's own
cell. Knows no question and no language model.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm  # type: ignore[import-untyped]

from vreason_agent.tiny.muon import has_fast_bfloat16
from vreason_agent.tiny.pairs import COLOR_IDS, SHAPE_IDS, Replay, random_pairs
from vreason_agent.tiny.pixels import patchify, see_pairs

NUM_COLORS, NUM_SHAPES = len(COLOR_IDS) + 1, len(SHAPE_IDS) + 1
PER_FRAME = NUM_COLORS + NUM_SHAPES


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


def _feed(queue: mp.Queue[Any], seed: int, folder: str) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng([1, 77, seed])
    while True:
        queue.put(random_pairs(rng, folder))


def train_vision(
    visual: nn.Module,
    hidden: int,
    *,
    num_steps: int,
    batch: int,
    learning_rate: float,
    checkpoint: Path,
    log: Path,
    seed: int = 0,
    folder: str = "/dev/shm",
    capacity: int = 24000,
) -> None:
    """Train the tower in place; resumes from `checkpoint` where it exists."""
    torch.manual_seed(seed)
    heads = nn.Linear(hidden, 2 * PER_FRAME + 9)
    parameters = [*visual.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        visual.load_state_dict(state["visual"])
        heads.load_state_dict(state["heads"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    queue: mp.Queue[Any] = mp.Queue(64)
    worker = mp.Process(target=_feed, args=(queue, seed + start, folder), daemon=True)
    worker.start()
    replay, rng, fresh = Replay(capacity), np.random.default_rng([seed, start]), 0
    while replay.size < 4 * batch:
        replay.add(queue.get())
    began = time.time()
    bar = tqdm(range(start, num_steps), initial=start, total=num_steps, mininterval=5)
    for step in bar:
        while not queue.empty():
            replay.add(queue.get())
            fresh += 1
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 100, max(0.02, (num_steps - step) / (0.5 * num_steps)))
        pairs = replay.draw(rng, batch)
        labels = torch.from_numpy(pairs.labels.astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
            logits = heads(see_pairs(visual, patchify(torch.from_numpy(pairs.frames))))
        loss, right = cell_loss(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 25 == 0:
            bar.set_postfix(loss=f"{loss.item():.4f}", right=f"{right.item():.4f}")
            with log.open("a") as file:
                row = {
                    "phase": "vision",
                    "step": step,
                    "loss": round(loss.item(), 4),
                    "cells_right": round(right.item(), 4),
                    "busy": round(float(((labels > 0).any(-1).any(1)).float().mean()), 3),
                    "files": fresh,
                    "seconds": round(time.time() - began),
                }
                file.write(json.dumps(row) + "\n")
        if step % 200 == 199 or step == num_steps - 1:
            torch.save(
                {
                    "visual": visual.state_dict(),
                    "heads": heads.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
                checkpoint,
            )
    worker.terminate()
