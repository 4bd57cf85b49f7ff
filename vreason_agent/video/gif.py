"""Whether a GIF is whole: its blocks are walked to the trailer that ends it.

OpenCV reads a cut GIF without complaint and fills what is missing with wrong pixels. This module decodes nothing, and
holds a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import BinaryIO

_EXTENSION, _IMAGE, _TRAILER = b"\x21", b"\x2c", b"\x3b"
_BLOCKS_PER_STEP = 4096  # of at most 255 bytes; one takes some 0.1 us


def is_whole_gif(file: BinaryIO, on_step: Callable[[int], object]) -> bool:
    """Tell whether the blocks of a GIF follow each other up to its trailer.

    Args:
        file: The GIF, at its start.
        on_step: Called often with the number of images so far; what it raises ends the walk.
    """
    num_images, head = 0, file.read(13)
    is_there = len(head) == 13 and _pass(file, _table_bytes(head[10]))
    while is_there and (mark := file.read(1)) != _TRAILER:
        num_images += mark == _IMAGE
        on_step(num_images)
        is_there = _pass_head(file, mark) and _pass_blocks(file, partial(on_step, num_images))
    return is_there


def _pass_head(file: BinaryIO, mark: bytes) -> bool:
    if mark == _EXTENSION:
        return _pass(file, 1)
    head = file.read(9) if mark == _IMAGE else b""
    return len(head) == 9 and _pass(file, _table_bytes(head[8]) + 1)


def _pass_blocks(file: BinaryIO, on_step: Callable[[], object]) -> bool:
    """Go past blocks up to an empty one; false where the file ends first."""
    num_blocks, size = 0, 0
    while len(data := file.read(size + 1)) > size:
        size, num_blocks = data[-1], num_blocks + 1
        if size == 0:
            return True
        if num_blocks % _BLOCKS_PER_STEP == 0:
            on_step()
    return False


def _pass(file: BinaryIO, num_bytes: int) -> bool:
    return len(file.read(num_bytes)) == num_bytes


def _table_bytes(packed: int) -> int:
    """Size of the color table that a packed field announces, bytes."""
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0
