"""Frames that were decoded already, up to a number of bytes; the least recently used go first. Knows no file."""

from __future__ import annotations

from collections import OrderedDict

from vreason_agent.video.images import Picture
from vreason_agent.video.sizing import FULL_SIZE, Sizing


class KeptFrames:
    """Pictures by frame number and size."""

    def __init__(self, max_bytes: int) -> None:
        """Keep at most `max_bytes` of pixels; 0 keeps nothing."""
        self._max_bytes, self._num_bytes, self._last_bytes = max_bytes, 0, 0
        self._pictures: OrderedDict[tuple[int, Sizing], Picture] = OrderedDict()

    @property
    def is_full(self) -> bool:
        """Whether another frame like the last would push one out; where none is kept, never."""
        return self._max_bytes > 0 and self._num_bytes + self._last_bytes > self._max_bytes

    def get(self, number: int, sizing: Sizing) -> Picture | None:
        """Return a frame at that size, made from the full one where that is kept; `None` if neither is."""
        for kept in (sizing, FULL_SIZE):
            picture = self._pictures.get((number, kept))
            if picture is not None:
                self._pictures.move_to_end((number, kept))
                return picture if kept == sizing else sizing(picture)
        return None

    def of_size(self, sizing: Sizing) -> dict[int, Picture]:
        """Return all frames that are kept at that very size, by number."""
        return {number: picture for (number, size), picture in self._pictures.items() if size == sizing}

    def put(self, number: int, sizing: Sizing, picture: Picture) -> None:
        """Keep a frame, and let go of older ones where it does not fit beside them."""
        if picture.nbytes > self._max_bytes or (number, sizing) in self._pictures:
            return
        self._pictures[number, sizing] = picture
        self._num_bytes, self._last_bytes = self._num_bytes + picture.nbytes, picture.nbytes
        while self._num_bytes > self._max_bytes:
            self._num_bytes -= self._pictures.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Let go of all."""
        self._pictures.clear()
        self._num_bytes = 0
