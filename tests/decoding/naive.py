"""A slow, plain reading of the method to hold the engine against; shares only `VReasonConfig` with it.

Every step runs the whole model on the whole text without a cache, rebuilds the last layer by hand with `values +
controller`, differentiates it in full and lets `torch.optim.Adam` take the step. Batch 1, greedy, no grammar, no Lite.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from vreason_agent.decoding import VReasonConfig


@dataclass
class NaiveRun:
    """Tokens and series of a naive generation."""

    tokens: list[int] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    signs: list[int | None] = field(default_factory=list)  # +1 lower, -1 raise
    unsteered: list[float] = field(default_factory=list)


def naive_decode(
    model: PreTrainedModel, inputs: dict[str, Any], position_ids: torch.Tensor, config: VReasonConfig, num_tokens: int
) -> NaiveRun:
    """Generate `num_tokens` greedy tokens for one row."""
    run, ids = NaiveRun(), inputs["input_ids"]
    video = (inputs["mm_token_type_ids"][0] == 2).nonzero().squeeze(1)
    delta: torch.Tensor | None = None
    optimizer: torch.optim.Adam | None = None
    last_sign, chooser = None, random.Random(config.seed)
    for step in range(num_tokens):
        hidden, rotary = _last_input(model, {**inputs, "input_ids": ids}, position_ids)
        base_values = _heads(model, "v", hidden)[:, :, video]
        if delta is None:
            delta = torch.zeros_like(base_values, requires_grad=True)
            scale = float(base_values.pow(2).mean().sqrt())
        logits = _last_part(model, hidden, rotary, video, delta)
        entropy = _entropy(logits)
        base_logits = _last_part(model, hidden, rotary, video, torch.zeros_like(delta)).detach()
        run.unsteered.append(float(_entropy(base_logits)))
        sign = None
        if config.schedule != "off" and step >= config.warmup_steps and step % config.update_interval == 0:
            sign = _sign(config, [*run.entropy, entropy.item()], run.signs, chooser)
            if optimizer is None or (sign != last_sign and config.reset_moments_on_switch):
                rate = config.learning_rate * scale
                optimizer = torch.optim.Adam([delta], lr=rate, betas=config.betas, eps=config.eps)
            last_sign = sign
            for _ in range(config.num_optim_steps):
                loss = sign * _entropy(_last_part(model, hidden, rotary, video, delta))
                (delta.grad,) = torch.autograd.grad(loss, [delta])
                optimizer.step()
            if config.apply_to == "current":
                logits = _last_part(model, hidden, rotary, video, delta)
        run.signs.append(sign)
        run.entropy.append(_entropy(logits).item())
        run.tokens.append(int(logits.argmax()))
        ids, inputs = _extended(ids, inputs, run.tokens[-1])
        position_ids = torch.cat([position_ids, position_ids[..., -1:] + 1], dim=-1)
    return run


def _sign(config: VReasonConfig, entropies: list[float], signs: list[int | None], chooser: random.Random) -> int:
    """Follow the rules of the schedule from scratch on the whole series, this step's entropy included."""
    if config.schedule in ("minimize", "maximize"):
        return 1 if config.schedule == "minimize" else -1
    if config.schedule == "random":
        return 1 if chooser.choice(("lower", "raise")) == "lower" else -1
    average = sum(entropies[: config.warmup_steps]) / config.warmup_steps
    peak, exploits = average, False
    for entropy in entropies[config.warmup_steps :]:
        average = config.ema_decay * average + (1 - config.ema_decay) * entropy
        if average > peak:
            peak, exploits = average, False
        elif average < (1 - config.peak_margin) * peak:
            exploits = True
    if exploits:
        return 1
    if config.schedule == "switching":
        return 1 if entropies[-1] > average else -1
    earlier = [sign for sign in signs if sign is not None]
    return -earlier[-1] if earlier else -1


def _entropy(logits: torch.Tensor) -> torch.Tensor:
    entropy: torch.Tensor = torch.distributions.Categorical(logits=logits).entropy()
    return entropy


def _extended(ids: torch.Tensor, inputs: dict[str, Any], token: int) -> tuple[torch.Tensor, dict[str, Any]]:
    longer = dict(inputs)
    longer["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, 1))
    longer["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1)
    return torch.cat([ids, torch.tensor([[token]])], dim=1), longer


def _last_input(
    model: Any, inputs: dict[str, Any], position_ids: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Return the last layer's input `(1, length, hidden)` after its first norm's residual, and cos and sin."""
    with torch.no_grad():
        outputs = model(**inputs, position_ids=position_ids, output_hidden_states=True, use_cache=False)
        hidden = outputs.hidden_states[-2]
        return hidden, model.model.language_model.rotary_emb(hidden, position_ids[-3:])


def _heads(model: Any, name: str, hidden: torch.Tensor) -> torch.Tensor:
    """Project the normed input to heads `(1, num_heads, length, head_dim)`, with Qwen3's norm where there is one."""
    layer = model.model.language_model.layers[-1]
    attention = layer.self_attn
    with torch.no_grad():
        projected = getattr(attention, f"{name}_proj")(layer.input_layernorm(hidden))
        heads = projected.unflatten(-1, (-1, attention.head_dim))
        norm = getattr(attention, f"{name}_norm", None)
        normed: torch.Tensor = heads if norm is None else norm(heads)
        return normed.transpose(1, 2)


def _rotated(heads: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    cos, sin = (part.unsqueeze(1) for part in rotary)
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat([-second, first], dim=-1) * sin


def _last_part(model: Any, hidden: torch.Tensor, rotary: Any, video: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Return the last token's logits `(vocab_size,)` with the controller on the video values."""
    layer = model.model.language_model.layers[-1]
    query, key = (_rotated(_heads(model, name, hidden), rotary) for name in ("q", "k"))
    value = _heads(model, "v", hidden).clone()
    value[:, :, video] = value[:, :, video] + delta
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    weights = (query[:, :, -1:] @ key.transpose(2, 3) * layer.self_attn.scaling).softmax(dim=-1)
    output = layer.self_attn.o_proj((weights @ value).transpose(1, 2).flatten(2))
    residual = hidden[:, -1:] + output
    residual = residual + layer.mlp(layer.post_attention_layernorm(residual))
    logits: torch.Tensor = model.lm_head(model.model.language_model.norm(residual))[0, -1]
    return logits
