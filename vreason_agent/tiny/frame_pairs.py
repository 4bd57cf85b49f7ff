"""Frame pairs for the first training phase: crowded pictures labeled cell by cell, and a replay buffer.

Knows no question and no language model.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vreason_agent.tiny.pixels import shrink
from vreason_agent.tiny.render import draw_frame, recode
from vreason_agent.tiny.scene import CELLS as CELL_NAMES
from vreason_agent.tiny.scene import COLORS, NUM_SLOTS, SHAPES, Scene, Segment, Sprite, views_at

FAST_CODECS = ((".mp4", "mp4v"), (".avi", "MJPG"), (".avi", "XVID"))
PAIRS_PER_FILE = 12
COLOR_IDS = {name: i for i, name in enumerate(COLORS, 1)}  # 0 is "nothing here"
SHAPE_IDS = {name: i for i, name in enumerate(SHAPES, 1)}
CELL_IDS = {name: i for i, name in enumerate(CELL_NAMES)}


class Pairs(NamedTuple):
    """Small frames uint8 `(n, 2, side, side, 3)` and labels int8 `(n, 2, 9, 2)`: color and shape per frame and cell."""

    frames: NDArray[np.uint8]
    labels: NDArray[np.int8]


def label_frame(scene: Scene, frame_index: int) -> NDArray[np.int8]:
    """Color and shape number of each cell, int8 `(9, 2)`, zero where no center lies."""
    labels = np.zeros((9, 2), np.int8)
    for view in views_at(scene, frame_index):
        labels[CELL_IDS[view.cell]] = COLOR_IDS[view.color], SHAPE_IDS[view.shape]
    return labels


def random_pairs(rng: np.random.Generator, folder: str) -> Pairs:
    """`PAIRS_PER_FILE` unrelated pairs that went through one video file in `folder`."""
    ending, codec = FAST_CODECS[int(rng.integers(len(FAST_CODECS)))]
    scene = _crowd(rng)
    images = recode(
        [draw_frame(scene, i) for i in range(scene.num_frames)],
        os.path.join(folder, f"pairs{os.getpid()}{ending}"),
        codec=codec,
    )
    small = shrink(np.stack(images))
    labels = np.stack([label_frame(scene, i) for i in range(scene.num_frames)])
    return Pairs(small.reshape(-1, 2, *small.shape[1:]), labels.reshape(-1, 2, 9, 2))


def _crowd(rng: np.random.Generator) -> Scene:
    """A scene whose frames 2k and 2k + 1 form a pair with its own objects."""
    num_frames = 2 * PAIRS_PER_FILE
    step = NUM_SLOTS / num_frames
    sprites = [sprite for k in range(PAIRS_PER_FILE) for sprite in _pair_sprites(rng, 2 * k * step, step)]
    background = np.clip(rng.integers(10, 115) + rng.integers(-12, 13, 3), 0, 130)
    noise = float(rng.uniform(4, 20)) if rng.random() < 0.5 else 0.0
    return Scene(
        tuple(sprites),
        (int(background[0]), int(background[1]), int(background[2])),
        noise,
        10.0,
        num_frames,
        int(rng.integers(1 << 31)),
    )


def _pair_sprites(rng: np.random.Generator, start: float, step: float) -> list[Sprite]:
    sprites: list[Sprite] = []
    taken: set[int] = set()
    for cell in rng.permutation(9)[: rng.integers(0, 6)]:
        row, column = divmod(int(cell), 3)
        x, y = column + 0.5 + rng.uniform(-0.1, 0.1), row + 0.5 + rng.uniform(-0.1, 0.1)
        color, shape = str(rng.choice(list(COLORS))), str(rng.choice(SHAPES))
        first = Segment(start, start + step, color, x, y, x, y)
        to_x, to_y, to_color, fate = x, y, color, rng.random()
        if fate < 0.15:  # moved
            to_x, to_y = (
                float(np.clip(x + rng.uniform(-1.2, 1.2), 0.3, 2.7)),
                float(np.clip(y + rng.uniform(-1.2, 1.2), 0.3, 2.7)),
            )
            if rng.random() < 0.7:
                to_x, to_y = (x, to_y) if rng.random() < 0.5 else (to_x, y)
        elif fate < 0.22:
            to_color = str(rng.choice(list(COLORS)))
        if {int(cell), 3 * int(to_y) + int(to_x)} & taken:
            continue
        taken |= {int(cell), 3 * int(to_y) + int(to_x)}
        second = Segment(start + step, start + 2 * step, to_color, to_x, to_y, to_x, to_y)
        segments = (first,) if 0.3 < fate < 0.45 else (second,) if 0.45 < fate < 0.6 else (first, second)
        sprites.append(Sprite(shape, float(rng.uniform(0.36, 0.46)), segments))
    return sprites


class Replay:
    """The latest `capacity` pairs; batches are drawn at random, mirrored and swapped in time at random."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.size, self.at = capacity, 0, 0
        self.frames: NDArray[np.uint8] | None = None
        self.labels = np.zeros((capacity, 2, 9, 2), np.int8)

    def add(self, pairs: Pairs) -> None:
        """Take in pairs, the oldest leaving when full."""
        if self.frames is None:
            self.frames = np.zeros((self.capacity, *pairs.frames.shape[1:]), np.uint8)
        for frames, labels in zip(*pairs, strict=True):
            self.frames[self.at], self.labels[self.at] = frames, labels
            self.at = (self.at + 1) % self.capacity
            self.size = min(self.size + 1, self.capacity)

    def draw(self, rng: np.random.Generator, num: int) -> Pairs:
        """A random batch of `num` pairs."""
        assert self.frames is not None
        chosen = rng.integers(0, self.size, num)
        frames, labels = self.frames[chosen], self.labels[chosen].reshape(num, 2, 3, 3, 2)
        half, third = num // 2, num // 3
        frames[:half], labels[:half] = frames[:half, :, :, ::-1], labels[:half, :, :, ::-1]
        frames[third : 2 * third], labels[third : 2 * third] = (
            frames[third : 2 * third, ::-1].copy(),
            labels[third : 2 * third, ::-1].copy(),
        )
        return Pairs(frames, labels.reshape(num, 2, 9, 2))
