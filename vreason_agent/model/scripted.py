"""A model that writes what a script says, for tests of applications.

The bundled model runs as it is: template, tokenizer, frames, decode loop, steering, grammar and streaming are real.
Only the logit of the token that continues the script's text is raised above all others, so what a grammar forbids is
not written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from vreason_agent.model.engine import VideoLanguageModel
from vreason_agent.model.loading import build_model
from vreason_agent.model.registry import add_model
from vreason_agent.model.source import bundled_folder

__all__ = ["Script", "load_scripted"]

Script = Callable[[str], str]
"""The prompt as text, special tokens included, to what the model is to write."""


def load_scripted(script: Script, *, name: str = "scripted", strength: float = 30.0) -> VideoLanguageModel:
    """Load a model that follows a script; `load_model(name)` and `ChatVReason(model=name)` find it afterwards.

    Args:
        script: called once per answer.
        name: what it is found by; a model of that name before is replaced.
        strength: how far the logit of the script's next token is above the model's own best one, nats. Larger leaves
            less entropy.
    """
    engine = build_model(bundled_folder(), name=name, device="cpu")
    engine.reuse.max_bytes = 0  # the script is given whole prompts
    follower = _Follower(engine, script, strength)
    engine.hf_model.register_forward_pre_hook(follower.read_inputs, with_kwargs=True)
    engine.hf_model.lm_head.register_forward_hook(follower.raise_logits)
    add_model(engine)
    return engine


@dataclass
class _Row:
    """The text of one row: what it is to be, and what there is of it after a prompt of so many tokens."""

    wanted: bytes
    num_prompt: int
    written: list[int] = field(default_factory=list)


class _Follower:
    """Raises logits wherever the model's head makes them; the model's lock keeps generations apart."""

    def __init__(self, engine: VideoLanguageModel, script: Script, strength: float) -> None:
        self._engine, self._script, self._strength = engine, script, strength
        self._rows: list[_Row] = []
        self._places: list[list[int]] | None = None
        self._num_scored = 0

    def read_inputs(self, _model: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        """Before a pass of the model: start with a prompt, note the token that was written last, or read options."""
        input_ids, mask = kwargs["input_ids"], kwargs.get("attention_mask")
        self._places = None
        if mask is not None and mask.dim() == 4 and mask.shape[-1] > mask.shape[-2]:
            self._read_tree(input_ids[0].tolist(), mask[0, 0] == 0)
        elif input_ids.shape[1] > 1:
            self._num_scored = 0
            if mask is None or mask.dim() != 2:  # a mask of pairs comes with one row and no padding
                mask = torch.ones_like(input_ids)
            real_ids = [ids[real.bool()] for ids, real in zip(input_ids, mask, strict=True)]
            self._rows = [_Row(self._wanted(ids), len(ids)) for ids in real_ids]
        else:
            for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
                row.written.append(token)

    def raise_logits(self, _head: Any, _args: Any, logits: torch.Tensor) -> torch.Tensor:
        """After the head, in a pass as in its replay for steering: put the script's token above all others."""
        bonus = torch.zeros_like(logits)
        if self._places is not None:
            for at, written in enumerate(self._places):
                last, token = logits[0, at].detach(), self._next(replace(self._scored, written=written))
                bonus[0, at, token] = last.max() - last[token] + self._strength
            return logits + bonus
        for index, row in enumerate(self._rows):
            last, token = logits[index, -1].detach(), self._next(row)
            bonus[index, -1, token] = last.max() - last[token] + self._strength
        return logits + bonus

    @property
    def _scored(self) -> _Row:
        return self._rows[(self._num_scored - 1) % len(self._rows)]

    def _read_tree(self, ids: list[int], can_see: torch.Tensor) -> None:
        """Note what stands before each token of a pass over options (`decoding.continuations`), rows in their order."""
        self._num_scored += 1
        num_cached = can_see.shape[1] - len(ids)
        self._places = []
        for seen in can_see:
            num_written = int(seen[:num_cached].sum()) - self._scored.num_prompt
            lineage = [ids[at] for at in range(len(ids)) if seen[num_cached + at]]
            self._places.append([*self._scored.written[: max(0, num_written)], *lineage])

    def _wanted(self, ids: torch.Tensor) -> bytes:
        prompt = self._engine.tokenizer.decode(ids, skip_special_tokens=False)
        return self._script(str(prompt)).encode()

    def _next(self, row: _Row) -> int:
        tokens = self._engine.grammar_words.tokens
        written = tokens.decode_bytes(row.written)
        if len(written) >= len(row.wanted) or not row.wanted.startswith(written):
            return self._engine.stop_token_ids[0]
        return int(tokens.tokenize_bytes(row.wanted[len(written) :])[0])
