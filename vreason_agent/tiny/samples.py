"""Training samples of the language phase: what the sampled pairs of a clip show, put in words, and the answer.

A sample is a prompt of temporal pairs and a question, and a target that first transcribes every pair, numbering what
the question is about as it comes into view, then draws the conclusion, then answers. The reasoning states only what the
sampled frames show. Knows no torch model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vreason_agent.tiny.questions import NOT_SHOWN, Conclusion, Question, conclude, name_words, tallies
from vreason_agent.tiny.scene import NUM_SLOTS, Scene, View, views_at
from vreason_agent.tiny.world import Clip

LADDER_TOP = 32  # frames on the ladder's last rung: the distance within a pair is duration / 32
Pair = tuple[tuple[View, ...], tuple[View, ...]]


@dataclass(frozen=True)
class Sample:
    """One sample in words; `frame_indices` are the clip's frames, pair by pair.

    A scrambled sample ends with its transcript: its derivation and answer are empty.
    """

    clip: Clip
    question: Question
    frame_indices: tuple[int, ...]
    pair_labels: tuple[str, ...]
    pairs: tuple[Pair, ...]
    lines: tuple[str, ...]
    derivation: str = ""
    answer: str = ""
    is_guess: bool = False

    @property
    def transcript(self) -> str:
        """What the pairs show, a line for each."""
        return "".join(f"{line}\n" for line in self.lines)


def pair_frames(scene: Scene, num_pairs: int, *, is_uniform: bool = False) -> tuple[int, ...]:
    """Frame indices of a rung of the ladder, pair by pair; `is_uniform` spreads all frames evenly instead."""
    within = NUM_SLOTS / (2 * num_pairs) if is_uniform else NUM_SLOTS / LADDER_TOP
    slots = [k * NUM_SLOTS / num_pairs + d for k in range(num_pairs) for d in (0.0, within)]
    return tuple(scene.frame_at(scene.seconds(slot)) for slot in slots)


def transcribe(question: Question, pairs: Sequence[Pair], labels: Sequence[str]) -> tuple[str, ...]:
    """One line per pair: its time, then each object with its cell.

    Its number is part of its name if the question is about it and it just came into view; a second cell follows if it
    moved within the pair, `on` or `off` if only one of the two frames has it.
    """
    numbers = tallies(question, [views for pair in pairs for views in pair])
    return tuple(
        label + _pair_words(question, *pair, {**first, **second})
        for label, pair, first, second in zip(labels, pairs, numbers[::2], numbers[1::2], strict=True)
    )


def _pair_words(
    question: Question, first: tuple[View, ...], second: tuple[View, ...], numbers: Mapping[str, int]
) -> str:
    def words(view: View) -> str:
        return f" {' '.join(name_words(question, view, numbers.get(view.name)))} {view.cell}"

    later = {view.name: view for view in second}
    said = []
    for view in first:
        after = later.pop(view.name, None)
        status = " off" if after is None else "" if after.cell == view.cell else f" {after.cell}"
        said.append(words(view) + status)
    said += [f"{words(view)} on" for view in later.values()]
    return "".join(said) or " -"


def make_sample(clip: Clip, num_pairs: int, *, is_uniform: bool = False, tells_truth: bool = False) -> Sample:
    """The sample of a clip's first question at `num_pairs` pairs.

    Args:
        clip: the clip.
        num_pairs: temporal pairs sampled.
        is_uniform: spread frames evenly rather than as the ladder does.
        tells_truth: the target is the true answer even where the frames point elsewhere, so that the answer's
            probability learns how often frames this sparse mislead; otherwise it is what these frames say.
    """
    scene, question = clip.scene, clip.questions[0]
    indices = pair_frames(scene, num_pairs, is_uniform=is_uniform)
    views = [views_at(scene, i) for i in indices]
    labels = tuple(f"{i / scene.video_fps:.1f}" for i in indices[::2])
    pairs = tuple(zip(views[::2], views[1::2], strict=True))
    lines = transcribe(question, pairs, labels)
    said = conclude(question, views)
    answer = question.answer if tells_truth or _is_open_guess(question, said) else said.answer
    is_guess = said.is_guess and not tells_truth
    return Sample(clip, question, indices, labels, pairs, lines, "so " + ", ".join(said.lines), answer, is_guess)


def unseen(sample: Sample) -> Sample:
    """The sample without its video: nothing to transcribe, nothing to conclude, and the true answer."""
    return replace(
        sample,
        frame_indices=(),
        pair_labels=(),
        pairs=(),
        lines=(),
        derivation="so nothing",
        answer=sample.question.answer,
        is_guess=False,
    )


def scramble(samples: Sequence[Sample], order: Sequence[int]) -> list[Sample]:
    """Samples of equal length with their pairs dealt anew: pair `i` of all becomes the one numbered ``order[i]``.

    In such a video the line before says nothing about the next one, so that a transcript can only be read from the
    pairs. A scrambled sample draws no conclusion.
    """
    pool = [pair for sample in samples for pair in sample.pairs]
    dealt = iter([pool[i] for i in order])
    scrambled = []
    for sample in samples:
        pairs = tuple(next(dealt) for _ in sample.pairs)
        lines = transcribe(sample.question, pairs, sample.pair_labels)
        scrambled.append(replace(sample, pairs=pairs, lines=lines, derivation="", answer="", is_guess=False))
    return scrambled


def _is_open_guess(question: Question, said: Conclusion) -> bool:
    """Nothing points to any option: only the true answer spreads the odds over the options."""
    return said.is_guess and bool(question.options) and NOT_SHOWN not in question.options


def sample_images(sample: Sample) -> list[NDArray[np.uint8]]:
    """The sample's frames as drawn."""
    from vreason_agent.tiny.render import draw_frame

    return [draw_frame(sample.clip.scene, i) for i in sample.frame_indices]
