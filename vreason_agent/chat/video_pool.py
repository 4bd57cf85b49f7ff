"""Videos that stay open from one question to the next, so that the attempts of a ladder share one open file.

A video leaves the pool while it is read; the least recently used one is closed. This module knows no model.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from vreason_agent.video import ReadOptions, VideoReader, file_identity, open_video
from vreason_agent.video.files import real_path

MAX_CACHE_BYTES = 2**26
"""Pixels of decoded frames that each open video keeps, as the model takes them: 32 frames of 0.6 megapixels."""

Key = tuple[str, tuple[int, ...] | None, ReadOptions]


class VideoPool:
    """Open videos by real path, state of the file, and how it is read."""

    def __init__(self, max_videos: int = 2) -> None:
        """Keep at most `max_videos` open."""
        self._max_videos, self._lock = max_videos, Lock()
        self._videos: OrderedDict[Key, VideoReader] = OrderedDict()
        self._parents: list[object] = []

    def leave_to_parent(self) -> None:
        """Start empty in a forked process, and hold on to what its parent has open: releasing a decoder would hang."""
        self._parents.append(self._videos)
        self._lock, self._videos = Lock(), OrderedDict()

    @contextmanager
    def opened(self, path: str, options: ReadOptions) -> Iterator[VideoReader]:
        """Open a video, or take up the one that is open, for the length of a block; an error in it closes it."""
        key = (real_path(path), file_identity(path), options)
        with self._lock:
            video = self._videos.pop(key, None)
        video = video or open_video(path, options, max_cache_bytes=MAX_CACHE_BYTES)
        try:
            yield video
        except BaseException:
            video.close()
            raise
        self._put(key, video)

    def clear(self) -> None:
        """Close all that are not being read."""
        with self._lock:
            videos = list(self._videos.values())
            self._videos.clear()
        for video in videos:
            video.close()

    def _put(self, key: Key, video: VideoReader) -> None:
        """Put a video back; another of the same key came back first if two read it at once."""
        with self._lock:
            gone = [self._videos.pop(key)] if key in self._videos else []
            self._videos[key] = video
            while len(self._videos) > self._max_videos:
                gone.append(self._videos.popitem(last=False)[1])
        for other in gone:
            other.close()


VIDEO_POOL = VideoPool()
if hasattr(os, "register_at_fork"):  # two processes would move one position in the file
    os.register_at_fork(after_in_child=VIDEO_POOL.leave_to_parent)
