"""The size of an encoded picture, read from its header: a limit on pixels is checked before anything is decoded.

Knows no decoder.
"""

from __future__ import annotations

_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels of a JPEG, PNG, BMP, WebP or GIF; `None` if the header tells neither."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return _number(data[16:20], "big"), _number(data[20:24], "big")
    if data.startswith(b"GIF8") and len(data) >= 10:
        return _number(data[6:8]), _number(data[8:10])
    if data.startswith(b"BM") and len(data) >= 26:
        return _bmp_size(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    return _jpeg_size(data) if data.startswith(b"\xff\xd8") else None


def _number(data: bytes, order: str = "little") -> int:
    return int.from_bytes(data, "big" if order == "big" else "little")


def _bmp_size(data: bytes) -> tuple[int, int]:
    if _number(data[14:18]) == 12:  # the oldest header has 16-bit sizes
        return _number(data[18:20]), _number(data[20:22])
    height = int.from_bytes(data[22:26], "little", signed=True)  # negative: rows from the top
    return _number(data[18:22]), abs(height)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X":
        return 1 + _number(data[24:27]), 1 + _number(data[27:30])
    if data[12:16] == b"VP8L":
        bits = _number(data[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 ":
        return _number(data[26:28]) & 0x3FFF, _number(data[28:30]) & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_SIZE_MARKERS:
            return _number(data[at + 7 : at + 9], "big"), _number(data[at + 5 : at + 7], "big")
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        else:
            at += 2 + _number(data[at + 2 : at + 4], "big")
    return None
