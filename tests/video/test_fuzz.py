"""Seeded mutants of small clips end in frames or a typed error, in bounded time and memory, and never in a crash."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

ENDINGS = {"frames", "VideoDecodeError", "VideoTooLargeError", "VideoError"}
MAX_SECONDS = 20.0  # one mutant, on a busy machine
X264 = {"g": "10", "x264-params": "log-level=none"}
SEEDS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("a.mp4", "libx264", X264),
    ("a.avi", "mpeg4", {}),
    ("a.webm", "libvpx", {}),
    ("a.mkv", "ffv1", {}),
    ("b.ts", "libx264", X264),
    ("b.mpg", "mpeg2video", {}),
)
Mutation = Callable[[random.Random, bytearray], bytearray]


def change_bytes(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.choice([1, 8, 64])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def truncate(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(1, len(data))]


def change_header(rng: random.Random, data: bytearray) -> bytearray:
    """Write an extreme number over one of the fields at the beginning, or of an mp4's index."""
    index = data.find(b"moov")
    start = max(4, index) if rng.random() < 0.5 else 4
    at = rng.randrange(start, min(len(data) - 8, start + 600))
    number = rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32)])
    data[at : at + 4] = struct.pack(rng.choice("<>") + "I", number)
    return data


def repeat_or_drop(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 512)]
    return data[:start] + part * rng.choice([0, 2, 3]) + data[start + len(part) :]


MUTATIONS: tuple[Mutation, ...] = (change_bytes, truncate, change_header, repeat_or_drop)


@pytest.fixture
def seeds(write) -> list[Path]:
    clips = [
        write(name, codec=codec, times_ms=tuple(range(0, 1200, 40)), options=options) for name, codec, options in SEEDS
    ]
    return [*clips, write("c.mp4", times_ms=(0, 40, 120, 600, 1000, 1040), options=X264)]


def mutants(seeds: list[Path], folder: Path, numbers: range) -> list[Path]:
    paths = []
    for number in numbers:
        rng = random.Random(number)
        seed = rng.choice(seeds)
        path = folder / f"mutant-{number}{seed.suffix}"
        path.write_bytes(rng.choice(MUTATIONS)(rng, bytearray(seed.read_bytes())))
        paths.append(path)
    return paths


def check(paths: list[Path]) -> Counter[str]:
    """Read all in one worker and return how many ended in what way; the mutant that ends the worker is named."""
    worker = Path(__file__).with_name("fuzz_worker.py")
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(worker)],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPENCV_FFMPEG_THREADS": "1"},
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    ended_at = paths[len(lines)].name if len(lines) < len(paths) else "none"
    assert done.returncode == 0, f"the worker ended with {done.returncode} at {ended_at}: {done.stderr[-500:]}"
    slow = [path.name for path, line in zip(paths, lines, strict=True) if float(line[1]) > MAX_SECONDS]
    assert slow == []
    return Counter(line[0] for line in lines)


def test_a_hundred_mutants_end_in_frames_or_a_typed_error(seeds, tmp_path: Path):
    endings = check(mutants(seeds, tmp_path, range(100)))
    assert set(endings) <= ENDINGS
    assert endings["frames"] >= 10
    assert endings["VideoDecodeError"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(10))
def test_two_thousand_mutants_end_in_frames_or_a_typed_error(seeds, tmp_path: Path, batch: int):
    assert set(check(mutants(seeds, tmp_path, range(1000 + 200 * batch, 1200 + 200 * batch)))) <= ENDINGS
