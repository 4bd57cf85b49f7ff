"""Still pictures: checked, decoded upright and on white, and fitted into a size. Knows no video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import DependencyError, VideoDecodeError
from vreason_agent.video.files import DescriptorFile, open_picture
from vreason_agent.video.image_headers import BMP_HEAD, JPEG_HEAD, image_size
from vreason_agent.video.read_options import DEFAULT_OPTIONS, Limits, ReadOptions
from vreason_agent.video.types import Picture, Size

Encoded = str | os.PathLike[str] | bytes
"""A picture: the path of its file, or what is in it."""

_HEADER_BYTES = 1 << 16  # a JPEG's size may stand behind a thumbnail, and then farther on
_SPARE_BYTES = 64 * 2**20  # of a picture file for all that is not pixels
_MAX_PIXEL_BYTES = 8  # four channels of 16 bits that are not compressed


def load_cv2() -> ModuleType:
    """Return OpenCV, which writes no log of its own to stderr from then on, unless `OPENCV_LOG_LEVEL` is set.

    Raises:
        DependencyError: If it is not installed, a system library is missing, or it is what one wheel left of another.
    """
    try:
        import cv2

        _ = cv2.VideoCapture, cv2.imdecode, cv2.utils  # of an empty folder none is there
    except (ImportError, OSError, AttributeError, SystemError) as exc:
        msg = (
            "OpenCV (cv2) cannot be loaded; on a machine without libGL, and where a part of it is gone, use the "
            "headless build: pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless"
        )
        raise DependencyError(msg) from exc
    if os.environ.get("OPENCV_LOG_LEVEL", "SILENT") == "SILENT":
        getattr(cv2.utils, "logging", cv2).setLogLevel(0)  # before OpenCV 4.13 in `cv2` itself
    return cv2


def read_image(source: Encoded, options: ReadOptions = DEFAULT_OPTIONS) -> Picture:
    """Read one picture in this process; `read_images` knows isolation.

    Args:
        source: Path of an image file, or its encoded bytes.
        options: Allowed folders and limits.

    Returns:
        `uint8 (height, width, 3)` in RGB, upright, transparent pixels on white.

    Raises:
        ConfigError: `source` is neither a path nor bytes.
        VideoNotFoundError: No such file.
        VideoError: No regular file, one outside the roots, or one that may not be read.
        VideoDecodeError: Not a picture, or damaged.
        VideoTooLargeError: More bytes than `limits.max_bytes`, or pixels than `limits.max_pixels`, or in a file more
            bytes than so many pixels can need.
    """
    name, data = read_encoded(source, options)
    return decode_image(data, name, options.limits)


def read_encoded(source: Encoded, options: ReadOptions) -> tuple[str, bytes]:
    """Return what messages call a picture, and its bytes; raises as `read_image` does before it decodes."""
    if not isinstance(source, bytes):
        with open_picture(source, options.roots) as (name, file):
            return name, read_checked(file, name, options.limits)
    name = f"{len(source)} bytes of image data"
    options.limits.check("max_bytes", len(source), name)
    return name, source


def read_checked(file: DescriptorFile, name: str, limits: Limits) -> bytes:
    """Return the bytes of an open picture file; raises as `read_image` does before it decodes."""
    head = _read_head(file, name, limits)
    if (size := image_size(head)) is not None:
        _check_pixels(size, name, limits)
    return head + file.read(max(0, file.num_bytes - len(head)))


def _read_head(file: DescriptorFile, name: str, limits: Limits) -> bytes:
    limits.check("max_bytes", file.num_bytes, f"{name} has {file.num_bytes:,} bytes")
    if file.num_bytes > _SPARE_BYTES + _MAX_PIXEL_BYTES * limits.max_pixels:
        num_pixels = file.num_bytes // _MAX_PIXEL_BYTES
        limits.check("max_pixels", num_pixels, f"{name} has {file.num_bytes:,} bytes, as many as {num_pixels:,} pixels")
    return file.read(_HEADER_BYTES)


def encoded_size(source: Encoded, options: ReadOptions) -> Size:
    """Return the size that a picture's header tells; raises as `read_image` does before it decodes."""
    if isinstance(source, bytes):
        name, data = read_encoded(source, options)
        return checked_size(data, name, options.limits)
    with open_picture(source, options.roots) as (name, file):
        head = _read_head(file, name, options.limits)
        if head.startswith(JPEG_HEAD) and image_size(head) is None:
            head += file.read(file.num_bytes - len(head))
        return checked_size(head, name, options.limits)


