"""Opening a regular file so that no pipe holds us up and no link that came meanwhile leads elsewhere.

Knows no video.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

Stamp = tuple[int, ...]
"""What changes when a file does, or another one comes into its place."""

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_PATH", 0) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK


class NotRegularError(OSError):
    """A folder, a pipe, a socket or a device."""


def stamp_of_status(status: os.stat_result) -> Stamp:
    """Return the stamp of a file: which one it is, and when it and its entry were changed last."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def open_regular(path: str, *, follows: bool = False, folder: int | None = None) -> int:
    """Open a regular file to read; a pipe's writer is not waited for.

    Args:
        path: The file.
        follows: Whether it may be a link.
        folder: Descriptor of the folder that `path` is relative to.

    Returns:
        Its descriptor, which is the caller's to close.

    Raises:
        NotRegularError: It is none.
        OSError: It is not there, a link, or may not be read.
    """
    mode = os.stat(path, dir_fd=folder, follow_symlinks=follows).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):  # opening a device may do something
        raise NotRegularError(path)
    descriptor = os.open(path, _FLAGS | (0 if follows else _NO_LINK), dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(path)
    return descriptor


def open_where_it_is(path: str) -> BinaryIO:
    """Open the regular file at a real path, none of whose folders may have become a link meanwhile.

    Raises as `open_regular` does.
    """
    if not hasattr(os, "O_PATH"):
        file = os.fdopen(open_regular(path), "rb")
        if os.path.realpath(path) != path:
            file.close()
            raise OSError(path)
        return file
    parent, name = os.path.split(path)
    folder = _folder(parent)
    try:
        return os.fdopen(open_regular(name, folder=folder), "rb")
    finally:
        os.close(folder)


def _folder(path: str) -> int:
    """Open a folder from the root on, name by name, since a link is refused as the last one only."""
    at = os.open("/", _FOLDER)
    for name in path.split("/"):
        if name:
            outer = at
            try:
                at = os.open(name, _FOLDER, dir_fd=outer)
            finally:
                os.close(outer)
    return at
