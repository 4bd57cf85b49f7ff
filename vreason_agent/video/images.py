"""Still pictures: reading one from a path or bytes, and fitting one into a size. Knows no video."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import VideoDecodeError, VideoError, VideoNotFoundError, VideoTooLargeError
from vreason_agent.video.capture import load_cv2
from vreason_agent.video.image_size import image_size
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.regular_file import NotRegularError, open_regular, open_where_it_is
from vreason_agent.video.source import Roots, Source, check_inside, path_text, real_path

Picture = NDArray[np.uint8]
_HEADER_BYTES = 1 << 16  # a JPEG's size may stand behind a thumbnail
_SPARE_BYTES = 64 * 2**20  # of a picture file for all that is not pixels
_MAX_PIXEL_BYTES = 8  # four channels of 16 bits that are not compressed


def read_image(
    source: str | os.PathLike[str] | bytes, *, limits: Limits = DEFAULT_LIMITS, roots: Roots | None = None
) -> Picture:
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
    if isinstance(source, bytes):
        _check_bytes("image data", len(source), limits)
        return _decode(source, f"{len(source)} bytes of image data", limits)
    given = path_text(source)
    opened = partial(_open, _located(given, roots), follows=roots is None)
    return _decode(_read_bytes(opened, given, limits), repr(given), limits)


def read_checked_image(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Read the picture that was checked; raises as `read_image` does, and if the file has changed."""
    return _decode(_read_bytes(partial(open_pinned, source), source.path, limits), repr(source.path), limits)


def common_size(
    paths: Sequence[str], folder: str, *, limits: Limits = DEFAULT_LIMITS, roots: Roots | None = None
) -> tuple[int, int]:
    """Return height and width in pixels of the pictures of a folder, from their headers wherever these agree.

    Raises:
        VideoDecodeError: If two of them differ in size, or one that has to be decoded cannot be.
    """
    height, width = read_image(paths[0], limits=limits, roots=roots).shape[:2]
    header = _header_size(paths[0], roots)
    for path in paths[1:]:
        if _header_size(path, roots) == header:
            continue
        other = read_image(path, limits=limits, roots=roots).shape[
            :2
        ]  # a turned photograph may yet be of the same size
        if other != (height, width):
            sizes = f"{os.path.basename(paths[0])} {width}x{height}, {os.path.basename(path)} {other[1]}x{other[0]}"
            msg = f"the frames of {folder!r} differ in size ({sizes}); bring them to one size"
            raise VideoDecodeError(msg)
    return height, width


def _header_size(path: str, roots: Roots | None) -> tuple[int, int] | None:
    try:
        with _open(_located(path, roots), follows=roots is None) as file:
            return image_size(file.read(_HEADER_BYTES))
    except OSError:
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


def _decode(data: bytes, name: str, limits: Limits) -> Picture:
    size = image_size(data)
    if size is None:
        raise VideoDecodeError(_undecodable(name))
    _check_pixels(size, name, limits)
    cv2 = load_cv2()
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as exc:  # its text is native and stays out of the message
        raise VideoDecodeError(_undecodable(name)) from exc
    if image is None:
        raise VideoDecodeError(_undecodable(name))
    picture: Picture = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return picture


def _check_pixels(size: tuple[int, int], name: str, limits: Limits) -> None:
    if size[0] * size[1] > limits.max_pixels:
        msg = f"{name} is {size[0]}x{size[1]} pixels, more than max_pixels={limits.max_pixels:,}; scale it down first"
        raise VideoTooLargeError(msg)


def _undecodable(name: str) -> str:
    return f"{name} cannot be decoded as a picture; give a JPEG, PNG, WebP or BMP"


def _bounded_bytes(given: str, num_bytes: int, limits: Limits) -> int:
    """Return the size of a picture file unless that is more than the largest picture needs."""
    most = _SPARE_BYTES + _MAX_PIXEL_BYTES * limits.max_pixels
    if num_bytes > most:
        msg = (
            f"{given!r} has {num_bytes:,} bytes, more than the {most:,} that a picture of "
            f"max_pixels={limits.max_pixels:,} needs; save it anew as a PNG or JPEG"
        )
        raise VideoTooLargeError(msg)
    return num_bytes


def _check_bytes(name: str, num_bytes: int, limits: Limits) -> None:
    if num_bytes > limits.max_bytes:
        msg = f"{name} has {num_bytes:,} bytes, more than max_bytes={limits.max_bytes:,}; scale it down"
        raise VideoTooLargeError(msg)


def _located(given: str, roots: Roots | None) -> str:
    """Return a path as it is, or where it has to lie in the roots the real one."""
    if roots is None:
        return given
    path = real_path(given)
    check_inside(path, given, roots)
    return path


def _open(path: str, *, follows: bool) -> BinaryIO:
    """Open a file; unless links are followed, not by one that has come into its path since."""
    return os.fdopen(open_regular(path, follows=True), "rb") if follows else open_where_it_is(path)


def _read_bytes(opened: Callable[[], BinaryIO], given: str, limits: Limits) -> bytes:
    """Return what is in a file."""
    try:
        with opened() as file:
            num_bytes = os.fstat(file.fileno()).st_size
            _check_bytes(repr(given), num_bytes, limits)
            _bounded_bytes(given, num_bytes, limits)
            _check_pixels(image_size(file.read(_HEADER_BYTES)) or (0, 0), repr(given), limits)
            file.seek(0)
            return file.read(num_bytes)
    except NotRegularError as exc:
        msg = f"{given!r} is not a regular file; give the path of an image file"
        raise VideoError(msg) from exc
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
        msg = f"no such image: {given!r}; check the path, e.g. with: ls {os.path.dirname(given) or '.'}"
        raise VideoNotFoundError(msg) from exc
    except OSError as exc:
        msg = f"{given!r} cannot be read; check its permissions, e.g. with: ls -l {given}"
        raise VideoError(msg) from exc
