"""Frames made by integer arithmetic, so that every version of numpy makes the same ones; and the cases of the record.

Imported by `make_reference.py` in another environment: only numpy here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
HALF = [0.5, 0.5, 0.5]


class Case(NamedTuple):
    """One call of a library processor.

    `pixels` is (min, max per frame, total or None): the limits that the built-in path gets in its `PixelBudget`.
    """

    processor: str
    num_frames: int
    height: int
    width: int
    pixels: tuple[int, int, int | None]


CASES: dict[str, Case] = {
    "qwen2 video shrunk": Case("qwen2_video", 4, 240, 426, (3136, 50176, None)),
    "qwen2 video enlarged": Case("qwen2_video", 2, 40, 60, (12544, 50176, None)),
    "qwen2 video odd number of frames": Case("qwen2_video", 5, 96, 96, (3136, 50176, None)),
    "qwen2 video single frame": Case("qwen2_video", 1, 120, 90, (3136, 50176, None)),
    "qwen2 video size kept": Case("qwen2_video", 4, 112, 140, (3136, 50176, None)),
    "qwen2 video total limit": Case("qwen2_video_capped", 8, 200, 300, (3136, 602112, 90000)),
    "qwen2 video 480p": Case("qwen2_video", 2, 480, 854, (100352, 200704, None)),
    "qwen2 image": Case("qwen2_image", 1, 333, 500, (3136, 100352, None)),
    "qwen3 image": Case("qwen3_image", 1, 333, 500, (4096, 131072, None)),
    "qwen3 video": Case("qwen3_video", 6, 180, 320, (4096, 65536, None)),
}


def make_frames(num_frames: int, height: int, width: int) -> np.ndarray:
    """Frames uint8 `(num_frames, height, width, 3)`: gradients, fine noise and a bright bar that moves."""
    t, y, x, c = (np.arange(size) for size in (num_frames, height, width, 3))
    t, y, c = t[:, None, None, None], y[:, None, None], c  # each along its own axis of (frame, row, column, channel)
    column = x[:, None]
    noise = sum((part % 251).astype(np.int16) for part in (column * 2654435761, y * 40503, t * 69069, c * 12345)) % 251
    smooth = ((column * 255 // max(width - 1, 1)).astype(np.int16) + (y * (c + 1) + 17 * t).astype(np.int16)) % 256
    frames = (noise + 3 * smooth) // 4
    frames = np.where((column // 9 + t) % 7 == 0, np.int16(250), frames)
    return frames.astype(np.uint8)


def settings_of(processor: str) -> dict[str, Any]:
    """Patch sizes and normalization of a processor."""
    is_qwen3 = processor.startswith("qwen3")
    return {
        "patch_size": 16 if is_qwen3 else 14,
        "image_mean": HALF if is_qwen3 else CLIP_MEAN,
        "image_std": HALF if is_qwen3 else CLIP_STD,
    }


def sample_indices(size: int) -> np.ndarray:
    """Places in the flattened patches whose values are recorded, `(64,)`."""
    return (np.arange(64) * 7919 * 13) % size
