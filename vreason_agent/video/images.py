"""Still pictures: reading one from a path or bytes, and fitting one into a size. Knows no video."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import VideoDecodeError, VideoNotFoundError, VideoTooLargeError
from vreason_agent.video.capture import load_cv2
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits

Picture = NDArray[np.uint8]


def read_image(source: str | os.PathLike[str] | bytes, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Read one picture.

    Args:
        source: Path of an image file, or its encoded bytes.
        limits: Upper bounds.

    Returns:
        `uint8 (height, width, 3)` in RGB.

    Raises:
        VideoNotFoundError: No such file.
        VideoDecodeError: Not a picture, or damaged.
        VideoTooLargeError: More pixels than `limits.max_pixels`.
    """
    name = f"{len(source)} bytes of image data" if isinstance(source, bytes) else repr(os.fspath(source))
    cv2 = load_cv2()
    data = np.frombuffer(source if isinstance(source, bytes) else _read_bytes(source), dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        msg = f"{name} cannot be decoded as a picture; give a JPEG, PNG, WebP or BMP"
        raise VideoDecodeError(msg)
    if image.shape[0] * image.shape[1] > limits.max_pixels:
        msg = f"{name} is {image.shape[1]}x{image.shape[0]} pixels, more than {limits.max_pixels:,}; scale it down"
        raise VideoTooLargeError(msg)
    picture: Picture = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return picture


def fit_within(image: Picture, max_side_px: int | None) -> Picture:
    """Scale a picture down to a longer side of at most `max_side_px`; `None` and small pictures change nothing."""
    height, width = image.shape[:2]
    if max_side_px is None or max(height, width) <= max_side_px:
        return image
    scale = max_side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    cv2 = load_cv2()
    resized: Picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return resized


def _read_bytes(path: Any) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as exc:
        msg = f"no such image: {os.fspath(path)!r}; check the path"
        raise VideoNotFoundError(msg) from exc
