"""Second training phase: the language model learns to transcribe pairs, to conclude and to answer.

The vision tower is frozen.

Knows no world: batches come from a queue.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import Qwen2_5_VLForConditionalGeneration

from vreason_agent.tiny.batches import Batch
from vreason_agent.tiny.curriculum import feed
from vreason_agent.tiny.muon import Float32Muon, has_fast_bfloat16
from vreason_agent.tiny.pixels import patchify, see_pairs


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
    tokenizer_json: str,
    *,
    num_steps: int,
    batch_tokens: int,
    learning_rate: float,
    checkpoint: Path,
    log: Path,
    seed: int = 0,
    skips_basics: bool = False,
    folder: str = "/dev/shm",
    use_muon: bool = True,
    stop_at: int | None = None,
    save_every: int = 100,
    in_process: bool = False,
    is_compiled: bool = False,
) -> None:
    """Train the language model in place, pausing at `stop_at`; resumes from `checkpoint` where it exists."""
    from vreason_agent.tiny.curriculum import make_batch, plan_step

    language = model.model.language_model
    model.model.visual.requires_grad_(False)
    optimizers = make_optimizers(language, learning_rate=learning_rate, use_muon=use_muon)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start = state["step"]
    if is_compiled:
        for layer in language.layers:
            layer.forward = torch.compile(layer.forward, dynamic=True)
    queue: mp.Queue[Any] = mp.Queue(8)
    worker = mp.Process(
        target=feed,
        args=(queue, tokenizer_json),
        daemon=True,
        kwargs={
            "start": start,
            "num_steps": num_steps,
            "seed": seed,
            "batch_tokens": batch_tokens,
            "skips_basics": skips_basics,
            "folder": folder,
        },
    )
    if not in_process:
        worker.start()
    else:
        from tokenizers import Tokenizer

        inline = Tokenizer.from_str(tokenizer_json)
    meter, began, tokens = Meter(), time.time(), 0
    last = num_steps if stop_at is None else stop_at
    bar = tqdm(range(start, last), initial=start, total=num_steps, mininterval=10)
    for step in bar:
        if in_process:
            plan = plan_step(step, num_steps, seed=seed, batch_tokens=batch_tokens, skips_basics=skips_basics)
            batch = make_batch(plan, inline, folder=folder)
        else:
            batch = queue.get()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * schedule(step, num_steps, warmup=60, decay_share=0.42)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
            loss, each, right = batch_loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(language.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        tokens += batch.ids.size
        meter.add(batch, each, right)
        if step % 20 == 19:
            row = {
                "phase": "language",
                "step": step + 1,
                "seconds": round(time.time() - began),
                "tokens": tokens,
                **meter.flush(),
            }
            bar.set_postfix(loss=row.get("video_loss"), answer=row.get("video_answer"))
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if (step + 1) % save_every == 0 or step + 1 == last:
            fresh = checkpoint.with_suffix(".new")
            torch.save(
                {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step + 1},
                fresh,
            )
            fresh.replace(checkpoint)
    if not in_process:
        worker.terminate()


class Meter:
    """Means since the last flush: loss and token accuracy of the reasoning, and accuracy of whole answers per kind."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = defaultdict(list)

    def add(self, batch: Batch, each: Tensor, right: Tensor) -> None:
        """Take in one batch."""
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
        """The means, and start again."""
        means = {key: round(float(np.mean(values)), 4) for key, values in sorted(self.sums.items())}
        self.sums.clear()
        return means
