"""The toy world: seeded clips of moving, appearing, blinking and colliding shapes, each with a question.

In the standard set every event lasts at least 1.25 slots (a slot is duration/32) and a blink period at least 2.5
slots, so that 32 frames suffice by construction. Train, dev, test and demo draw from different random streams
whatever the seed. ``python -m vreason_agent.tiny.world OUT --seed N`` writes a clip. Knows no model.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vreason_agent.errors import ConfigError, quote
from vreason_agent.tiny.questions import (
    ABSENT_KINDS,
    ANSWERS,
    EVERY_OBJECT,
    KINDS,
    NOT_SHOWN,
    Conclusion,
    Question,
    ask,
    conclude,
)
from vreason_agent.tiny.scene import COLORS, NUM_SLOTS, SHAPES, Scene, View, scene_signature, views_at
from vreason_agent.tiny.scripts import Pace, Script, Stage, build_script

Split = Literal["train", "dev", "test", "demo"]
SceneSet = Literal["standard", "dense", "mixed"]
SPLITS: dict[str, int] = {"train": 1, "dev": 2, "test": 3, "demo": 4}
SETS: dict[str, int] = {"standard": 1, "dense": 2, "mixed": 3}
LASTING_SHARE = 0.38  # of mixed clips: what is asked about lasts; then 4 frames of a ladder show half of all answers
DENSE_EVENT_SECONDS = 0.3
OPEN_SHARE = 0.4
MIN_SECONDS, MAX_SECONDS = 5.0, 60.0
# A frame count divisible by 32 puts every slot on a frame.
CLOCKS = tuple(
    (fps, n)
    for n in (96, 128, 160, 192, 224, 256, 288)
    for fps in (4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
    if 5 <= n / fps <= 60
)
DENSE_CLOCKS = tuple(
    (fps, n) for n in (160, 192, 224, 256, 288, 320, 352) for fps in (10, 12, 15, 20) if 15 <= n / fps <= 60
)


@dataclass(frozen=True)
class Clip:
    """A scene with the questions asked about it."""

    scene: Scene
    questions: tuple[Question, ...]
    seed: int
    split: str
    scene_set: str

    @property
    def signature(self) -> str:
        """Hash of the scene."""
        return scene_signature(self.scene)


def make_clip(seed: int, split: Split = "demo", *, scene_set: SceneSet = "standard", kind: str | None = None) -> Clip:
    """One clip with one question, the same for the same arguments.

    Consecutive seeds run through the kinds, and within a kind through the answers and the places of the true option,
    so that any long run of seeds is balanced by construction.

    Args:
        seed: 0 or more.
        split: the stream to draw from.
        scene_set: ``standard``; ``dense`` with events of 0.3 s, which frames at a fixed count mostly miss; or
            ``mixed``, where half of the questions can be answered from a ladder's first 4 frames.
        kind: take this kind of question instead of the seed's own.

    Raises:
        ConfigError: an unknown split, set or kind, or a negative seed.
    """
    _check(seed, split, scene_set, kind)
    rng = np.random.default_rng(np.random.SeedSequence([SPLITS[split], SETS[scene_set], seed]))
    kind, turn = kind or KINDS[seed % len(KINDS)], seed // len(KINDS)
    topic = ABSENT_KINDS[turn % len(ABSENT_KINDS)] if kind == "unanswerable" else kind
    answers = ANSWERS[topic]
    answer = str(rng.choice(answers)) if kind == "unanswerable" else answers[turn % len(answers)]
    clock = DENSE_CLOCKS if scene_set == "dense" else CLOCKS
    fps, num_frames = clock[int(rng.integers(len(clock)))]
    dense = DENSE_EVENT_SECONDS * NUM_SLOTS * fps / num_frames
    stage = Stage(rng, Pace(dense, dense) if scene_set == "dense" else Pace())
    is_lasting = scene_set == "mixed" and bool(rng.random() < LASTING_SHARE)
    script = build_script(stage, topic, answer, is_lasting=is_lasting)
    subject = _absent(rng, stage, topic) if kind == "unanswerable" else script.subject
    scene = _scene(rng, script, fps, num_frames)
    question = ask(
        rng,
        topic,
        subject,
        NOT_SHOWN if kind == "unanswerable" else answer,
        position=(turn + turn // len(answers)) % 4,
        is_open=bool(rng.random() < OPEN_SHARE),
        near=[f"{c} {s}" for c, s in stage.looks] if topic in ("first", "last") else (),
    )
    events = tuple((name, round(scene.seconds(slot), 3)) for name, slot in scene.events)
    return Clip(scene, (replace(question, event_seconds=events),), seed, split, scene_set)


def frame_views(scene: Scene, times: Sequence[float]) -> list[tuple[View, ...]]:
    """What the frames on show at `times` (seconds) hold."""
    return [views_at(scene, scene.frame_at(t)) for t in times]


def oracle(clip: Clip, question: Question, times: Sequence[float]) -> Conclusion:
    """The best answer that can be known from the frames at `times` (seconds, in order) and nothing else."""
    return conclude(question, frame_views(clip.scene, times))


def _check(seed: int, split: str, scene_set: str, kind: str | None) -> None:
    if seed < 0:
        raise ConfigError(f"seed {quote(seed)} is negative; give a seed of 0 or more, such as --seed 0")
    for name, value, allowed in (
        ("split", split, SPLITS),
        ("scene_set", scene_set, SETS),
        ("kind", kind, (*KINDS, None)),
    ):
        if value not in allowed:
            raise ConfigError(
                f"{name} {quote(value)} is unknown; choose one of {', '.join(str(a) for a in allowed if a)}"
            )


def _absent(rng: np.random.Generator, stage: Stage, topic: str) -> dict[str, str]:
    colors, shapes = {c for c, _ in stage.looks}, {s for _, s in stage.looks}
    if topic == "color":
        return {"asked": str(rng.choice([s for s in SHAPES if s not in shapes]))}
    if topic == "shape":
        return {"asked": str(rng.choice([c for c in COLORS if c not in colors]))}
    return {"asked": str(rng.choice([o for o in EVERY_OBJECT if tuple(o.split()) not in stage.looks]))}


def _scene(rng: np.random.Generator, script: Script, fps: int, num_frames: int) -> Scene:
    sprites = [script.sprites[i] for i in rng.permutation(len(script.sprites))]
    low, high = (10, 60) if rng.random() < 0.7 else (70, 110)
    background = tuple(int(v) for v in np.clip(rng.integers(low, high) + rng.integers(-12, 13, 3), 0, 130))
    noise = float(rng.uniform(4, 18)) if rng.random() < 0.5 else 0.0
    return Scene(
        tuple(sprites),
        (background[0], background[1], background[2]),
        round(noise, 2),
        float(fps),
        num_frames,
        int(rng.integers(1 << 31)),
        tuple(script.events),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write one clip and the JSON beside it; print its question."""
    from vreason_agent.tiny.render import write_clip

    parser = argparse.ArgumentParser(
        prog="python -m vreason_agent.tiny.world", description="Write a clip of the toy world."
    )
    parser.add_argument("out", help="file to write, ending in .mp4, .avi, .mkv or .webm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=sorted(SPLITS), default="demo")
    parser.add_argument("--scene-set", choices=sorted(SETS), default="standard")
    args = parser.parse_args(argv)
    try:
        clip = make_clip(args.seed, args.split, scene_set=args.scene_set)
        write_clip(args.out, clip)
    except ConfigError as exc:
        parser.error(str(exc))
    print(clip.questions[0].text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
