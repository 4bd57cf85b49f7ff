"""How much of an MP4's first video track is shown: a cut by stream copy keeps frames that its edit list hides.

Containers count hidden frames among theirs, and OpenCV does not tell how long they announce to be. Nothing is decoded.
Knows no frame.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from vreason_agent.video.boxes import Span, find_box, find_movie, number_at, time_scale, video_tracks
from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.source import Source

_MAX_ENTRIES = 4096


def shown_seconds(source: Source) -> float | None:
    """Return the seconds that the first video track's edit list shows; `None` where the file has none that tells."""
    try:
        with open_pinned(source) as file:
            movie = find_movie(file)
            return None if movie is None else _shown(file, movie)
    except (OSError, struct.error):
        return None


def _shown(file: BinaryIO, movie: Span) -> float | None:
    scale, tracks = time_scale(file, movie), video_tracks(file, movie)
    edits = find_box(file, tracks[0], b"edts", b"elst") if tracks else None
    shown = 0 if edits is None else _edited(file, edits)
    return shown / scale if shown and scale else None


def _edited(file: BinaryIO, edits: Span) -> int:
    """Return the sum of the edits' durations, without those that only wait."""
    layout = ">QqI" if number_at(file, edits[0], 1) else ">IiI"
    size, shown = struct.calcsize(layout), 0
    for number in range(min(number_at(file, edits[0] + 4, 4), _MAX_ENTRIES)):
        at = edits[0] + 8 + size * number
        if at + size > edits[1]:
            break
        file.seek(at)
        duration, media_time, _ = struct.unpack(layout, file.read(size))
        shown += duration if media_time >= 0 else 0
    return shown
