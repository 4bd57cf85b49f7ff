"""The boxes of an MP4 file, walked by seeking. Knows no frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_MAX_BOXES = 4096  # of one level; a fragmented file has more

Span = tuple[int, int]
"""Where the content of a box begins and ends in the file, in bytes."""


def number_at(file: BinaryIO, at: int, num_bytes: int) -> int:
    """Return the number at a place, highest byte first."""
    file.seek(at)
    return int.from_bytes(file.read(num_bytes), "big")


def find_box(file: BinaryIO, inside: Span, kind: bytes, *rest: bytes) -> Span | None:
    """Return where the first box of a kind lies, of the kinds within it for more than one; `None` if there is none."""
    found = next((span for name, span in boxes_in(file, inside) if name == kind), None)
    return find_box(file, found, *rest) if found is not None and rest else found


def find_movie(file: BinaryIO) -> Span | None:
    """Return where the box that describes the whole file lies; `None` in a file that has none."""
    return find_box(file, (0, file.seek(0, 2)), b"moov")


def time_scale(file: BinaryIO, movie: Span) -> int:
    """Return how many ticks a second the whole file is told in; 0 where that is not told."""
    header = find_box(file, movie, b"mvhd")
    return 0 if header is None else number_at(file, header[0] + (20 if number_at(file, header[0], 1) else 12), 4)


def video_tracks(file: BinaryIO, movie: Span) -> list[Span]:
    """Return where the tracks of moving pictures lie."""
    return [track for kind, track in boxes_in(file, movie) if kind == b"trak" and _is_video(file, track)]


def boxes_in(file: BinaryIO, inside: Span) -> Iterator[tuple[bytes, Span]]:
    """Go through the boxes of one level, by name."""
    at, end = inside
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or at + 8 > end:
            return
        size, kind, begin = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if size == 1:
            size, begin = int.from_bytes(head[8:], "big"), at + 16
        stop = at + size if size else end
        if stop < begin:
            return
        yield kind, (begin, min(stop, end))
        at = stop


def _is_video(file: BinaryIO, track: Span) -> bool:
    handler = find_box(file, track, b"mdia", b"hdlr")
    return handler is not None and number_at(file, handler[0] + 8, 4) == int.from_bytes(b"vide", "big")
