"""What the language phase trains on at each step: batch plans by progress, and the batches.

Batch number and seed decide a batch, so that a resumed run sees what an uninterrupted one would. Knows no torch model.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vreason_agent.tiny.batches import Batch, collate, token_id, token_row
from vreason_agent.tiny.frame_pairs import FAST_CODECS
from vreason_agent.tiny.pixels import shrink
from vreason_agent.tiny.questions import KINDS
from vreason_agent.tiny.render import recode
from vreason_agent.tiny.samples import Sample, make_sample, sample_images, scramble, unseen
from vreason_agent.tiny.text_samples import TYPICAL_LENGTH, text_sample_row
from vreason_agent.tiny.world import SceneSet, make_clip

SLOW_CODEC_SHARE = 0.03  # VP8 takes twenty times as long to write


@dataclass(frozen=True)
class Stage:
    """Mix of batches up to a share of the run.

    Chance of text samples, of a blind batch among the others, of a scrambled one among the rest, of each number of
    pairs, of telling the truth.
    """

    until: float
    text_only: float
    blind: float
    scrambled: float
    pairs: dict[int, float]
    truth: float = 0.0


STAGES = (
    Stage(0.06, 0.0, 0.2, 0.3, {2: 0.5, 4: 0.5}),
    Stage(0.15, 0.0, 0.2, 0.3, {4: 0.5, 8: 0.5}),
    Stage(0.25, 0.9, 0.2, 0.3, {8: 0.2, 16: 0.8}),
    Stage(0.5, 0.15, 0.15, 0.35, {8: 0.2, 16: 0.8}),
    Stage(0.85, 0.12, 0.2, 0.3, {4: 0.1, 8: 0.2, 16: 0.7}),
    Stage(1.01, 0.06, 0.15, 0.12, {2: 0.17, 4: 0.2, 8: 0.25, 16: 0.38}, truth=1.0),
)
SCENE_SETS: dict[SceneSet, float] = {"standard": 0.55, "mixed": 0.37, "dense": 0.08}
UNSEEN_SHARE = 0.3  # of the rows of a blind batch, once the truth is told
TRUE_KIND_WEIGHTS = {"color": 1.4, "shape": 1.4, "direction": 1.4, "blink": 1.4, "unanswerable": 1.4, "after": 1.3}
BASICS = 0.15  # share of a run from nothing that goes to short clips
KIND_WEIGHTS = {"blink": 1.3, "color": 1.3, "direction": 1.3, "shape": 4.0, "unanswerable": 1.5, "after": 4.0}
# A scrambled video shows twenty objects, and with each decides anew whether the question is about it.
SCRAMBLED_KIND_WEIGHTS = {"shape": 5.0, "color": 2.0, "direction": 2.0, "unanswerable": 2.0, "after": 0.5}
COUNTING_KINDS = ("first", "last", "count")  # their tallies would grow without end in a scrambled video


@dataclass(frozen=True)
class Plan:
    """One batch to make."""

    number: int
    seed: int
    is_text_only: bool
    is_blind: bool
    is_scrambled: bool
    num_pairs: int
    rows: int
    truth: float


def progress_at(number: int, num_steps: int, *, begin: float) -> float:
    """Place of a batch in the curriculum, from `begin` to 1."""
    return begin + (1.0 - begin) * number / num_steps


def plan_batch(number: int, progress: float, *, seed: int, batch_tokens: int) -> Plan:
    """The plan of batch `number` at `progress` (0 to 1) of the run; about `batch_tokens` tokens."""
    rng = np.random.default_rng([seed, number, 1])
    stage = next(stage for stage in STAGES if progress < stage.until)
    is_text_only = bool(rng.random() < stage.text_only)
    is_blind = is_text_only or bool(rng.random() < stage.blind)
    sizes, chances = zip(*stage.pairs.items(), strict=True)
    num_pairs = int(
        rng.choice((4, 8, 16, 16) if is_blind else sizes, p=None if is_blind else np.array(chances) / sum(chances))
    )
    is_scrambled = not is_blind and bool(rng.random() < stage.scrambled)
    length = TYPICAL_LENGTH if is_text_only else 60 + num_pairs * (8 if is_blind else 20)
    rows = max(2, batch_tokens // length)
    return Plan(number, seed, is_text_only, is_blind, is_scrambled, num_pairs, rows, stage.truth)


def make_batch(plan: Plan, tokenizer: Tokenizer, *, folder: str = "/dev/shm") -> Batch:
    """Draw, encode, read back and tokenize the clips of one batch."""
    rng = np.random.default_rng([plan.seed, plan.number, 2])
    pad = token_id(tokenizer, "<|endoftext|>")
    if plan.is_text_only:
        text_samples = [text_sample_row(tokenizer, rng, max_lines=plan.num_pairs) for _ in range(plan.rows)]
        return collate(text_samples, ["drill"] * plan.rows, None, pad)
    kinds = [kind for kind in KINDS if not (plan.is_scrambled and kind in COUNTING_KINDS)]
    likely = SCRAMBLED_KIND_WEIGHTS if plan.is_scrambled else TRUE_KIND_WEIGHTS if plan.truth else KIND_WEIGHTS
    weights = np.array([likely.get(kind, 1.0) for kind in kinds])
    samples = []
    for kind in rng.choice(kinds, plan.rows, p=weights / weights.sum()):
        scene_set = _draw_scene_set(rng) if plan.truth else "standard"
        clip = make_clip(int(rng.integers(1 << 40)), "train", scene_set=scene_set, kind=str(kind))
        samples.append(
            make_sample(
                clip,
                plan.num_pairs,
                is_uniform=bool(rng.random() < 0.2),
                tells_truth=bool(rng.random() < plan.truth),
            )
        )
    if plan.is_blind and plan.truth:
        samples = [unseen(sample) if rng.random() < UNSEEN_SHARE else sample for sample in samples]
    frames = None if plan.is_blind else np.concatenate([_frames(sample, rng, folder) for sample in samples])
    if plan.is_scrambled and frames is not None:
        order = rng.permutation(len(frames))
        frames, samples = frames[order], scramble(samples, order.tolist())
    rows = [token_row(tokenizer, sample, is_blind=plan.is_blind) for sample in samples]
    return collate(rows, [sample.question.kind for sample in samples], frames, pad)


def _draw_scene_set(rng: np.random.Generator) -> SceneSet:
    names = list(SCENE_SETS)
    return names[int(rng.choice(len(names), p=list(SCENE_SETS.values())))]


def _frames(sample: Sample, rng: np.random.Generator, folder: str) -> NDArray[np.uint8]:
    ending, codec = FAST_CODECS[int(rng.integers(len(FAST_CODECS)))]
    if rng.random() < SLOW_CODEC_SHARE:
        ending, codec = ".mkv", "VP80"
    path = os.path.join(folder, f"sample{os.getpid()}{ending}")
    small = shrink(np.stack(recode(sample_images(sample), path, codec=codec)))
    return small.reshape(-1, 2, *small.shape[1:])


def make_numbered(
    number: int, *, tokenizer: Tokenizer, num_steps: int, seed: int, batch_tokens: int, begin: float, folder: str
) -> Batch:
    """Batch `number` of a run of `num_steps`."""
    progress = progress_at(number, num_steps, begin=begin)
    plan = plan_batch(number, progress, seed=seed, batch_tokens=batch_tokens)
    return make_batch(plan, tokenizer, folder=folder)
