"""The size of an encoded picture, read from its header: a limit on pixels is checked before anything is decoded.

A decoder passes over what a header should not hold, and may then find another size behind it. So a header is read here
only if it is laid out as its format demands: no other reading of it is left. Knows no decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

from vreason_agent.video.types import Size

PNG_HEAD, JPEG_HEAD, BMP_HEAD = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_TABLE_MARKERS = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # comments and thumbnails too
_JPEG_SCAN_MARKER = 0xDA
_ISO_MARK = b"ftyp"  # by which OpenCV takes a file for AVIF, whatever stands before it
_MAX_JPEG_SEGMENTS = 10_000  # before the pixels, fill bytes included; a color profile has 255 at most
_BMP_HEADER_BYTES = frozenset({40, 52, 56, 64, 108, 124})


def image_size(data: bytes) -> Size | None:
    """Return the size of a JPEG, PNG, BMP, WebP or GIF.

    Args:
        data: The file, or its beginning.

    Returns:
        The size as the file stores it, which a mark of orientation in it may turn; `None` if there is no such header,
        it is cut, or it is not laid out as its format demands.
    """
    size = None
    if data[4:8] == _ISO_MARK:
        return None
    if data.startswith(PNG_HEAD) and data[8:16] == b"\x00\x00\x00\x0dIHDR" and len(data) >= 24:
        size = Size(*struct.unpack(">II", data[16:24]))
    elif data.startswith((b"GIF87a", b"GIF89a")) and len(data) >= 10:
        size = Size(*struct.unpack("<HH", data[6:10]))
    elif data.startswith(BMP_HEAD) and len(data) >= 26:
        size = _bmp_size(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        size = _webp_size(data)
    elif data.startswith(JPEG_HEAD):
        size = _jpeg_size(data)
    return size if size is not None and min(size) > 0 else None


def _number(data: bytes, order: Literal["little", "big"] = "little") -> int:
    return int.from_bytes(data, order)


def _bmp_size(data: bytes) -> Size | None:
    num_bytes = _number(data[14:18])
    if num_bytes == 12:  # the oldest header has 16-bit sizes
        return Size(_number(data[18:20]), _number(data[20:22]))
    if num_bytes not in _BMP_HEADER_BYTES:
        return None
    height = int.from_bytes(data[22:26], "little", signed=True)  # negative: rows from the top
    return Size(_number(data[18:22]), abs(height))


def _webp_size(data: bytes) -> Size | None:
    chunk = data[12:16]
    if chunk == b"VP8X" and _number(data[16:20]) == 10:
        return Size(1 + _number(data[24:27]), 1 + _number(data[27:30]))
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = _number(data[21:25])
        return Size(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return Size(_number(data[26:28]) & 0x3FFF, _number(data[28:30]) & 0x3FFF)
    return None


def _jpeg_size(data: bytes) -> Size | None:
    """Return the size that the only frame header before the first scan tells, if nothing but tables stands by it."""
    size = None
    for marker, body in _jpeg_segments(data):
        if marker == _JPEG_SCAN_MARKER:
            return size
        if marker in _JPEG_SIZE_MARKERS and size is None and len(body) >= 6:
            size = Size(_number(body[3:5], "big"), _number(body[1:3], "big"))
        elif marker not in _JPEG_TABLE_MARKERS:
            return None
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of each segment, as long as they follow each other without a byte between."""
    at = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        mark, length = data[at : at + 2], _number(data[at + 2 : at + 4], "big")
        if mark == b"\xff\xff":  # one byte of fill
            at += 1
            continue
        body = data[at + 4 : at + 2 + length]
        if mark[:1] != b"\xff" or length < 2 or len(body) != length - 2:
            return
        yield mark[1], body
        at += 2 + length
