"""How much of an MP4's first video track is shown: a cut by stream copy keeps frames that its edit list hides.

Containers count hidden frames among theirs, and OpenCV does not tell how long they announce to be. The boxes of the
file are walked by seeking; nothing is decoded. Knows no frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.source import Source

_MAX_BOXES = 4096  # of one level; a fragmented file has more, and no edit list that counts
_MAX_ENTRIES = 4096

_Span = tuple[int, int]


def shown_seconds(source: Source) -> float | None:
    """Return the seconds that the first video track's edit list shows; `None` where the file has none that tells."""
    try:
        with open_pinned(source) as file:
            moov = _find(file, (0, file.seek(0, 2)), b"moov")
            return None if moov is None else _shown(file, moov)
    except (OSError, struct.error):
        return None


def _shown(file: BinaryIO, moov: _Span) -> float | None:
    header = _find(file, moov, b"mvhd")
    scale = 0 if header is None else _number(file, header[0] + (20 if _number(file, header[0], 1) else 12), 4)
    for kind, track in _boxes(file, moov):
        if kind == b"trak" and _is_video(file, track):
            edits = _find(file, track, b"edts", b"elst")
            shown = 0 if edits is None else _edited(file, edits)
            return shown / scale if shown and scale else None
    return None


def _is_video(file: BinaryIO, track: _Span) -> bool:
    handler = _find(file, track, b"mdia", b"hdlr")
    return handler is not None and _number(file, handler[0] + 8, 4) == int.from_bytes(b"vide", "big")


def _edited(file: BinaryIO, edits: _Span) -> int:
    """Return the sum of the edits' durations, without those that only wait."""
    layout = ">QqI" if _number(file, edits[0], 1) else ">IiI"
    size, shown = struct.calcsize(layout), 0
    for number in range(min(_number(file, edits[0] + 4, 4), _MAX_ENTRIES)):
        at = edits[0] + 8 + size * number
        if at + size > edits[1]:
            break
        file.seek(at)
        duration, media_time, _ = struct.unpack(layout, file.read(size))
        shown += duration if media_time >= 0 else 0
    return shown


def _number(file: BinaryIO, at: int, num_bytes: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(num_bytes), "big")


def _find(file: BinaryIO, inside: _Span, kind: bytes, *rest: bytes) -> _Span | None:
    """Return where the content of the first box of a kind lies, of the kinds within it for more than one."""
    found = next((span for name, span in _boxes(file, inside) if name == kind), None)
    return _find(file, found, *rest) if found is not None and rest else found


def _boxes(file: BinaryIO, inside: _Span) -> Iterator[tuple[bytes, _Span]]:
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
