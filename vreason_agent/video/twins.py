"""Whether two video tracks of a file are of one codec: OpenCV does not tell which of them packets are of.

MP4 and Matroska are looked into, whose headers list tracks; the sizes told there need not be those of the pictures.
Nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from vreason_agent.video.boxes import Span, find_box, find_movie, number_at, video_tracks
from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.source import Source

_EBML, _SEGMENT, _TRACKS, _ENTRY, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675
_TYPE, _CODEC = 0x83, 0x86
_IS_VIDEO = 1
_MAX_ELEMENTS = 4096  # of one level
_ALSO_CALLED = {b"avc3": b"avc1", b"hvc1": b"hev1"}  # by where their parameters stand


def has_twins(source: Source) -> bool:
    """Tell whether a file lists two video tracks of one codec."""
    try:
        with open_pinned(source) as file:
            codecs = [_ALSO_CALLED.get(codec, codec) for codec in _codecs(file)]
    except OSError:
        return False
    return len(set(codecs)) < len(codecs)


def _codecs(file: BinaryIO) -> Iterator[bytes]:
    if number_at(file, 0, 4) == _EBML:
        yield from _matroska_codecs(file)
        return
    movie = find_movie(file)
    for track in [] if movie is None else video_tracks(file, movie):
        entries = find_box(file, track, b"mdia", b"minf", b"stbl", b"stsd")
        if entries is not None:
            yield _bytes_at(file, entries[0] + 12, 4)  # of the first entry


def _matroska_codecs(file: BinaryIO) -> Iterator[bytes]:
    segment = _child(file, (0, file.seek(0, 2)), _SEGMENT)
    tracks = None if segment is None else _child(file, segment, _TRACKS)
    for name, entry in () if tracks is None else _elements(file, tracks):
        if name == _ENTRY and _number(file, entry, _TYPE) == _IS_VIDEO:
            begin, end = _child(file, entry, _CODEC) or (0, 0)
            yield _bytes_at(file, begin, end - begin)


def _number(file: BinaryIO, inside: Span, name: int) -> int:
    span = _child(file, inside, name)
    return 0 if span is None else number_at(file, span[0], min(span[1] - span[0], 8))


def _child(file: BinaryIO, inside: Span, name: int) -> Span | None:
    return next((span for found, span in _elements(file, inside) if found == name), None)


def _elements(file: BinaryIO, inside: Span) -> Iterator[tuple[int, Span]]:
    """Go through the elements of one level, up to the first that holds frames; one of unknown length is the last."""
    at, end = inside
    for _ in range(_MAX_ELEMENTS):
        name, middle = _varying(file, at, is_name=True)
        size, begin = _varying(file, middle, is_name=False)
        if begin > end or name in (0, _CLUSTER):
            return
        is_known = size != (1 << 7 * (begin - middle)) - 1  # all ones: it lasts to the end of what it is in
        stop = begin + size if is_known else end
        yield name, (begin, min(stop, end))
        at = stop


def _varying(file: BinaryIO, at: int, *, is_name: bool) -> tuple[int, int]:
    """Return a number of EBML's varying length, and where it ends; 0 where there is none."""
    first = number_at(file, at, 1)
    length = 9 - first.bit_length()
    if length > 8:
        return 0, at + 1
    number = number_at(file, at, length)
    return number if is_name else number & ((1 << 7 * length) - 1), at + length


def _bytes_at(file: BinaryIO, at: int, num_bytes: int) -> bytes:
    file.seek(at)
    return file.read(min(num_bytes, 64))
