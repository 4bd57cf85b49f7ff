"""Pictures and files of the toy world: draw a frame, write a clip, pass a few frames through a codec.

Knows no model; draws with OpenCV.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vreason_agent.errors import ConfigError, VideoDecodeError, quote
from vreason_agent.tiny.scene import COLORS, Scene
from vreason_agent.video import load_cv2
from vreason_agent.video.files import check_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vreason_agent.tiny.world import Clip

CANVAS_PX = 112
CODECS = {".mp4": ("mp4v",), ".avi": ("MJPG", "XVID"), ".mkv": ("mp4v", "VP80"), ".webm": ("VP80",)}
_SHIFT = 4  # OpenCV draws at 1/16 px


def draw_frame(scene: Scene, frame_index: int) -> NDArray[np.uint8]:
    """One frame, uint8 `(CANVAS_PX, CANVAS_PX, 3)` in RGB."""
    image = _background(scene, frame_index)
    slot, unit = scene.slot_of_frame(frame_index), CANVAS_PX / 3
    for sprite in scene.sprites:
        segment = sprite.segment_at(slot)
        if segment is not None:
            x, y = segment.position(slot)
            _draw_shape(image, sprite.shape, COLORS[segment.color], x * unit, y * unit, sprite.radius * unit)
    return image


def _background(scene: Scene, frame_index: int) -> NDArray[np.uint8]:
    image = np.empty((CANVAS_PX, CANVAS_PX, 3), np.uint8)
    image[:] = scene.background
    if not scene.noise_px:
        return image
    tile = _noise_tile(scene.noise_seed, scene.noise_px)
    rng = np.random.default_rng([scene.noise_seed, frame_index])
    top, left = rng.integers(0, CANVAS_PX // 2, 2)
    noise = tile[top : top + CANVAS_PX, left : left + CANVAS_PX]
    noisy: NDArray[np.uint8] = np.clip(image.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return noisy


@lru_cache(maxsize=2)  # a clip is drawn frame by frame
def _noise_tile(noise_seed: int, noise_px: float) -> NDArray[np.int16]:
    size = CANVAS_PX + CANVAS_PX // 2
    normal = np.random.default_rng(noise_seed).standard_normal((size, size, 3), np.float32)
    return (normal * noise_px).astype(np.int16)


def _draw_shape(
    image: NDArray[np.uint8], shape: str, color: tuple[int, int, int], x: float, y: float, radius: float
) -> None:
    cv2, scale = load_cv2(), 1 << _SHIFT
    if shape == "circle":
        center = (round((x - 0.5) * scale), round((y - 0.5) * scale))
        cv2.circle(image, center, round(radius * scale), color, -1, cv2.LINE_AA, _SHIFT)
        return
    points = (np.array(_OUTLINES[shape]) * radius + [x - 0.5, y - 0.5]) * scale
    cv2.fillPoly(image, [np.round(points).astype(np.int32)], color, cv2.LINE_AA, _SHIFT)


_ARM = 0.36
_OUTLINES = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0.0, -1.05), (1.08, 0.9), (-1.08, 0.9)],
    "cross": [
        (-_ARM, -1),
        (_ARM, -1),
        (_ARM, -_ARM),
        (1, -_ARM),
        (1, _ARM),
        (_ARM, _ARM),
        (_ARM, 1),
        (-_ARM, 1),
        (-_ARM, _ARM),
        (-1, _ARM),
        (-1, -_ARM),
        (-_ARM, -_ARM),
    ],
}


def encode(path: str | os.PathLike[str], images: Iterable[NDArray[np.uint8]], *, codec: str, video_fps: float) -> None:
    """Write RGB frames of the world's size into a video file."""
    check_name(os.path.realpath(path))
    if codec == "VP80":
        _encode_vp8(path, images, video_fps=video_fps)
        return
    cv2 = load_cv2()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), video_fps, (CANVAS_PX, CANVAS_PX))
    if not writer.isOpened():
        raise VideoDecodeError(
            f"OpenCV cannot write {quote(str(path))} with codec {quote(codec)}; choose another folder or ending, "
            "such as .mp4"
        )
    for image in images:
        writer.write(np.ascontiguousarray(image[:, :, ::-1]))
    writer.release()


