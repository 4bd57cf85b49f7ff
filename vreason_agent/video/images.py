"""Still pictures: decoding one from a path or bytes, and fitting one into a size. Knows no video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import VideoDecodeError, VideoError
from vreason_agent.video.image_size import Size
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.opencv import load_cv2, quiet_cv2
from vreason_agent.video.picture_file import (
    Encoded,
    checked_size,
    picture_bytes,
    picture_name,
    picture_size,
    undecodable,
)
from vreason_agent.video.source import Roots, Source

Picture = NDArray[np.uint8]
_JPEG_HEAD, _BMP_HEAD = b"\xff\xd8", b"BM"


def read_image(source: Encoded, *, limits: Limits = DEFAULT_LIMITS, roots: Roots | None = None) -> Picture:
    """Read one picture.

    Args:
        source: Path of an image file, or its encoded bytes.
        limits: Upper bounds, checked before anything is decoded.
        roots: Folders that a file must lie in, links resolved; `None` allows any file.

    Returns:
        `uint8 (height, width, 3)` in RGB.

    Raises:
        ConfigError: `source` is neither a path nor bytes.
        VideoNotFoundError: No such file.
        VideoError: No regular file, one outside the roots, or one that may not be read.
        VideoDecodeError: Not a picture, or damaged.
        VideoTooLargeError: More bytes than `limits.max_bytes`, or pixels than `limits.max_pixels`, or in a file more
            bytes than so many pixels can need.
    """
    return _decoded(source, limits, roots)


def read_checked_image(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Read the picture that was checked; raises as `read_image` does, and if the file has changed."""
    return _decoded(source, limits)


def _check_decoded(shape: tuple[int, ...], size: Size, source: Encoded | Source) -> None:
    """Refuse a picture of another size than was checked; a mark of orientation may have turned it."""
    if sorted(shape[:2]) != sorted(size):
        msg = (
            f"{picture_name(source)} is damaged: its header tells {size.width}x{size.height} pixels and the decoder "
            f"finds {shape[1]}x{shape[0]}; save it anew as a PNG or JPEG"
        )
        raise VideoDecodeError(msg)


def common_size(
    paths: Sequence[str], folder: str, *, limits: Limits = DEFAULT_LIMITS, roots: Roots | None = None
) -> tuple[int, int]:
    """Return height and width in pixels of the pictures of a folder, from their headers wherever these agree.

    Raises:
        VideoDecodeError: If two of them differ in size, or one that has to be decoded cannot be.
    """
    height, width = read_image(paths[0], limits=limits, roots=roots).shape[:2]
    header = _header_size(paths[0], limits, roots)
    for path in paths[1:]:
        if header is not None and _header_size(path, limits, roots) == header:
            continue
        turned = read_image(path, limits=limits, roots=roots)  # a photograph that may yet be of the same size
        other = turned.shape[:2]
        if other != (height, width):
            sizes = f"{os.path.basename(paths[0])} {width}x{height}, {os.path.basename(path)} {other[1]}x{other[0]}"
            msg = f"the frames of {folder!r} differ in size ({sizes}); bring them to one size"
            raise VideoDecodeError(msg)
    return height, width


def _header_size(path: str, limits: Limits, roots: Roots | None) -> Size | None:
    try:
        return picture_size(path, limits, roots)
    except VideoError:
        return None  # decoding it tells why


def fit_within(image: Picture, max_side_px: int | None) -> Picture:
    """Scale a picture down to a longer side of at most `max_side_px`; `None` and small pictures change nothing."""
    height, width = image.shape[:2]
    size = size_within(width, height, max_side_px)
    if size == (width, height):
        return image
    cv2 = load_cv2()
    resized: Picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return resized


def size_within(width: int, height: int, max_side_px: int | None) -> tuple[int, int]:
    """Return width and height that `fit_within` gives a picture."""
    if max_side_px is None or max(height, width) <= max_side_px:
        return width, height
    scale = max_side_px / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decoded(source: Encoded | Source, limits: Limits, roots: Roots | None = None) -> Picture:
    data = picture_bytes(source, limits, roots)
    size = checked_size(data, source, limits)
    with quiet_cv2() as cv2:
        try:
            image = _decoded_bgr(cv2, data)
        except cv2.error as exc:  # its text is native and stays out of the message
            raise VideoDecodeError(undecodable(source)) from exc
    if image is None:
        raise VideoDecodeError(undecodable(source))
    _check_decoded(image.shape, size, source)
    picture: Picture = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return picture


def _decoded_bgr(cv2: ModuleType, data: bytes) -> NDArray[np.uint8] | None:
    """Decode a picture as a viewer shows it: turned upright, and composited on white where it has transparency."""
    encoded = np.frombuffer(data, dtype=np.uint8)
    image: NDArray[np.uint8] | None = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if image is None or data[:2] in (_JPEG_HEAD, _BMP_HEAD):
        return image  # JPEG has no transparency, and viewers ignore the fourth channel of a BMP
    whole = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if whole is None or whole.ndim != 3 or whole.shape[2] != 4 or whole.shape[:2] != image.shape[:2]:
        return image
    return on_white(image, whole[..., 3:])


def on_white(picture: Picture, alpha: NDArray[Any]) -> Picture:
    """Composite a picture on white.

    Args:
        picture: `uint8 (height, width, 3)`.
        alpha: Unsigned integers `(height, width, 1)`; the largest value of their kind is opaque.
    """
    opacity = alpha.astype(np.float32) / np.iinfo(alpha.dtype).max
    return np.rint(picture * opacity + 255 * (1 - opacity)).astype(np.uint8)
