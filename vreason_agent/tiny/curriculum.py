"""What the language phase trains on at each step: batch plans by progress, and the process that makes the batches.

Batch number and seed decide a batch, so that a resumed run sees what an uninterrupted one would. Knows no torch model.
"""

from __future__ import annotations

import multiprocessing as mp
import os
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vreason_agent.tiny.batches import Batch, collate, token_id, token_row
from vreason_agent.tiny.lessons import Lesson, lesson_images, make_lesson
from vreason_agent.tiny.pairs import FAST_CODECS
from vreason_agent.tiny.pixels import shrink
from vreason_agent.tiny.questions import KINDS
from vreason_agent.tiny.render import recode
from vreason_agent.tiny.world import make_clip

SLOW_CODEC_SHARE = 0.03  # VP8 takes twenty times as long to write


@dataclass(frozen=True)
class Stage:
    """Mix of batches up to a share of the run: chance of a blind one, of each number of pairs, of telling the truth."""

    until: float
    blind: float
    pairs: dict[int, float]
    truth: float


STAGES = (
    Stage(0.06, 0.2, {2: 0.5, 4: 0.5}, 0.0),
    Stage(0.15, 0.2, {4: 0.5, 8: 0.5}, 0.0),
    Stage(0.85, 0.35, {4: 0.1, 8: 0.25, 16: 0.65}, 0.0),
    Stage(1.01, 0.3, {2: 0.06, 4: 0.12, 8: 0.25, 16: 0.57}, 0.5),
)
KIND_WEIGHTS = {"blink": 1.4, "color": 1.3, "count": 1.1, "unanswerable": 1.1, "after": 1.6}


@dataclass(frozen=True)
class Plan:
    """One batch to make."""

    number: int
    seed: int
    is_blind: bool
    num_pairs: int
    rows: int
    truth: float


def plan_batch(number: int, progress: float, *, seed: int, batch_tokens: int) -> Plan:
    """The plan of batch `number` at `progress` (0 to 1) of the run; about `batch_tokens` tokens."""
    rng = np.random.default_rng([seed, number, 1])
    stage = next(stage for stage in STAGES if progress < stage.until)
    is_blind = bool(rng.random() < stage.blind)
    sizes, chances = zip(*stage.pairs.items(), strict=True)
    num_pairs = int(
        rng.choice((4, 8, 16, 16) if is_blind else sizes, p=None if is_blind else np.array(chances) / sum(chances))
    )
    length = 60 + num_pairs * (8 if is_blind else 20)
    return Plan(number, seed, is_blind, num_pairs, max(2, batch_tokens // length), stage.truth)


def make_batch(plan: Plan, tokenizer: Tokenizer, *, folder: str = "/dev/shm") -> Batch:
    """Draw, encode, read back and tokenize the clips of one batch."""
    rng = np.random.default_rng([plan.seed, plan.number, 2])
    weights = np.array([KIND_WEIGHTS.get(kind, 1.0) for kind in KINDS])
    lessons = []
    for kind in rng.choice(KINDS, plan.rows, p=weights / weights.sum()):
        clip = make_clip(int(rng.integers(1 << 40)), "train", kind=str(kind))
        lessons.append(
            make_lesson(
                clip,
                plan.num_pairs,
                is_uniform=bool(rng.random() < 0.2),
                tells_truth=bool(rng.random() < plan.truth),
            )
        )
    rows = [token_row(tokenizer, lesson, is_blind=plan.is_blind) for lesson in lessons]
    frames = None if plan.is_blind else np.concatenate([_frames(lesson, rng, folder) for lesson in lessons])
    return collate(rows, [lesson.question.kind for lesson in lessons], frames, token_id(tokenizer, "<|endoftext|>"))


def _frames(lesson: Lesson, rng: np.random.Generator, folder: str) -> NDArray[np.uint8]:
    ending, codec = FAST_CODECS[int(rng.integers(len(FAST_CODECS)))]
    if rng.random() < SLOW_CODEC_SHARE:
        ending, codec = ".mkv", "VP80"
    path = os.path.join(folder, f"lesson{os.getpid()}{ending}")
    small = shrink(np.stack(recode(lesson_images(lesson), path, codec=codec)))
    return small.reshape(-1, 2, *small.shape[1:])


def feed(
    queue: mp.Queue[Batch],
    tokenizer_json: str,
    *,
    start: int,
    num_steps: int,
    seed: int,
    batch_tokens: int,
    folder: str,
) -> None:
    """Body of the worker process: put every batch from `start` on into the queue, in order."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_str(tokenizer_json)
    for number in range(start, num_steps):
        queue.put(
            make_batch(
                plan_batch(number, number / num_steps, seed=seed, batch_tokens=batch_tokens), tokenizer, folder=folder
            )
        )