def _encode_vp8(path: str | os.PathLike[str], images: Iterable[NDArray[np.uint8]], *, video_fps: float) -> None:
    """Write VP8 by PyAV: OpenCV's writer prints that the tag VP80 is not supported in WebM."""
    import av

    try:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("libvpx", rate=Fraction(video_fps).limit_denominator(1000))
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = CANVAS_PX, CANVAS_PX, "yuv420p", 2_000_000
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
            container.mux(stream.encode())
    except (av.error.FFmpegError, OSError) as exc:
        raise VideoDecodeError(f"cannot write {quote(str(path))} as VP8; choose another folder or ending") from exc


def decode_all(path: str | os.PathLike[str]) -> list[NDArray[np.uint8]]:
    """Every frame of a file in RGB."""
    capture = load_cv2().VideoCapture(str(path))
    images: list[NDArray[np.uint8]] = []
    while True:
        is_read, image = capture.read()
        if not is_read:
            break
        images.append(np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8))
    capture.release()
    return images


def codec_for(path: str | os.PathLike[str], seed: int) -> str:
    """A codec that suits the file's ending, chosen by `seed`.

    Raises:
        ConfigError: an ending that no codec is known for.
    """
    ending = Path(path).suffix.lower()
    if ending not in CODECS:
        raise ConfigError(
            f"cannot write {quote(str(path))}: choose an ending among {', '.join(CODECS)}, such as demo.mp4"
        )
    return CODECS[ending][seed % len(CODECS[ending])]


def write_clip(path: str | os.PathLike[str], clip: Clip, *, codec: str | None = None) -> Path:
    """Write the clip's video file and, beside it, a JSON with its questions, answers and event times.

    The file appears whole or, if this is interrupted, not at all.

    Args:
        path: file to write; its ending decides the container.
        clip: the clip.
        codec: four-letter code; chosen by the clip's seed where None.

    Returns:
        Path of the JSON file: `path` with the ending ``.json``.
    """
    codec = codec or codec_for(path, clip.seed)
    part = Path(path).with_stem(f".{Path(path).stem}.part")
    try:
        encode(
            part,
            (draw_frame(clip.scene, i) for i in range(clip.scene.num_frames)),
            codec=codec,
            video_fps=clip.scene.video_fps,
        )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return write_facts(path, clip, codec)


def write_facts(path: str | os.PathLike[str], clip: Clip, codec: str) -> Path:
    """Write the JSON beside a clip's video file, and return its path."""
    facts = Path(path).with_suffix(".json")
    written = {"video": Path(path).name, **describe_clip(clip, codec)}
    facts.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return facts


def describe_clip(clip: Clip, codec: str) -> dict[str, object]:
    """The plain data that stands beside a clip."""
    scene = clip.scene
    return {
        "seed": clip.seed,
        "split": clip.split,
        "scene_set": clip.scene_set,
        "signature": clip.signature,
        "codec": codec,
        "video_fps": scene.video_fps,
        "num_frames": scene.num_frames,
        "duration_seconds": scene.duration_seconds,
        "questions": [asdict(question) | {"options": list(question.options)} for question in clip.questions],
    }


def recode(images: Sequence[NDArray[np.uint8]], path: str, *, codec: str) -> list[NDArray[np.uint8]]:
    """Frames as they come back from a file: written to `path`, read, and the file removed."""
    encode(path, images, codec=codec, video_fps=10.0)
    try:
        back = decode_all(path)
    finally:
        os.remove(path)
    if len(back) != len(images):
        raise VideoDecodeError(f"codec {quote(codec)} gave back {len(back)} of {len(images)} frames; use another codec")
    return back