def checked_size(data: bytes, name: str, limits: Limits) -> Size:
    """Return the size of a picture of which these are the bytes.

    Raises:
        VideoDecodeError: If its header tells none.
        VideoTooLargeError: If it has more pixels than `limits.max_pixels`.
    """
    size = image_size(data)
    if size is None:
        raise VideoDecodeError(_undecodable(name))
    _check_pixels(size, name, limits)
    return size


def _check_pixels(size: Size, name: str, limits: Limits) -> None:
    limits.check("max_pixels", size.width * size.height, f"{name} is {size.width}x{size.height} pixels")


def decode_image(data: bytes, name: str, limits: Limits) -> Picture:
    """Decode a picture as a viewer shows it: turned upright, and composited on white where it has transparency.

    Raises:
        VideoDecodeError: If it is none, damaged, or of another size than its header tells.
        VideoTooLargeError: If it has more pixels than `limits.max_pixels`.
    """
    size, cv2 = checked_size(data, name, limits), load_cv2()
    encoded = np.frombuffer(data, dtype=np.uint8)
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        if image is None:
            raise VideoDecodeError(_undecodable(name))
        check_decoded_size(image.shape, size, name)
        if not data.startswith((JPEG_HEAD, BMP_HEAD)):  # no transparency, or one that viewers ignore
            whole = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
            if whole is not None and whole.shape == (*image.shape[:2], 4):
                image = on_white(image, whole[..., 3:])
    except cv2.error as exc:  # its text is native and stays out of the message
        raise VideoDecodeError(_undecodable(name)) from exc
    picture: Picture = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return picture


def check_decoded_size(shape: Sequence[int], size: Size, name: str) -> None:
    """Refuse a picture of another size than was checked; a mark of orientation may have turned it."""
    if sorted(shape[:2]) != sorted(size):
        told = f"its header tells {size.width}x{size.height} pixels and the decoder finds {shape[1]}x{shape[0]}"
        msg = f"{name} is damaged: {told}; save it anew as a PNG or JPEG"
        raise VideoDecodeError(msg)


def on_white(picture: Picture, alpha: NDArray[Any]) -> Picture:
    """Composite a picture on white.

    Args:
        picture: `uint8 (height, width, 3)`.
        alpha: Unsigned integers `(height, width, 1)`; the largest value of their kind is opaque.
    """
    opacity = alpha.astype(np.float32) / np.iinfo(alpha.dtype).max
    return np.rint(picture * opacity + 255 * (1 - opacity)).astype(np.uint8)


def fit_within(image: Picture, max_side_px: int | None) -> Picture:
    """Scale a picture down to a longer side of at most `max_side_px`; `None` and small pictures change nothing."""
    height, width = image.shape[:2]
    size = size_within(Size(width, height), max_side_px)
    if size == (width, height):
        return image
    cv2 = load_cv2()
    resized: Picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return resized


def size_within(size: Size, max_side_px: int | None) -> Size:
    """Return the size that `fit_within` gives a picture."""
    longer = max(size)
    if max_side_px is None or longer <= max_side_px:
        return size
    return Size(*(max(1, round(side * max_side_px / longer)) for side in size))


def _undecodable(name: str) -> str:
    return f"{name} cannot be decoded as a picture; give a JPEG, PNG, WebP or BMP, saved anew if a viewer opens it"
