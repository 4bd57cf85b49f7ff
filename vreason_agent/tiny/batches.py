"""Samples to token batches: ids, rope positions, loss weights, and the frames that belong to them.

Knows no world beyond `Sample` and no training loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vreason_agent.tiny.samples import Sample
from vreason_agent.tiny.scene import COLORS, SHAPES

ANSWER_WEIGHT = 4.0
DERIVATION_WEIGHT = 2.0
CHANGE_WEIGHT = 3.0  # of a transcript line that does not repeat the line before
MATCH_WEIGHT = 3.0  # beside that, of the token that says whether the question is about the object just named
GRID = 3
TOKENS_PER_PAIR = GRID * GRID


@dataclass(frozen=True)
class TokenRow:
    """One sample: ids, positions `(3, length)`, weight of each id as a target, and where the answer stands."""

    ids: list[int]
    positions: NDArray[np.int64]
    weights: list[float]
    answer: slice


@dataclass(frozen=True)
class Batch:
    """Right-padded rows: ids `(b, s)`, positions `(3, b, s)`, weights and answers `(b, s)`.

    Frames are uint8 `(num_pairs, 2, side, side, 3)`, or None in a blind batch.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    weights: NDArray[np.float32]
    frames: NDArray[np.uint8] | None
    kinds: tuple[str, ...]
    answers: NDArray[np.float32]  # 1 at the answer's tokens


def prompt_text(labels: Sequence[str], question: str, tokens_per_pair: int = TOKENS_PER_PAIR) -> str:
    """The prompt as the chat template and the family's expansion make it."""
    video = "".join(f"{label}<|vision_start|>{'<|video_pad|>' * tokens_per_pair}<|vision_end|>" for label in labels)
    lead = f"{video}\n" if labels else ""
    return f"<|im_start|>user\n{lead}{question}<|im_end|>\n<|im_start|>assistant\n"


def token_row(tokenizer: Tokenizer, sample: Sample, *, is_blind: bool) -> TokenRow:
    """Tokens of a sample; a blind one has no video, and its transcript is given rather than learned."""

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    prompt = encode(prompt_text(() if is_blind else sample.pair_labels, sample.question.text))
    parts = [(prompt, 0.0), (encode("<think>"), 0.0 if is_blind else 1.0)]
    parts += [(encode(word), 0.0 if is_blind else weight) for word, weight in _transcript(sample)]
    if sample.answer:
        parts += [
            (encode(sample.derivation + "</think><answer>"), DERIVATION_WEIGHT),
            (encode(sample.answer), 1.0 if sample.is_guess else ANSWER_WEIGHT),
            (encode("</answer><|im_end|>"), 0.3),
        ]
    ids = [token for tokens, _ in parts for token in tokens]
    weights = [weight for tokens, weight in parts for _ in tokens]
    stop = len(ids) - len(parts[-1][0])
    answer = slice(stop - len(parts[-2][0]), stop) if sample.answer else slice(0, 0)
    return TokenRow(ids, rope_positions(ids, token_id(tokenizer, "<|video_pad|>")), weights, answer)


def _transcript(sample: Sample) -> Iterator[tuple[str, float]]:
    """Words of the transcript, a token each, with their weights."""
    asked_about = COLORS if sample.question.topic == "shape" else SHAPES
    shown = [line.partition(" ")[2] for line in sample.lines]
    for line, (before, now) in zip(sample.lines, pairwise([None, *shown]), strict=True):
        weight = 1.0 if now == before else CHANGE_WEIGHT
        label, *words = line.split(" ")
        yield label, weight
        for last, word in pairwise(["", *words]):
            is_match = now != before and last in asked_about
            yield f" {word}", weight * (MATCH_WEIGHT if is_match else 1.0)
        yield "\n", weight


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Number of a token that the vocabulary must hold."""
    return int(tokenizer.get_vocab()[token])


def rope_positions(ids: Sequence[int], video_pad: int) -> NDArray[np.int64]:
    """Time, row and column positions `(3, length)` as Qwen2.5-VL counts them, a pair being 3 x 3 pads."""
    positions = np.zeros((3, len(ids)), np.int64)
    at = i = 0
    cells = np.arange(TOKENS_PER_PAIR)
    while i < len(ids):
        if ids[i] == video_pad:
            span = slice(i, i + TOKENS_PER_PAIR)
            positions[0, span], positions[1, span], positions[2, span] = at, at + cells // GRID, at + cells % GRID
            at, i = at + GRID, i + TOKENS_PER_PAIR
        else:
            positions[:, i] = at
            at, i = at + 1, i + 1
    return positions


def collate(rows: Sequence[TokenRow], kinds: Sequence[str], frames: NDArray[np.uint8] | None, pad: int) -> Batch:
    """Pad rows to one length."""
    length = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), length), pad, np.int64)
    positions, weights = np.zeros((3, len(rows), length), np.int64), np.zeros((len(rows), length), np.float32)
    answers = np.zeros((len(rows), length), np.float32)
    for b, row in enumerate(rows):
        n = len(row.ids)
        ids[b, :n], positions[:, b, :n], weights[b, :n] = row.ids, row.positions, row.weights
        answers[b, row.answer] = 1.0
    return Batch(ids, positions, weights, frames, tuple(kinds), answers)
