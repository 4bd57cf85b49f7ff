"""A model that writes what a script says, for tests of applications.

The bundled model runs as it is: template, tokenizer, frames, decode loop, steering, grammar and streaming are real.
Only the logit of the token that continues the script's text is raised, so what a grammar forbids is not written.

This module does not know about tools, messages or how a script decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
        strength: how much the logit of the next token of the script is raised, nats. Larger leaves less entropy.
    """
    engine = build_model(bundled_folder(), name=name, device="cpu")
    engine.hf_model.register_forward_hook(_Hook(engine, script, strength), with_kwargs=True)
    add_model(engine)
    return engine


@dataclass
class _Row:
    """The text of one row: what it is to be, and what there is of it."""

    wanted: bytes
    written: list[int] = field(default_factory=list)


class _Hook:
    """Raises logits after every pass of the model; the model's lock keeps generations apart."""

    def __init__(self, engine: VideoLanguageModel, script: Script, strength: float) -> None:
        self._engine, self._script, self._strength = engine, script, strength
        self._rows: list[_Row] = []

    def __call__(self, _model: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        input_ids, logits = kwargs["input_ids"], output.logits
        if input_ids.shape[1] > 1:
            mask = kwargs.get("attention_mask")
            is_real = torch.ones_like(input_ids) if mask is None else mask
            self._rows = [_Row(self._wanted(ids[real.bool()])) for ids, real in zip(input_ids, is_real, strict=True)]
        else:
            for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
                row.written.append(token)
        bonus = torch.zeros_like(logits)
        for index, row in enumerate(self._rows):
            bonus[index, -1, self._next(row)] = self._strength
        output.logits = logits + bonus
        return output

    def _wanted(self, ids: torch.Tensor) -> bytes:
        prompt = self._engine.tokenizer.decode(ids, skip_special_tokens=False)
        return self._script(str(prompt)).encode()

    def _next(self, row: _Row) -> int:
        tokens = self._engine.grammar_words.tokens
        written = tokens.decode_bytes(row.written)
        if len(written) >= len(row.wanted) or not row.wanted.startswith(written):
            return self._engine.stop_token_ids[0]
        return int(tokens.tokenize_bytes(row.wanted[len(written) :])[0])
