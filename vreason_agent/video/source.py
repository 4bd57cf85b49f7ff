"""What the caller gave: a video, a GIF, an image, or a folder of frames, told apart by content and never by name.

Only regular files and folders pass, by absolute real path: protocol strings, playlists, devices and pipes never reach
the decoder. Knows no decoder.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import unquote

from vreason_agent.errors import (
    ConfigError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
    is_utf8,
    quote,
    shorten,
)
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.regular_file import NotRegularError, Stamp, open_regular, open_where_it_is, stamp_of_status
from vreason_agent.video.signature import HEAD_BYTES, PROBED_BYTES, has_script_words, is_text, is_video_head
from vreason_agent.video.url_text import shown

Roots = Sequence[str | os.PathLike[str]]
Kind = Literal["video", "image", "gif", "frames"]
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_PATTERN_MARKS = set("%*?{}[]")
_VIDEO_SUFFIXES = set(
    [
        ".3gp",
        ".avi",
        ".flv",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogg",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
_IMAGE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")


@dataclass(frozen=True)
class Source:
    """A checked input.

    Attributes:
        path: Absolute real path.
        kind: What it holds.
        frame_paths: The pictures of a folder in natural order; empty for a file.
        stamp: Changes when the file does, or another one comes into its place; part of cache keys.
    """

    path: str
    kind: Kind
    frame_paths: tuple[str, ...]
    stamp: Stamp


def open_source(
    video: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS, roots: Roots | None = None
) -> Source:
    """Check what `video` is without decoding anything.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures.
        limits: Upper bounds.
        roots: Folders that the file must lie in, links resolved; `None` allows any file.

    Raises:
        VideoNotFoundError: Nothing is there.
        VideoTooLargeError: The file exceeds `limits.max_bytes`.
        VideoDecodeError: Empty, of no known container, or a folder without pictures.
        VideoError: A URL or protocol string, no regular file, one outside the roots, or one that may not be read.
        ConfigError: `video` is no path, or one whose name is not UTF-8, or `roots` is no list of paths.
    """
    given = path_text(video)
    path = _existing_path(given)
    if roots is not None:
        check_inside(path, given, roots)
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return _folder_source(path, given, roots)
        with open_where_it_is(path) as file:
            return _file_source(file, path, given, limits)
    except NotRegularError as exc:
        msg = f"{quote(given)} is not a regular file; give the path of a video, an image or a folder of frames"
        raise VideoError(msg) from exc
    except FileNotFoundError as exc:
        raise VideoNotFoundError(_missing(given)) from exc
    except OSError as exc:
        raise VideoError(_unreadable(given)) from exc


def _folder_source(path: str, given: str, roots: Roots | None) -> Source:
    stamp = stamp_of(path)
    if stamp is None:
        raise VideoError(_unreadable(given))
    return Source(path, "frames", _list_frames(path, given, roots), stamp)


def _file_source(file: BinaryIO, path: str, given: str, limits: Limits) -> Source:
    """Check an open file, so that what is looked at is what the stamp is of."""
    status = os.fstat(file.fileno())
    if status.st_size == 0:
        msg = f"{quote(given)} is empty (0 bytes); copy or download the file again"
        raise VideoDecodeError(msg)
    if status.st_size > limits.max_bytes:
        msg = (
            f"{quote(given)} has {status.st_size:,} bytes, more than max_bytes={limits.max_bytes:,}; cut the part "
            "you need"
        )
        raise VideoTooLargeError(msg)
    kind = _kind(file, given)
    if kind != "image":
        _check_pattern(path, given)
    return Source(path, kind, (), stamp_of_status(status))


def _check_pattern(path: str, given: str) -> None:
    """Refuse a name that FFmpeg would take for a pattern of picture files and open others by, whatever the file is."""
    if set(path) & _PATTERN_MARKS and os.path.splitext(path)[1].lower() not in _VIDEO_SUFFIXES:
        msg = (
            f"{quote(given)} has one of {' '.join(sorted(_PATTERN_MARKS))} in its path and no video's extension, "
            "so that "
            "FFmpeg would take it for a pattern of file names; rename it, such as to clip.mp4"
        )
        raise VideoError(msg)


def stamp_of(path: str) -> Stamp | None:
    """Return what changes when the file does, or a picture in the folder; `None` where it cannot be looked at."""
    try:
        status = os.stat(path)
        stamp = stamp_of_status(status)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                pictures = sorted(
                    (entry.name, *stamp_of_status(entry.stat())) for entry in entries if _is_picture(entry)
                )
            return *stamp, _digest(pictures)
    except OSError:
        return None
    return stamp


def _digest(pictures: Sequence[tuple[object, ...]]) -> int:
    """Return a number that tells lists of pictures apart, the same one in every process."""
    return int.from_bytes(hashlib.blake2b(repr(pictures).encode(), digest_size=8).digest())


def _is_picture(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file()


def path_text(given: object) -> str:
    """Return a path as text, that of a `file:` URL included.

    Raises:
        ConfigError: If it is no path, or a `file:` URL of another machine.
        VideoNotFoundError: If such a URL holds a NUL character.
    """
    if not isinstance(given, str | bytes | os.PathLike):
        msg = f"{quote(given)} is no path; give the path of a video, an image or a folder of frames"
        raise ConfigError(msg)
    text = os.fsdecode(given)
    return local_path(text) if text[:5].lower() == "file:" else text


def check_name(path: str) -> None:
    """Refuse a name that is not UTF-8: OpenCV crashes the process on one.

    Raises:
        ConfigError: If it holds bytes that Python could not decode.
    """
    if not is_utf8(path):
        msg = f"{quote(path)} has a name that is not UTF-8; rename it, or where it is UTF-8 set LC_ALL=C.UTF-8"
        raise ConfigError(msg)


def local_path(url: str) -> str:
    """Return the path that a `file:` URL or a bare path names; a bare path is taken as it is written.

    Raises:
        ConfigError: For any other scheme, or a file on another host: nothing is fetched from a network.
        VideoNotFoundError: If it holds a NUL character, which no name can.
    """
    path = _file_of(url)
    if path is None:
        msg = (
            f"{quote(shown(url))}: nothing is fetched from a network; download the file and give its path or a "
            "file:// URL"
        )
        raise ConfigError(msg)
    if "\x00" in path:
        msg = f"no such file or folder: {path!r:.200}; check the path"
        raise VideoNotFoundError(msg)
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


def _existing_path(given: str) -> str:
    if re.match(r"^[A-Za-z][A-Za-z0-9+.-]+:", given) and not os.path.exists(given):
        told = shown(given)
        msg = (
            f"{quote(told)} is not a file path; only local files are read, so download the video first and give "
            "its path"
        )
        raise VideoError(msg)
    if not given or "\x00" in given or not os.path.exists(given):
        raise VideoNotFoundError(_missing(given))
    path = real_path(given)
    check_name(path)
    return path


def real_path(given: str) -> str:
    """Return the absolute path that a path leads to.

    Raises:
        VideoError: If that cannot be told, as where a link is exchanged at that moment.
    """
    try:
        return os.path.realpath(given)
    except (OSError, ValueError) as exc:
        raise VideoError(_unreadable(given)) from exc


def check_roots(roots: Any) -> None:
    """Refuse what is no list of folders; of a text each letter would be one, and `/` allows any file.

    Raises:
        ConfigError: If it is a text, or one of them is no path.
    """
    is_list = isinstance(roots, Collection) and not isinstance(roots, str | bytes)
    if not is_list or not all(isinstance(root, str | bytes | os.PathLike) for root in roots):
        example = [os.fsdecode(roots)] if isinstance(roots, str | bytes | os.PathLike) else ["/data/videos"]
        msg = f"allowed folders {quote(roots)} are no list of paths; give one, e.g. {quote(example)}"
        raise ConfigError(msg)


def check_inside(path: str, given: str, roots: Roots) -> None:
    """Refuse a real path outside the real paths of the roots; the message does not say where a link leads."""
    check_roots(roots)
    if any(Path(path).is_relative_to(real_path(os.fsdecode(root))) for root in roots):
        return
    folders = ", ".join(repr(os.fsdecode(root)) for root in roots) or "no folder"
    msg = (
        f"{quote(given)} is outside the allowed folders ({folders}), links resolved; move it there or allow its folder"
    )
    raise VideoError(msg)


def kind_of(path: str, given: str) -> Kind:
    """Return what a file is by its first bytes; raises as `open_source` does, naming it as `given`."""
    try:
        with os.fdopen(open_regular(path, follows=True), "rb") as file:
            return _kind(file, given)
    except OSError as exc:
        raise VideoError(_unreadable(given)) from exc


def _kind(file: BinaryIO, given: str) -> Kind:
    head = file.read(HEAD_BYTES)
    probed = head + file.read(PROBED_BYTES - len(head)) if is_video_head(head) else b""
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(_IMAGE_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if probed and not has_script_words(probed):
        return "video"
    looks = "text" if is_text(head) else "a script or playlist" if probed else "another format"
    msg = (
        f"{quote(given)} is no video or image that can be read (its content is {looks}); give an mp4, mov, mkv, "
        "webm, avi, "
        "mpg, ts, flv, ogg, wmv or gif file, an image, or a folder of frames"
    )
    raise VideoDecodeError(msg)


def _list_frames(path: str, given: str, roots: Roots | None) -> tuple[str, ...]:
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if _is_picture(entry)]
    except OSError as exc:
        raise VideoError(_unreadable(given)) from exc
    if not names:
        kinds = ", ".join(IMAGE_SUFFIXES)
        msg = f"the folder {quote(given)} holds no frames ({kinds}); give a folder of pictures or a video file"
        raise VideoDecodeError(msg)
    paths = tuple(str(Path(path, name)) for name in sorted(names, key=_natural_key))
    for frame in paths if roots is not None else ():
        check_inside(real_path(frame), frame, roots or ())
    return paths


def _missing(given: str) -> str:
    return (
        f"no such file or folder: {quote(given)}; check the path, e.g. with: ls "
        f"{shorten(os.path.dirname(given) or '.')}"
    )


def _unreadable(given: str) -> str:
    return f"{quote(given)} cannot be read; check its permissions, e.g. with: ls -ld {shorten(given)}"


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which `frame2` comes before `frame10`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name)]
