"""Clips of every kind that trips readers, each encoded once, and a full sequential decode to hold reads against.

A frame's brightness is its number, so that a wrong one is seen at once.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48
MILLISECOND = Fraction(1, 1000)
X264 = "log-level=none:scenecut=0"
EVEN = tuple(range(0, 4000, 40))
VARIABLE = tuple(np.cumsum([0, *([33, 33, 67, 16, 50] * 20)]).tolist())
BREATHING = (*range(0, 2000, 40), *range(5000, 7000, 20))  # a pause of three seconds, then twice the rate


def numbered(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a BGR picture whose left half is bright by the frame's number modulo 16 and right half by its quotient."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = 8 + 15 * (index % 16)
    picture[:, width // 2 :] = 8 + 15 * (index // 16 % 16)
    return picture


def number_of(image: np.ndarray) -> int:
    """Return the number that `numbered` drew."""
    width = image.shape[1]
    low, high = image[:, 4 : width // 2 - 4].mean(), image[:, width // 2 + 4 : -4].mean()
    return int(round((low - 8) / 15) + 16 * round((high - 8) / 15))


@dataclass(frozen=True)
class Clip:
    """A clip to encode: its name, the codec, and when each frame is shown."""

    name: str
    codec: str = "libx264"
    times_ms: tuple[int, ...] = EVEN
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (WIDTH, HEIGHT)
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    second_stream: bool = False
    cut: Callable[[Path], None] | None = None

    def write(self, path: Path) -> Path:
        """Encode it."""
        with av.open(str(path), "w", options=self.container_options) as container:
            streams = [self._stream(container) for _ in range(1 + self.second_stream)]
            for index, time_ms in enumerate(self.times_ms):
                for turn, stream in enumerate(streams):
                    container.mux(stream.encode(self._frame((index + 128 * turn) % 256, time_ms)))
            for stream in streams:
                container.mux(stream.encode())
        if self.cut is not None:
            self.cut(path)
        return path

    def _stream(self, container: Any) -> Any:
        stream: Any = container.add_stream(self.codec, rate=25, options=self.options)
        stream.width, stream.height, stream.pix_fmt = *self.size, self.pix_fmt
        if not self.name.endswith("avi") and self.codec not in ("mpeg2video", "gif", "flv"):
            stream.codec_context.time_base = MILLISECOND
        if self.rotation:
            stream.set_display_rotation(self.rotation)
        return stream

    def _frame(self, number: int, time_ms: int) -> Any:
        picture = numbered(number, width=self.size[0], height=self.size[1])
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=self.pix_fmt)
        frame.pts, frame.time_base = time_ms, MILLISECOND
        return frame


def _drop_start(path: Path) -> None:
    """Let a stream begin within a group of pictures: cut off its first twenty packets."""
    with av.open(str(path)) as container:
        begin = [packet.pos for packet in container.demux(video=0) if packet.dts is not None][20]
    assert begin is not None
    path.write_bytes(path.read_bytes()[begin:])


def _stream_copy(path: Path) -> None:
    """Cut as `ffmpeg -ss 1.5 -i SOURCE -c copy TARGET`: an edit list hides what leads to the first frame."""
    whole = path.rename(path.with_name(f"whole-{path.name}"))
    with av.open(str(whole)) as reader, av.open(str(path), "w", options={"movflags": "faststart"}) as writer:
        taken, given = reader.streams.video[0], writer.add_stream_from_template(reader.streams.video[0])
        assert taken.time_base is not None
        start = round(1.5 / taken.time_base)
        reader.seek(start, stream=taken)
        for packet in reader.demux(taken):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, given
                writer.mux(packet)
    whole.unlink()


_GOP = {"g": "20", "bf": "2", "x264-params": X264}
HAZARDS: dict[str, Clip] = {
    "variable rate": Clip("a.mp4", times_ms=VARIABLE, options=_GOP),
    "variable rate in matroska": Clip("a.mkv", times_ms=VARIABLE, options=_GOP),
    "a pause and another rate": Clip("a.mp4", times_ms=BREATHING, options=_GOP),
    "B-frames": Clip("a.mp4", options={"g": "40", "bf": "3", "x264-params": f"{X264}:b-pyramid=normal"}),
    "B-frames in avi": Clip("a.avi", options=_GOP),
    "one keyframe": Clip("a.mp4", options={"g": "999", "x264-params": X264}),
    "open GOP": Clip("a.mp4", options={"x264-params": f"{X264}:open-gop=1:keyint=30:bframes=3"}),
    "open GOP in ts": Clip("a.ts", options={"x264-params": f"{X264}:open-gop=1:keyint=30:bframes=3"}),
    "intra refresh": Clip("a.mkv", options={"x264-params": f"{X264}:intra-refresh=1:keyint=30:bframes=0"}),
    "negative start": Clip("a.mp4", times_ms=tuple(range(-200, 3800, 40)), options=_GOP),
    "late start": Clip("a.mkv", codec="mpeg4", times_ms=tuple(range(2000, 6000, 40))),
    "late start in ts": Clip("a.ts", times_ms=tuple(range(2000, 6000, 40)), options=_GOP),
    "edit list": Clip("a.mp4", times_ms=tuple(range(0, 8000, 40)), options=_GOP, cut=_stream_copy),
    "fragments": Clip("a.mp4", options=_GOP, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "MPEG-PS": Clip("a.mpg", codec="mpeg2video", options={"bf": "2", "g": "18", "sc_threshold": "1000000000"}),
    "MPEG-TS": Clip("a.ts", codec="mpeg2video", options={"bf": "2", "g": "18", "sc_threshold": "1000000000"}),
    "a stream cut at its start": Clip("a.ts", times_ms=tuple(range(0, 6000, 40)), options=_GOP, cut=_drop_start),
    "webm without duration": Clip("a.webm", codec="libvpx", container_options={"live": "1"}, options={"g": "20"}),
    "GIF": Clip("a.gif", codec="gif", pix_fmt="rgb8", times_ms=tuple(range(0, 4000, 100))),
    "FLV": Clip("a.flv", codec="flv"),
    "WMV": Clip("a.wmv", codec="wmv2"),
    "rotation": Clip("a.mp4", options=_GOP, rotation=90),
    "odd size": Clip(
        "a.mp4", codec="libvpx-vp9", size=(65, 49), times_ms=EVEN[:40], options={"g": "10", "cpu-used": "8"}
    ),
    "10 bit": Clip(
        "a.mp4", codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": "open-gop=1:keyint=30:log-level=none"}
    ),
    "interlaced": Clip("a.mp4", options={"g": "20", "x264-params": f"{X264}:tff=1"}),
    "one frame": Clip("a.mp4", codec="mpeg4", times_ms=(0,)),
    "two streams": Clip("a.mp4", options=_GOP, second_stream=True),
}


class Oracle:
    """A full sequential decode of a file by PyAV, in one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _frames(self) -> list[tuple[float, np.ndarray]]:
        frames: list[tuple[float, np.ndarray]] = []
        with av.open(str(self.path)) as container:
            stream: Any = container.streams.video[0]
            is_counted = container.format.name == "avi" and stream.codec_context.has_b_frames
            for number, frame in enumerate(container.decode(stream)):
                time = frame.time
                if time is None or is_counted:  # the last frame of MPEG-PS has none
                    time = (0 if is_counted else frames[0][0]) + number / float(stream.average_rate)
                frames.append((time, np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90 % 4)))
        return frames

    @cached_property
    def times(self) -> list[float]:
        """Presentation times from the first frame's."""
        return [time - self._frames[0][0] for time, _ in self._frames]

    @property
    def pictures(self) -> list[np.ndarray]:
        """Every frame in RGB, upright."""
        return [picture for _, picture in self._frames]

    def number_at(self, seconds: float) -> int:
        """Return which frame is shown at a time."""
        return bisect.bisect_right(self.times, seconds + 1e-6) - 1


def write_opencv(
    path: Path, *, num_frames: int = 60, fps: float = 25.0, fourcc: str = "mp4v", size=(WIDTH, HEIGHT)
) -> Path:
    """Write a clip with OpenCV's writer."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), fps, size)
    for index in range(num_frames):
        writer.write(numbered(index, width=size[0], height=size[1]))
    writer.release()
    return path
