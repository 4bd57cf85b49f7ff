"""Second training phase: the language model learns to transcribe pairs, to conclude and to answer.

The vision tower is frozen.

Knows no world beyond the batches of the curriculum.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration

from vreason_agent.tiny.batches import Batch
from vreason_agent.tiny.curriculum import make_numbered
from vreason_agent.tiny.muon import Float32Muon, mixed_precision
from vreason_agent.tiny.pixels import patchify, see_pairs
from vreason_agent.tiny.training_loop import Run, descend, run_steps


def embed_batch(model: Qwen2_5_VLForConditionalGeneration, batch: Batch) -> Tensor:
    """Input embeddings `(b, s, hidden)`, the video pads filled with what the frozen tower sees."""
    ids = torch.from_numpy(batch.ids)
    embeds: Tensor = model.model.language_model.embed_tokens(ids)
    if batch.frames is None:
        return embeds
    with torch.no_grad():
        seen = see_pairs(model.model.visual, patchify(torch.from_numpy(batch.frames)))
    mask = (ids == model.config.video_token_id).unsqueeze(-1)
    return embeds.masked_scatter(mask, seen.to(embeds.dtype).flatten(0, 1))


def batch_loss(model: Qwen2_5_VLForConditionalGeneration, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted mean cross-entropy; and per target its own, and whether the likeliest token is right: `(b, s - 1)`."""
    embeds = embed_batch(model, batch)
    hidden = model.model.language_model(
        inputs_embeds=embeds, position_ids=torch.from_numpy(batch.positions), use_cache=False
    ).last_hidden_state
    weights = torch.from_numpy(batch.weights)[:, 1:]
    chosen = weights > 0
    logits = functional.linear(hidden[:, :-1][chosen], model.lm_head.weight).float()
    targets = torch.from_numpy(batch.ids)[:, 1:][chosen]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    loss = (losses * weights[chosen]).sum() / weights.sum()
    each, right = torch.zeros_like(weights), torch.zeros_like(weights)
    each[chosen], right[chosen] = losses.detach(), (logits.argmax(-1) == targets).float()
    return loss, each, right


def make_optimizers(model: nn.Module, *, learning_rate: float, use_muon: bool) -> list[torch.optim.Optimizer]:
    """AdamW on everything, or Muon on the matrices and AdamW on the rest."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed_tokens" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed_tokens" in n]
    adam: dict[str, Any] = {"betas": (0.9, 0.98), "weight_decay": 0.0, "fused": True}
    if not use_muon:
        return [torch.optim.AdamW([*matrices, *others], lr=learning_rate, **adam)]
    muon = Float32Muon(matrices, lr=learning_rate, weight_decay=0.02)
    return [muon, torch.optim.AdamW(others, lr=learning_rate, **adam)]


def schedule(step: int, num_steps: int, *, warmup: int, decay_share: float) -> float:
    """Factor on the learning rate: up, flat, then down to 2 % over the last `decay_share` of the run."""
    return max(0.02, min(1.0, (step + 1) / warmup, (num_steps - step) / (decay_share * num_steps)))


def train_language(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: Tokenizer,
    run: Run,
    *,
    batch_tokens: int,
    learning_rate: float,
    seed: int = 0,
    begin: float = 0.0,
    folder: str = "/dev/shm",
    use_muon: bool = True,
    is_compiled: bool = False,
) -> None:
    """Train the language model in place, on the curriculum from `begin` (0 to 1) on."""
    language = model.model.language_model
    model.model.visual.requires_grad_(False)
    optimizers = make_optimizers(language, learning_rate=learning_rate, use_muon=use_muon)
    if is_compiled:
        for layer in language.layers:
            layer.forward = torch.compile(layer.forward, dynamic=True)
    meter = Meter()

    def update(step: int, batch: Batch) -> None:
        with mixed_precision():
            loss, each, right = batch_loss(model, batch)
        factor = schedule(step, run.num_steps, warmup=60, decay_share=0.42)
        descend(loss, language.parameters(), optimizers, learning_rate=learning_rate * factor)
        meter.add(batch, each, right)

    make = partial(
        make_numbered,
        tokenizer=tokenizer,
        num_steps=run.num_steps,
        seed=seed,
        batch_tokens=batch_tokens,
        begin=begin,
        folder=folder,
    )
    named = {f"optimizer{number}": optimizer for number, optimizer in enumerate(optimizers)}
    run_steps(run, {"model": model, **named}, make, update, meter.flush)


class Meter:
    """Means since the last flush: loss and token accuracy of the reasoning, and accuracy of whole answers per kind."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = defaultdict(list)
        self.tokens = 0

    def add(self, batch: Batch, each: Tensor, right: Tensor) -> None:
        """Take in one batch."""
        self.tokens += batch.ids.size
        weights, answers = torch.from_numpy(batch.weights)[:, 1:], torch.from_numpy(batch.answers)[:, 1:] > 0
        has_answers = bool(answers.any())
        names = ("text", "drill") if batch.frames is None else ("video", "scrambled")
        name = names[not has_answers]
        reasoning = (weights > 0) & ~answers
        self.sums[f"{name}_loss"].append(each[reasoning].mean().item())
        self.sums[f"{name}_tokens"].append(right[reasoning].mean().item())
        if not has_answers:
            return
        whole = ((right > 0) | ~answers).all(1).tolist()
        for kind, is_right in zip(batch.kinds, whole, strict=True):
            self.sums[f"{name}_answer"].append(is_right)
            self.sums[f"{name[0]}_{kind}"].append(is_right)

    def flush(self) -> dict[str, float]:
        """The means, and start again; `tokens` is the sum since the run was begun or resumed."""
        means: dict[str, float] = {"tokens": self.tokens}
        means |= {key: round(float(np.mean(values)), 4) for key, values in sorted(self.sums.items())}
        self.sums.clear()
        return means
