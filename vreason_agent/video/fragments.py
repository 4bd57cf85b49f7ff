"""How long a fragmented MP4 announces to be: its frames are listed fragment by fragment, so that nothing counts them.

Nothing is decoded. Knows no frame.
"""

from __future__ import annotations

from typing import BinaryIO

from vreason_agent.video.boxes import Span, boxes_in, find_box, find_movie, number_at, time_scale, video_tracks
from vreason_agent.video.pinned import open_pinned
from vreason_agent.video.source import Source

_MAX_REFERENCES = 1 << 16


def is_fragmented(source: Source) -> bool:
    """Tell whether a file is an MP4 whose frames are listed in fragments."""
    with open_pinned(source) as file:
        movie = find_movie(file)
        return movie is not None and find_box(file, movie, b"mvex") is not None


def fragments_seconds(source: Source) -> float | None:
    """Return the length of all fragments, as the head of the file announces it; `None` where it does not."""
    with open_pinned(source) as file:
        movie = find_movie(file)
        return None if movie is None else _extended(file, movie) or _indexed(file, movie)


def _extended(file: BinaryIO, movie: Span) -> float | None:
    header, scale = find_box(file, movie, b"mvex", b"mehd"), time_scale(file, movie)
    if header is None or not scale:
        return None
    return number_at(file, header[0] + 4, 8 if number_at(file, header[0], 1) else 4) / scale


def _indexed(file: BinaryIO, movie: Span) -> float | None:
    """Return what the first index of the first video track's fragments sums up to."""
    tracks = video_tracks(file, movie)
    header = find_box(file, tracks[0], b"tkhd") if tracks else None
    if header is None:
        return None
    track = number_at(file, header[0] + (20 if number_at(file, header[0], 1) else 12), 4)
    indexes = (span for kind, span in boxes_in(file, (0, file.seek(0, 2))) if kind == b"sidx")
    index = next((span for span in indexes if number_at(file, span[0] + 4, 4) == track), None)
    return None if index is None else _summed(file, index)


def _summed(file: BinaryIO, index: Span) -> float | None:
    scale, at = number_at(file, index[0] + 8, 4), index[0] + (28 if number_at(file, index[0], 1) else 20)
    ends = [at + 4 + 12 * number for number in range(min(number_at(file, at + 2, 2), _MAX_REFERENCES))]
    ticks = sum(number_at(file, end + 4, 4) for end in ends if end + 12 <= index[1])
    return ticks / scale if scale and ticks else None
