"""The file of a picture: whether it may be read, its bytes, and its size before they are decoded. Knows no decoder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from vreason_agent.errors import VideoDecodeError, VideoError, VideoNotFoundError, VideoTooLargeError
from vreason_agent.video.image_size import Size, image_size
from vreason_agent.video.limits import Limits, check_pixels
from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.regular_file import NotRegularError, open_regular, open_where_it_is
from vreason_agent.video.source import Roots, Source, check_inside, path_text, real_path
from vreason_agent.video.url_text import shown

Encoded = str | os.PathLike[str] | bytes
"""A picture: the path of its file, or what is in it."""

_HEADER_BYTES = 1 << 16  # a JPEG's size may stand behind a thumbnail, and then farther on
_JPEG_HEAD = b"\xff\xd8"
_SPARE_BYTES = 64 * 2**20  # of a picture file for all that is not pixels
_MAX_PIXEL_BYTES = 8  # four channels of 16 bits that are not compressed


def picture_name(source: Encoded | Source) -> str:
    """Return what messages call a picture."""
    return f"{len(source)} bytes of image data" if isinstance(source, bytes) else repr(_given(source))


def picture_bytes(source: Encoded | Source, limits: Limits, roots: Roots | None = None) -> bytes:
    """Return the encoded bytes of a picture; raises as `read_image` does before it decodes."""
    if isinstance(source, bytes):
        _check_bytes("image data", len(source), limits)
        return source
    with _opened(source, limits, roots) as (file, num_bytes):
        _check_pixels(image_size(file.read(_HEADER_BYTES)), picture_name(source), limits)
        file.seek(0)
        return file.read(num_bytes)


def picture_size(source: Encoded, limits: Limits, roots: Roots | None = None) -> Size:
    """Return the size that a picture's header tells; raises as `read_image` does before it decodes."""
    if isinstance(source, bytes):
        return checked_size(picture_bytes(source, limits), source, limits)
    with _opened(source, limits, roots) as (file, num_bytes):
        data = file.read(_HEADER_BYTES)
        if data.startswith(_JPEG_HEAD) and image_size(data) is None:
            data += file.read(num_bytes - len(data))
        return checked_size(data, source, limits)


def checked_size(data: bytes, source: Encoded | Source, limits: Limits) -> Size:
    """Return the size of a picture of which these are the bytes.

    Raises:
        VideoDecodeError: If its header tells none.
        VideoTooLargeError: If it has more pixels than `limits.max_pixels`.
    """
    size = image_size(data)
    if size is None:
        raise VideoDecodeError(undecodable(source))
    _check_pixels(size, picture_name(source), limits)
    return size


def undecodable(source: Encoded | Source) -> str:
    """Return the message about what is no picture, or a damaged one."""
    name = picture_name(source)
    return f"{name} cannot be decoded as a picture; give a JPEG, PNG, WebP or BMP, saved anew if a viewer opens it"


def _given(source: str | os.PathLike[str] | Source) -> str:
    return source.path if isinstance(source, Source) else shown(path_text(source))


@contextmanager
def _opened(
    source: str | os.PathLike[str] | Source, limits: Limits, roots: Roots | None
) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file and tell how many bytes of it to read; inside roots by its real path, and through no link."""
    given = _given(source)
    try:
        with _open(source, roots) as file:
            num_bytes = os.fstat(file.fileno()).st_size
            _check_bytes(repr(given), num_bytes, limits)
            yield file, _bounded_bytes(given, num_bytes, limits)
    except NotRegularError as exc:
        msg = f"{given!r} is not a regular file; give the path of an image file"
        raise VideoError(msg) from exc
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
        msg = f"no such image: {given!r}; check the path, e.g. with: ls {os.path.dirname(given) or '.'}"
        raise VideoNotFoundError(msg) from exc
    except OSError as exc:
        msg = f"{given!r} cannot be read; check its permissions, e.g. with: ls -l {given}"
        raise VideoError(msg) from exc


def _open(source: str | os.PathLike[str] | Source, roots: Roots | None) -> BinaryIO:
    """Open a file: the one that was checked, or inside roots one at its real path that no link has come into since."""
    if isinstance(source, Source):
        return open_pinned(source)
    path = path_text(source)
    if roots is None:
        return os.fdopen(open_regular(path, follows=True), "rb")
    real = real_path(path)
    check_inside(real, _given(source), roots)
    return open_where_it_is(real)


def _check_pixels(size: Size | None, name: str, limits: Limits) -> None:
    if size is not None:
        check_pixels(name, size.width, size.height, limits)


def _check_bytes(name: str, num_bytes: int, limits: Limits) -> None:
    if num_bytes > limits.max_bytes:
        msg = f"{name} has {num_bytes:,} bytes, more than max_bytes={limits.max_bytes:,}; scale it down"
        raise VideoTooLargeError(msg)


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
