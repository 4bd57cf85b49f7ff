"""What the caller gave: a video, a GIF, a picture, or a folder of pictures, checked and opened once.

Only regular files inside the allowed folders pass, and the descriptor that was checked is what a decoder reads: what
takes the file's place meanwhile is never opened, and links, pipes, devices and URLs never are. Decodes nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from vreason_agent.errors import (
    MAX_QUOTED_CHARS,
    ConfigError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    is_utf8,
    quote,
    shorten,
)
from vreason_agent.video.read_options import ReadOptions, Roots
from vreason_agent.video.types import Kind

Identity = tuple[int, ...]
"""Changes when a file or folder does, or another one comes into its place."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
READABLE = "give an mp4, mov, mkv, webm, avi, mpg, ts, flv, ogg, wmv or gif file, an image, or a folder of frames"
DESCRIPTORS = "/proc/self/fd"  # Linux: names of open files
_IMAGE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")  # no text has one
_HEAD_BYTES = 1 << 12
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # a pipe's writer is not waited for
_FILE_URL = re.compile(r"file:(?://(?:localhost)?(?=/)|(?!//))(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Source:
    """A checked input; `close` it.

    Attributes:
        path: Absolute real path.
        kind: What it holds.
        identity: What the path led to when it was opened.
        descriptor: The open file; -1 for a folder.
        frame_paths: The pictures of a folder in natural order; empty for a file.
    """

    path: str
    kind: Kind
    identity: Identity
    descriptor: int = -1
    frame_paths: tuple[str, ...] = ()

    def check_unchanged(self) -> None:
        """Raise a `VideoDecodeError` if the path leads to something else now, or its content has changed."""
        if file_identity(self.path) != self.identity:
            msg = f"{self.path!r} changed while it was open; open it again"
            raise VideoDecodeError(msg)

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)


