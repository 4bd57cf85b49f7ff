"""What the caller gave: a video, a GIF, a picture, or a folder of pictures, checked and opened once.

Only regular files inside the allowed folders pass, and the descriptor that was checked is what a decoder reads: what
takes the file's place meanwhile is never opened, and links, pipes, devices and URLs never are. Decodes nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vreason_agent.errors import (
    MAX_QUOTED_CHARS,
    ConfigError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
    is_utf8,
    quote,
    shorten,
)
from vreason_agent.video.read_options import ReadOptions, Roots
from vreason_agent.video.types import Kind

Identity = tuple[int, ...]
"""Changes when a file or folder does, or another one comes into its place."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_IMAGE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")  # no text has one
_HEAD_BYTES = 1 << 12
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_PATH", 0) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9]*)")


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
        self._descriptor, self._at = descriptor, 0

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes."""
        if hasattr(os, "pread"):
            data = os.pread(self._descriptor, size, self._at)
        else:
            os.lseek(self._descriptor, self._at, os.SEEK_SET)
            data = os.read(self._descriptor, size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as `io.IOBase.seek` does."""
        begins = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._at = max(0, begins[whence] + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


class NotRegularError(OSError):
    """A folder, a pipe, a socket or a device."""


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
    path = _existing_path(given)
    _check_inside(path, given, options.roots)
    with _typed_errors(given, "a video, an image or a folder of frames"):
        if stat.S_ISDIR(os.stat(path).st_mode):
            return _folder_source(path, given, options.roots)
        descriptor = open_where_it_is(path)
    try:
        return _file_source(descriptor, path, given, options.limits.max_bytes)
    except BaseException:
        os.close(descriptor)
        raise


def _folder_source(path: str, given: str, roots: Roots | None) -> Source:
    identity = file_identity(path)
    if identity is None:
        raise OSError(path)
    return Source(path, "frames", identity, frame_paths=_list_frames(path, given, roots))


def _file_source(descriptor: int, path: str, given: str, max_bytes: int) -> Source:
    status = os.fstat(descriptor)
    if status.st_size == 0:
        msg = f"{quote(given)} is empty (0 bytes); copy or download the file again"
        raise VideoDecodeError(msg)
    if status.st_size > max_bytes:
        msg = f"{quote(given)} has {status.st_size:,} bytes, more than max_bytes={max_bytes:,}; cut the part you need"
        raise VideoTooLargeError(msg)
    return Source(path, kind_of(DescriptorFile(descriptor).read(_HEAD_BYTES), given), _identity_of(status), descriptor)


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
        msg = f"{quote(given)} is no video or image that can be read (its content is text); {what_can_be_read()}"
        raise VideoDecodeError(msg)
    return "video"


def what_can_be_read() -> str:
    """Say which files can be given."""
    return "give an mp4, mov, mkv, webm, avi, mpg, ts, flv, ogg, wmv or gif file, an image, or a folder of frames"


@contextmanager
def _typed_errors(given: str, what: str) -> Iterator[None]:
    """Make what the system says of a path one of this package's errors."""
    try:
        yield
    except VideoError:
        raise
    except NotRegularError as exc:
        msg = f"{quote(given)} is not a regular file; give the path of {what}"
        raise VideoError(msg) from exc
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise _missing(given) from exc
    except OSError as exc:
        raise _unreadable(given) from exc


@contextmanager
def open_picture(source: str | os.PathLike[str], roots: Roots | None) -> Iterator[tuple[str, DescriptorFile, int]]:
    """Open one picture file for the length of a block; yields what to call it, the file, and its size in bytes.

    Raises as `open_source` does; a picture may be a link, inside the roots to where it leads.
    """
    given = shown(path_text(source))
    path = _existing_path(path_text(source))
    _check_inside(path, given, roots)
    with _typed_errors(given, "an image file"):
        descriptor = open_where_it_is(path)
    try:
        yield given, DescriptorFile(descriptor), os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def open_where_it_is(path: str) -> int:
    """Open the regular file at a real path, none of whose folders may have become a link meanwhile.

    Returns:
        Its descriptor, which is the caller's to close. A pipe's writer is not waited for.

    Raises:
        NotRegularError: It is none.
        OSError: It is not there, a link, or may not be read.
    """
    if not hasattr(os, "O_PATH"):
        descriptor = _open_regular(path)
        if os.path.realpath(path) != path:
            os.close(descriptor)
            raise OSError(path)
        return descriptor
    at = os.open("/", _FOLDER)
    try:
        *folders, name = path.strip("/").split("/")
        for folder in folders:  # name by name, since a link is refused as the last one only
            outer, at = at, os.open(folder, _FOLDER, dir_fd=at)
            os.close(outer)
        return _open_regular(name, at)
    finally:
        os.close(at)


def _open_regular(name: str, folder: int | None = None) -> int:
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):  # opening a device may do something
        raise NotRegularError(name)
    descriptor = os.open(name, _FLAGS | _NO_LINK, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(name)
    return descriptor


def file_identity(path: str) -> Identity | None:
    """Return what changes when a file does, or a picture in a folder; `None` where it cannot be looked at."""
    try:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return _identity_of(status)
        with os.scandir(path) as entries:
            pictures = sorted((entry.name, *_identity_of(entry.stat())) for entry in entries if _is_picture(entry))
    except OSError:
        return None
    digest = hashlib.blake2b(repr(pictures).encode(), digest_size=8).digest()  # the same in every process
    return *_identity_of(status), int.from_bytes(digest)


def _identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_picture(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file()


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


def gap_note(frame_paths: Sequence[str]) -> str:
    """Say which numbers are left out of names that otherwise count on evenly; empty for none, and for other names."""
    names = [os.path.basename(path) for path in frame_paths]
    matches = [match for name in names if (match := _NUMBERED.fullmatch(os.path.splitext(name)[0]))]
    if len(matches) < len(names) or len({match.group(1, 3) for match in matches}) != 1:
        return ""
    steps = [int(after[2]) - int(before[2]) for before, after in pairwise(matches)]
    step, count = Counter(steps).most_common(1)[0] if steps else (0, 0)
    gaps = [place for place, width in enumerate(steps) if width != step]
    if not gaps or step < 1 or 2 * count <= len(steps):
        return ""
    others = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
    between = f"{names[gaps[0]]!r} to {names[gaps[0] + 1]!r}{others}"
    return f"a gap in the numbers of the pictures ({between}): times count those that are there"


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

    Raises:
        ConfigError: For any other scheme, or a file on another host: nothing is fetched from a network.
        VideoNotFoundError: If it holds a NUL character, which no name can.
    """
    path = _file_of(url)
    if path is None:
        told = "nothing is fetched from a network; download the file and give its path or a file:// URL"
        msg = f"{quote(shown(url))}: {told}"
        raise ConfigError(msg)
    if "\x00" in path:
        raise _missing(path)
    return path


def _file_of(url: str) -> str | None:
    """Return the path of a `file:` URL, whose percent-escapes alone are decoded: `#` and `?` are letters of a name."""
    if url[:5].lower() != "file:":
        return None if "://" in url else url
    rest = url[5:]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            return None
        rest = slash + path
    return unquote(rest)


def shown(url: str) -> str:
    """Return a URL without its user, query and fragment, which may be secret; a text that is none as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:  # an address in brackets that is none
        return url.partition("?")[0].rpartition("@")[2][:MAX_QUOTED_CHARS]
    if parts.netloc:
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:MAX_QUOTED_CHARS]
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0])[:MAX_QUOTED_CHARS]  # within another protocol's URL


