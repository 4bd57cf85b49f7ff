"""Files for the benchmark of reading frames: short clips are encoded once, and their packets looped to any length.

Needs PyAV with libx264. Knows nothing about reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np

FPS = 25
TICK = Fraction(1, 1000 * FPS)  # a frame at a constant rate lasts 1000 ticks
FRAME_TICKS = 1000
UNEVEN_TICKS = (1000, 1000, 2000, 500, 1500)  # durations of the variable-rate file's frames, in turn


class Clip(NamedTuple):
    """A file to read: its name, and the length and the make of it."""

    name: str
    seconds: float
    size: tuple[int, int] = (160, 90)
    gop: int = 50
    num_encoded: int = 250
    durations: Sequence[int] = (FRAME_TICKS,)


def lengths(seconds: Sequence[float]) -> list[Clip]:
    """Return regular clips that differ in length alone: a keyframe every 2 s, in 160x90."""
    return [Clip(f"regular, {told(length)}", length) for length in seconds]


SPECIAL = {
    "720p": Clip("720p, 4 min", 240.0, size=(1280, 720), gop=125),
    "variable": Clip("variable rate, 4 min", 240.0, durations=UNEVEN_TICKS),
    "long-gops": Clip("keyframe every 60 s, 4 min", 240.0, gop=1500, num_encoded=1500),
}


def told(seconds: float) -> str:
    """Word a length."""
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"


def write(clip: Clip, folder: Path) -> Path:
    """Write a clip and return its path; one that is there is taken as it is."""
    path = folder / f"{clip.name.replace(' ', '_').replace(',', '')}.mp4"
    if not path.exists():
        base = folder / f"base_{clip.size[0]}_{clip.gop}_{len(clip.durations)}.mp4"
        if not base.exists():
            _encode(clip, base)
        part = path.with_suffix(".part.mp4")
        _loop(base, part, clip.seconds)
        part.rename(path)
    return path


def _encode(clip: Clip, path: Path) -> None:
    options = {"preset": "veryfast", "bf": "2", "sc_threshold": "0", "g": str(clip.gop), "keyint_min": str(clip.gop)}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *clip.size, "yuv420p"
        stream.codec_context.time_base = TICK
        ticks = 0
        for number in range(clip.num_encoded):
            frame = av.VideoFrame.from_ndarray(_picture(number, clip.size), format="bgr24")
            frame.pts, frame.time_base = ticks, TICK
            container.mux(stream.encode(frame))
            ticks += clip.durations[number % len(clip.durations)]
        container.mux(stream.encode())


def _picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth texture that scrolls, a disc that moves over it, and a little noise: a camera's picture, about."""
    width, height = size
    random = np.random.default_rng(0)
    texture = cv2.resize(random.integers(0, 255, (24, 40, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    picture = np.roll(texture, 3 * number, axis=1)
    cv2.circle(picture, (7 * number % width, height // 2), height // 6, (40, 200, 240), -1)
    noise = np.random.default_rng(number).integers(-4, 5, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _loop(base: Path, path: Path, seconds: float) -> None:
    """Write the packets of `base` over and over, as often as makes up `seconds`."""
    with av.open(str(base)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        times = sorted(packet.pts for packet in packets)
        period = times[-1] + times[1] - times[0]  # the first gap stands in for the last frame's length
        with av.open(str(path), "w") as container:
            copy = container.add_stream_from_template(stream)
            for turn in range(round(seconds / float(period * stream.time_base))):
                for packet in packets:
                    again = av.Packet(bytes(packet))
                    again.pts, again.dts = packet.pts + turn * period, packet.dts + turn * period
                    again.duration, again.is_keyframe = packet.duration, packet.is_keyframe
                    again.time_base, again.stream = stream.time_base, copy
                    container.mux(again)
