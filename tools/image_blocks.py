"""Pictures as LangChain content blocks of bounded size.

This module knows nothing about video: it takes RGB arrays.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..video import load_cv2
from .arguments import ToolLimits

Image = NDArray[np.uint8]
Block = dict[str, Any]

_QUALITIES = (85, 70, 50, 30)
_SHRINK = 0.75


def fit(image: Image, max_side_px: int, *, max_enlargement: float = 1.0) -> Image:
    """Scale an image so that its longer side is at most `max_side_px`, keeping its proportions.

    Args:
        image: RGB, `(height, width, 3)`, uint8.
        max_side_px: Longer side of the result in pixels.
        max_enlargement: Smaller images are enlarged up to this factor; 1 never enlarges.

    Returns:
        RGB, `(new_height, new_width, 3)`, uint8; the same object if nothing had to change.
    """
    height, width = image.shape[:2]
    scale = min(max_side_px / max(height, width), max_enlargement)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return image
    cv2 = load_cv2()
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(resized, dtype=np.uint8)


def encode_jpeg(image: Image, *, max_bytes: int) -> bytes:
    """Encode an RGB image `(height, width, 3)` as a JPEG of at most `max_bytes`, first coarser, then smaller.

    Args:
        image: RGB, uint8.
        max_bytes: Upper bound of the result; 4096 and more can always be met.
    """
    while True:
        for quality in _QUALITIES:
            data = _jpeg(image, quality)
            if len(data) <= max_bytes:
                return data
        image = fit(image, max(1, int(max(image.shape[:2]) * _SHRINK)))


def image_block(image: Image, limits: ToolLimits) -> Block:
    """Return a standard image block within the limits.

    It has no generated `id`, so that the same frame gives the same message, which caches depend on.
    """
    data = encode_jpeg(fit(image, limits.max_side_px), max_bytes=limits.max_image_bytes)
    return {"type": "image", "base64": base64.b64encode(data).decode("ascii"), "mime_type": "image/jpeg"}


def text_block(text: str) -> Block:
    """Return a standard text block."""
    return {"type": "text", "text": text}


def _jpeg(image: Image, quality: int) -> bytes:
    cv2 = load_cv2()
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)