def _existing_path(given: str) -> str:
    if re.match(r"^[A-Za-z][A-Za-z0-9+.-]+:", given) and not os.path.exists(given):
        told = "is not a file path; only local files are read, so download the video first and give its path"
        msg = f"{quote(shown(given))} {told}"
        raise VideoError(msg)
    if not given or "\x00" in given or not os.path.exists(given):
        raise _missing(given)
    path = real_path(given)
    check_name(path)
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
    try:
        return os.path.realpath(given)
    except (OSError, ValueError) as exc:
        raise _unreadable(given) from exc


def _check_inside(path: str, given: str, roots: Roots | None) -> None:
    """Refuse a real path outside the real paths of the roots; the message does not say where a link leads."""
    if roots is None or any(Path(path).is_relative_to(real_path(os.fsdecode(root))) for root in roots):
        return
    folders = quote(list(roots)) if roots else "no folder"
    told = f"is outside the allowed folders ({folders}), links resolved; move it there or allow its folder"
    msg = f"{quote(given)} {told}"
    raise VideoError(msg)


def _missing(given: str) -> VideoNotFoundError:
    folder = shorten(os.path.dirname(given) or ".")
    return VideoNotFoundError(f"no such file or folder: {quote(given)}; check the path, e.g. with: ls {folder}")


def _unreadable(given: str) -> VideoError:
    return VideoError(f"{quote(given)} cannot be read; check its permissions, e.g. with: ls -ld {shorten(given)}")
