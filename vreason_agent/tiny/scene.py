"""The data of a toy clip: sprites on a 3 x 3 grid and what a frame of them shows.

Times are in slots, one slot being duration/32, so that clips of 5 s and of 60 s are laid out alike. Knows no
question, no picture and no file.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import NamedTuple

NUM_SLOTS = 32
COLORS = {
    "red": (225, 40, 40),
    "green": (40, 190, 60),
    "blue": (50, 90, 240),
    "yellow": (245, 225, 40),
    "purple": (190, 60, 215),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "cross")
CELLS = ("NW", "N", "NE", "W", "C", "E", "SW", "S", "SE")


class View(NamedTuple):
    """One object as one frame shows it: color, shape, and the grid cell its center lies in."""

    color: str
    shape: str
    cell: str

    @property
    def name(self) -> str:
        """Color and shape, as in ``red circle``."""
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Segment:
    """A stretch of a sprite's visible life: `[start, stop)` in slots, on a straight line in cell units (0 to 3)."""

    start: float
    stop: float
    color: str
    x: float
    y: float
    to_x: float
    to_y: float

    def position(self, slot: float) -> tuple[float, float]:
        """Center at `slot`, in cell units."""
        part = (slot - self.start) / (self.stop - self.start)
        return self.x + part * (self.to_x - self.x), self.y + part * (self.to_y - self.y)


@dataclass(frozen=True)
class Sprite:
    """One object: a shape, a radius in cell units, and the segments in which it can be seen."""

    shape: str
    radius: float
    segments: tuple[Segment, ...]

    def segment_at(self, slot: float) -> Segment | None:
        """The segment that covers `slot`, or None where the object is not visible."""
        return next((s for s in self.segments if s.start - 1e-9 <= slot < s.stop - 1e-9), None)


@dataclass(frozen=True)
class Scene:
    """Sprites over a background, with the clip's clock."""

    sprites: tuple[Sprite, ...]
    background: tuple[int, int, int]
    noise_px: float
    video_fps: float
    num_frames: int
    noise_seed: int = 0
    events: tuple[tuple[str, float], ...] = field(default=())  # (name, slot)

    @property
    def duration_seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.num_frames / self.video_fps

    def slot_of_frame(self, frame_index: int) -> float:
        """Slot at which a frame is taken."""
        return frame_index * NUM_SLOTS / self.num_frames

    def seconds(self, slot: float) -> float:
        """Slots to seconds."""
        return slot * self.duration_seconds / NUM_SLOTS

    def frame_at(self, seconds: float) -> int:
        """Index of the frame on show at `seconds`, clipped to the clip."""
        return min(max(math.floor(seconds * self.video_fps + 1e-6), 0), self.num_frames - 1)


def cell_of(x: float, y: float) -> str:
    """Name of the grid cell that holds a point given in cell units."""
    return CELLS[3 * min(max(int(y), 0), 2) + min(max(int(x), 0), 2)]


def views_at(scene: Scene, frame_index: int) -> tuple[View, ...]:
    """What one frame shows, cell by cell in reading order."""
    slot = scene.slot_of_frame(frame_index)
    seen = []
    for sprite in scene.sprites:
        segment = sprite.segment_at(slot)
        if segment is not None:
            seen.append(View(segment.color, sprite.shape, cell_of(*segment.position(slot))))
    return tuple(sorted(seen, key=lambda view: CELLS.index(view.cell)))


def scene_signature(scene: Scene) -> str:
    """Hash of everything that decides the pictures of a scene, for the check that no test scene occurs in training."""
    parts = [f"{scene.background}{scene.noise_px:.2f}{scene.video_fps}{scene.num_frames}"]
    for sprite in scene.sprites:
        parts.append(f"{sprite.shape}{sprite.radius:.4f}")
        parts += [
            f"{s.start:.4f},{s.stop:.4f},{s.color},{s.x:.4f},{s.y:.4f},{s.to_x:.4f},{s.to_y:.4f}"
            for s in sprite.segments
        ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
