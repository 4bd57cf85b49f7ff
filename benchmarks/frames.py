"""Time and memory of reading N evenly spread frames: `read_frames` against other ways to get the same frames.

Run: python -m benchmarks.frames [--lengths 10 60 ...] [--special 720p ...] [--frames 4 8 ...] [--repeats 3]
     [--folder DIR] [--no-memory]
A quick look: python -m benchmarks.frames --lengths 10 60 --special --frames 8 32 --repeats 2 --no-memory

The files are made by the run, in `--folder` where they shall be kept. All ways read one file and one N in turn,
`--repeats` times over; a figure is the median over the rounds, a ratio is taken within one round, because load on a
shared machine changes slowly. Nothing that `read_frames` found out about a file is kept between rounds. Ways that read
everything cost the same for every N and are timed once, at the first. Peak memory is that of a process of its own
(Linux), less what it had before it read.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.frame_clips import SPECIAL, Clip, lengths, write
from vreason_agent.video import read_frames
from vreason_agent.video.reader import _known_info

LENGTHS = (10, 60, 240, 900, 3600)
COUNTS = (4, 8, 16, 32, 64)
MEMORY_FRAMES, MODEL_SIDE_PX = 32, 448
OURS, GRAB = "read_frames", "sequential grab"
READS_ALL = ("read everything", "transformers")

Way = Callable[[Path, Sequence[int], Sequence[float]], Any]


def ours(path: Path, numbers: Sequence[int], times: Sequence[float], max_side_px: int | None = None) -> Any:
    _known_info.cache_clear()
    return read_frames(path, times, max_side_px=max_side_px).images


def ours_small(path: Path, numbers: Sequence[int], times: Sequence[float]) -> Any:
    return ours(path, numbers, times, MODEL_SIDE_PX)


def sequential_grab(path: Path, numbers: Sequence[int], times: Sequence[float]) -> Any:
    capture, at, pictures = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), -1, []
    for number in numbers:
        while at < number and capture.grab():
            at += 1
        pictures.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    return np.stack(pictures)


def read_everything(path: Path, numbers: Sequence[int], times: Sequence[float]) -> Any:
    capture, wanted, pictures, at = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), set(numbers), [], 0
    while (step := capture.read())[0]:
        if at in wanted:
            pictures.append(cv2.cvtColor(step[1], cv2.COLOR_BGR2RGB))
        at += 1
    return np.stack(pictures)


def pyav_seeks(path: Path, numbers: Sequence[int], times: Sequence[float]) -> Any:
    pictures = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start = stream.start_time or 0
        for wanted in times:
            pts = start + round(wanted / stream.time_base)
            container.seek(pts, stream=stream)
            pictures.append(_last_until(container.decode(stream), pts))
    return np.stack([picture.to_ndarray(format="rgb24") for picture in pictures])


def _last_until(frames: Iterable[Any], pts: int) -> Any:
    last = None
    for frame in frames:
        if last is not None and frame.pts > pts:
            break
        last = frame
    return last


def transformers_opencv(path: Path, numbers: Sequence[int], times: Sequence[float]) -> Any:
    from transformers.video_utils import read_video_opencv

    return read_video_opencv(str(path), lambda metadata, **_: list(numbers))[0]


WAYS: dict[str, Way] = {
    GRAB: sequential_grab,
    OURS: ours,
    "PyAV with seeks": pyav_seeks,
    "read everything": read_everything,
    "transformers": transformers_opencv,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark reading frames")
    parser.add_argument("--lengths", nargs="*", type=float, default=LENGTHS, help="seconds of the regular files")
    parser.add_argument("--special", nargs="*", choices=SPECIAL, default=list(SPECIAL), help="other files")
    parser.add_argument("--frames", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the files here; by default they are made anew and removed")
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--peak-of", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print(peak_bytes(*arguments.peak_of))
        return
    import transformers.video_utils  # noqa: F401  # loading it is no part of reading

    with tempfile.TemporaryDirectory() as temporary:
        run(arguments, arguments.folder or Path(temporary))


def run(arguments: argparse.Namespace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    clips = [*lengths(arguments.lengths), *(SPECIAL[name] for name in arguments.special)]
    print_head()
    for clip in clips:
        print_rows(clip, timed(write(clip, folder), arguments.frames, arguments.repeats))
    if not arguments.no_memory:
        print_memory([write(clip, folder) for clip in clips if clip.size[0] > 640])


def timed(path: Path, counts: Sequence[int], repeats: int) -> dict[int, dict[str, list[float]]]:
    """Return the seconds of every round, by number of frames and way; the ways take turns."""
    seconds: dict[int, dict[str, list[float]]] = {}
    for count in counts:
        numbers, times = spread(path, count)
        ways = [way for way in WAYS if way not in READS_ALL or count == counts[0]]
        rounds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way in ways:
                started = time.perf_counter()
                WAYS[way](path, numbers, times)
                rounds[way].append(time.perf_counter() - started)
        seconds[count] = {**{way: seconds[counts[0]][way] for way in READS_ALL if way not in ways}, **rounds}
    return seconds


def spread(path: Path, count: int) -> tuple[list[int], list[float]]:
    """Return `count` evenly spread frames of a file at left edges: numbers and, half a millisecond late, times."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.size)
        base = float(stream.time_base)
    numbers = [len(stamps) * part // count for part in range(count)]
    return numbers, [(stamps[number] - stamps[0]) * base + 0.0005 for number in numbers]


def ratio(rounds: dict[str, list[float]], way: str) -> float:
    return statistics.median(a / b for a, b in zip(rounds[way], rounds[GRAB], strict=True))


def print_head() -> None:
    others = [way for way in WAYS if way != GRAB]
    print("Seconds of sequential grab, and every way's ratio to it:\n")
    print("| file | N | sequential grab, s | " + " | ".join(others) + " |")
    print("| :-- | --: | --: |" + " --: |" * len(others))


def print_rows(clip: Clip, costs: dict[int, dict[str, list[float]]]) -> None:
    for count, rounds in costs.items():
        figures = [f"{ratio(rounds, way):.2f}" for way in WAYS if way != GRAB]
        grab = statistics.median(rounds[GRAB])
        print(f"| {clip.name} | {count} | {grab:.3f} | " + " | ".join(figures) + " |", flush=True)


def print_memory(paths: Sequence[Path]) -> None:
    ways = [f"{OURS}, {MODEL_SIDE_PX} px", *WAYS]
    print(f"\nPeak of resident memory while {MEMORY_FRAMES} frames are read, MiB:\n")
    print("| file | " + " | ".join(ways) + " |")
    print("| :-- |" + " --: |" * len(ways))
    for path in paths:
        peaks = [_peak_in_subprocess(way, path) / 2**20 for way in ways]
        print(f"| {path.stem.replace('_', ' ')} | " + " | ".join(f"{peak:.0f}" for peak in peaks) + " |", flush=True)


def _peak_in_subprocess(way: str, path: Path) -> int:
    command = [sys.executable, "-m", "benchmarks.frames", "--peak-of", way, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_bytes(way: str, file: str) -> int:
    """Return what one read adds to the resident set of this process at most."""
    if way == "transformers":
        import transformers.video_utils  # noqa: F401  # what loading it takes is no part of reading
    path = Path(file)
    numbers, times = spread(path, MEMORY_FRAMES)
    before = _resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # 5: forget the peak of the resident set
    WAYS.get(way, ours_small)(path, numbers, times)
    return _resident_bytes("VmHWM") - before


def _resident_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{name}:")[2].split()[0])


if __name__ == "__main__":
    main()
