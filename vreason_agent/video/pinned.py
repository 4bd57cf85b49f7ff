"""A checked file, opened as it was checked: whatever its name means meanwhile, no other one comes into its place.

Knows no decoder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video.frames import changed
from vreason_agent.video.regular_file import open_regular, stamp_of_status
from vreason_agent.video.source import Source

_DESCRIPTORS = "/proc/self/fd"


def open_pinned(source: Source) -> BinaryIO:
    """Open a checked file for our own reading.

    Raises:
        VideoDecodeError: If it is no longer the one that was checked.
    """
    return os.fdopen(_descriptor(source), "rb")


@contextmanager
def pinned_name(source: Source) -> Iterator[str]:
    """Yield a name by which a library opens a checked file, and see afterwards that it has not changed till then.

    On Linux that is the name of a descriptor, which means this file alone; elsewhere it is the file's own.

    Raises:
        VideoDecodeError: If it is no longer the one that was checked.
    """
    descriptor = _descriptor(source)
    try:
        has_name = sys.platform == "linux" and os.path.isdir(_DESCRIPTORS)
        yield f"{_DESCRIPTORS}/{descriptor}" if has_name else source.path
        _check(source, descriptor)
        if not has_name:
            os.close(_descriptor(source))
    finally:
        os.close(descriptor)


def _descriptor(source: Source) -> int:
    try:
        descriptor = open_regular(source.path)
    except OSError as exc:
        raise VideoDecodeError(changed(source.path)) from exc
    try:
        _check(source, descriptor)
    except VideoDecodeError:
        os.close(descriptor)
        raise
    return descriptor


def _check(source: Source, descriptor: int) -> None:
    if stamp_of_status(os.fstat(descriptor)) != source.stamp:
        raise VideoDecodeError(changed(source.path))
