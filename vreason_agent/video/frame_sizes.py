"""The one size of a folder's pictures, from their headers: a folder that mixes sizes is told before a model is loaded.

Knows no decoder.
"""

from __future__ import annotations

from functools import lru_cache

from vreason_agent.errors import VideoDecodeError, VideoError
from vreason_agent.video.image_size import image_size
from vreason_agent.video.source import Source

HEAD_BYTES = 4096  # holds the header of a picture without embedded previews or profiles


@lru_cache(maxsize=16)  # a question probes its folder several times
def check_frame_sizes(source: Source) -> None:
    """Check that the pictures of a folder have one size, without decoding any.

    A picture with Exif data may be turned by it, so its size is held against the others' in either direction; reading
    the frames shows the rest.

    Raises:
        VideoDecodeError: If they differ, or one has no picture's header.
        VideoError: If one cannot be read.
    """
    first, *others = source.frame_paths
    size, may_turn = _size(first)
    for path in others:
        other, turns = _size(path)
        is_same = sorted(other) == sorted(size) if turns or may_turn else other == size
        if not is_same:
            found = f"{first!r} is {size[0]}x{size[1]} and {path!r} is {other[0]}x{other[1]}"
            msg = (
                f"the frames of {source.path!r} differ in size: {found}; bring them to one size, e.g. with: "
                f"ffmpeg -i INPUT -vf scale={size[0]}:{size[1]} OUTPUT"
            )
            raise VideoDecodeError(msg)


def _size(path: str) -> tuple[tuple[int, int], bool]:
    """Return a picture's size by its header, and whether Exif data may turn it."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
            size = image_size(head)
            if size is None:
                head += file.read()
                size = image_size(head)
    except OSError as exc:
        msg = f"{path!r} cannot be read; check its permissions, e.g. with: ls -l {path}"
        raise VideoError(msg) from exc
    if size is None:
        msg = f"{path!r} cannot be decoded as a picture; give a JPEG, PNG, WebP or BMP"
        raise VideoDecodeError(msg)
    return size, b"Exif" in head or b"eXIf" in head or b"EXIF" in head
