"""Whether a GIF is whole: its blocks are walked to the trailer that ends it.

OpenCV reads a cut GIF without complaint and fills what is missing with wrong pixels. This module decodes nothing.
"""

from __future__ import annotations

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def is_whole_gif(data: bytes) -> bool:
    """Tell whether the blocks of a GIF follow each other up to its trailer."""
    try:
        at = 13 + _table_bytes(data[10])
        while data[at] != _TRAILER:
            if data[at] == _IMAGE:
                at += 11 + _table_bytes(data[at + 9])
            elif data[at] == _EXTENSION:
                at += 2
            else:
                return False
            while size := data[at]:
                at += 1 + size
            at += 1
    except IndexError:
        return False
    return True


def _table_bytes(packed: int) -> int:
    """Size of the color table that a packed field announces, bytes."""
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0