class DescriptorFile:
    """An open file with a position of its own, so that several readers of one descriptor do not move each other."""

    def __init__(self, descriptor: int) -> None:
        """Begin at its first byte."""
        self.descriptor, self._at = descriptor, 0
        self.num_bytes = os.fstat(descriptor).st_size

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes."""
        data = os.pread(self.descriptor, size, self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as `io.IOBase.seek` does."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.num_bytes}[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


def open_source(video: str | os.PathLike[str], options: ReadOptions) -> Source:
    """Check what `video` is without decoding anything, and open it.

    Args:
        video: Path or `file:` URL of a video, GIF or image file, or of a folder of pictures.
        options: Allowed folders and limits.

    Raises:
        VideoNotFoundError: Nothing is there.
        VideoTooLargeError: The file exceeds `limits.max_bytes`.
        VideoDecodeError: Empty, a text, or a folder without pictures.
        VideoError: A URL or protocol string, no regular file, one outside the roots, or one that may not be read.
        ConfigError: `video` is no path, or one whose name is not UTF-8.
    """
    given = path_text(video)
    path = _existing_path(given, options.roots)
    if os.path.isdir(path):
        with _typed_errors(given):
            frames = _list_frames(path, given, options.roots)
        return Source(path, "frames", file_identity(path) or (), frame_paths=frames)
    descriptor = _open_regular(path, given, "a video, an image or a folder of frames")
    try:
        file = DescriptorFile(descriptor)
        if file.num_bytes == 0:
            msg = f"{quote(given)} is empty (0 bytes); copy or download the file again"
            raise VideoDecodeError(msg)
        options.limits.check("max_bytes", file.num_bytes, f"{quote(given)} has {file.num_bytes:,} bytes")
        kind = kind_of(file.read(_HEAD_BYTES), given)
        return Source(path, kind, _identity_of(os.fstat(descriptor)), descriptor)
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def open_picture(
    source: str | os.PathLike[str], roots: Roots | None, what: str = "an image file"
) -> Iterator[tuple[str, DescriptorFile]]:
    """Open one picture file for the length of a block; yields what to call it in messages, and the file.

    Raises as `open_source` does; a picture may be a link, inside the roots to where it leads.
    """
    given = path_text(source)
    descriptor = _open_regular(_existing_path(given, roots), given, what)
    try:
        yield repr(shown(given)), DescriptorFile(descriptor)
    finally:
        os.close(descriptor)


def kind_of(head: bytes, given: str) -> Kind:
    """Return what a file is by its first bytes; whether a video can be decoded, only its decoder knows.

    Raises:
        VideoDecodeError: If it is a text, such as a playlist, a script or a web page.
    """
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(_IMAGE_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if _CONTROLS.isdisjoint(head):
        msg = f"{quote(given)} is no video or image that can be read (its content is text); {READABLE}"
        raise VideoDecodeError(msg)
    return "video"


def _open_regular(path: str, given: str, what: str) -> int:
    """Open the regular file at a real path; an error if it, or one of its folders, has become a link meanwhile."""
    with _typed_errors(given):
        descriptor = -1
        if stat.S_ISREG(os.stat(path, follow_symlinks=False).st_mode):  # opening a device may do something
            descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, flag, 0) for flag in _FLAGS))
        if descriptor < 0 or not stat.S_ISREG(os.fstat(descriptor).st_mode):
            if descriptor >= 0:
                os.close(descriptor)
            msg = f"{quote(given)} is not a regular file; give the path of {what}"
            raise VideoError(msg)
        name = f"{DESCRIPTORS}/{descriptor}"
        if (os.readlink(name) if os.path.islink(name) else os.path.realpath(path)) != path:
            os.close(descriptor)
            raise OSError(path)
        return descriptor


def file_identity(path: str) -> Identity | None:
    """Return what changes when a file does, or a picture in a folder; `None` where it cannot be looked at."""
    try:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return _identity_of(status)
        with os.scandir(path) as entries:
            pictures = [entry for entry in entries if entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file()]
            told = sorted((entry.name, *_identity_of(entry.stat())) for entry in pictures)
    except OSError:
        return None
    digest = hashlib.blake2b(repr(told).encode(), digest_size=8).digest()  # the same in every process
    return *_identity_of(status), int.from_bytes(digest)


def _identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _list_frames(path: str, given: str, roots: Roots | None) -> tuple[str, ...]:
    """Return the pictures of a folder in natural order; one that cannot be opened would shift every later frame."""
    with os.scandir(path) as entries:
        named = [entry for entry in entries if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.is_dir()]
        odd = sorted(entry.name for entry in named if not entry.is_file())
    if odd:
        msg = (
            f"{odd[0]!r} in the folder {quote(given)} is a broken link or no regular file; put the picture there, or "
            f"remove it for a video without that frame, e.g. with: rm {odd[0]}"
        )
        raise VideoError(msg)
    if not named:
        kinds = ", ".join(IMAGE_SUFFIXES)
        msg = f"the folder {quote(given)} holds no frames ({kinds}); give a folder of pictures or a video file"
        raise VideoDecodeError(msg)
    paths = tuple(str(Path(path, entry.name)) for entry in sorted(named, key=lambda entry: _natural_key(entry.name)))
    for frame in paths if roots is not None else ():
        _check_inside(real_path(frame), frame, roots)
    return paths


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which `frame2` comes before `frame10`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name)]


def path_text(given: object) -> str:
    """Return a path as text, that of a `file:` URL included.

    Raises:
        ConfigError: If it is no path, or a `file:` URL of another machine.
    """
    if not isinstance(given, str | bytes | os.PathLike):
        msg = f"{quote(given)} is no path; give the path of a video, an image or a folder of frames"
        raise ConfigError(msg)
    text = os.fsdecode(given)
    return local_path(text) if text[:5].lower() == "file:" else text


def local_path(url: str) -> str:
    """Return the path that a `file:` URL or a bare path names; a bare path is taken as it is written.

    Of a URL the percent-escapes alone are decoded: `#` and `?` are letters of a name.

    Raises:
        ConfigError: For any other scheme, or a file on another host: nothing is fetched from a network.
        VideoNotFoundError: If it holds a NUL character, which no name can.
    """
    match = _FILE_URL.fullmatch(url)
    if match is None and "://" in url:
        told = "nothing is fetched from a network; download the file and give its path or a file:// URL"
        msg = f"{quote(shown(url))}: {told}"
        raise ConfigError(msg)
    path = unquote(match[1]) if match else url
    if "\x00" in path:
        raise _missing(path)
    return path


def shown(url: str) -> str:
    """Return a URL without its user, query and fragment, which may be secret; a text that is none as it is."""
    if "://" not in url:
        return url
    return re.split(r"[?#]", re.sub(r"//[^/]*@", "//", url))[0][:MAX_QUOTED_CHARS]


def _existing_path(given: str, roots: Roots | None) -> str:
    """Return the real path of what is there, inside the roots."""
    is_there = bool(given) and "\x00" not in given and os.path.exists(given)
    if not is_there and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", given):
        told = "is not a file path; only local files are read, so download the video first and give its path"
        msg = f"{quote(shown(given))} {told}"
        raise VideoError(msg)
    if not is_there:
        raise _missing(given)
    path = real_path(given)
    check_name(path)
    _check_inside(path, given, roots)
    return path


def check_name(path: str) -> None:
    """Refuse a name that is not UTF-8: native libraries crash on one.

    Raises:
        ConfigError: If it holds bytes that Python could not decode.
    """
    if not is_utf8(path):
        msg = f"{quote(path)} has a name that is not UTF-8; rename it, or where it is UTF-8 set LC_ALL=C.UTF-8"
        raise ConfigError(msg)


def real_path(given: str) -> str:
    """Return the absolute path that a path leads to; raises a `VideoError` if that cannot be told."""
    with _typed_errors(given):
        return os.path.realpath(given)


def _check_inside(path: str, given: str, roots: Roots | None) -> None:
    """Refuse a real path outside the real paths of the roots; the message does not say where a link leads."""
    if roots is None or any(Path(path).is_relative_to(real_path(os.fsdecode(root))) for root in roots):
        return
    folders = quote(list(roots)) if roots else "no folder"
    told = f"is outside the allowed folders ({folders}), links resolved; move it there or allow its folder"
    msg = f"{quote(given)} {told}"
    raise VideoError(msg)


@contextmanager
def _typed_errors(given: str) -> Iterator[None]:
    """Make what the system says of a path one of this package's errors."""
    try:
        yield
    except VideoError:
        raise
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise _missing(given) from exc
    except (OSError, ValueError) as exc:
        told = f"cannot be read; check its permissions, e.g. with: ls -ld {shorten(given)}"
        msg = f"{quote(given)} {told}"
        raise VideoError(msg) from exc


def _missing(given: str) -> VideoNotFoundError:
    folder = shorten(os.path.dirname(given) or ".")
    return VideoNotFoundError(f"no such file or folder: {quote(given)}; check the path, e.g. with: ls {folder}")
