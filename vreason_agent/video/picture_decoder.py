"""Pictures: several at once, or one, or a folder of them, as a video; decoded here or in a separate process."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import pairwise

from vreason_agent.errors import VideoDecodeError, VideoError
from vreason_agent.video.decoder import SAME_SECONDS, DecodedFrame, Decoder, Watch
from vreason_agent.video.files import DescriptorFile, Source, open_source
from vreason_agent.video.images import (
    Encoded,
    checked_size,
    decode_image,
    encoded_size,
    fit_within,
    read_checked,
    read_encoded,
)
from vreason_agent.video.read_options import DEFAULT_OPTIONS, Limits, ReadOptions
from vreason_agent.video.remote_decoder import WorkerProcess
from vreason_agent.video.types import FOLDER_FPS, Method, Picture, Size, VideoInfo

Decode = Callable[[bytes, str, Limits], Picture]
"""Decodes the bytes of a picture, by name for messages; see `images.decode_image`."""


class ImageDecoder(Decoder):
    """One picture, shown for ever."""

    method: Method = "image"

    def __init__(self, source: Source, options: ReadOptions, decode: Decode) -> None:
        """Read and decode it; raises as `read_image` does."""
        name = repr(source.path)
        data = read_checked(DescriptorFile(source.descriptor), name, options.limits)
        self._picture = decode(data, name, options.limits)
        height, width = self._picture.shape[:2]
        self.info = VideoInfo(source.path, "image", None, 1, 0.0, width, height, None, None, is_seekable=True)

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame:
        """Return it."""
        return DecodedFrame(0.0, math.inf, 0, fit_within(self._picture, max_side_px))

    def close(self) -> None:
        """Release nothing."""


class FolderDecoder(Decoder):
    """Pictures of one size, each of which is opened when it is wanted."""

    method: Method = "folder"

    def __init__(self, source: Source, options: ReadOptions, decode: Decode) -> None:
        """Look at the first picture and the headers of the others.

        Raises:
            VideoDecodeError: If two of them differ in size, or one that has to be decoded cannot be.
        """
        self._source, self._options, self._decode = source, options, decode
        count = len(source.frame_paths)
        seconds = count / FOLDER_FPS
        options.limits.check("max_seconds", seconds, f"{source.path!r} lasts {seconds:,.0f} s")
        self.info = VideoInfo(
            source.path, "frames", FOLDER_FPS, count, seconds, *self._common_size(), None, True, is_seekable=True,
            note=gap_note(source.frame_paths),
        )  # fmt: skip

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame | None:
        """Return the picture of a second; `None` past the last."""
        number = int((seconds + SAME_SECONDS) * FOLDER_FPS)
        if number >= len(self._source.frame_paths):
            return None
        watch.check()
        picture = fit_within(self._read(self._source.frame_paths[number]), max_side_px)
        return DecodedFrame(number / FOLDER_FPS, (number + 1) / FOLDER_FPS, number, picture)

    def close(self) -> None:
        """Release nothing."""

    def _read(self, path: str) -> Picture:
        """Read a picture, unless it has become something else, such as a link out of the roots."""
        try:
            name, data = read_encoded(path, self._options)
        except VideoError:
            self._source.check_unchanged()
            raise
        return self._decode(data, name, self._options.limits)

    def _common_size(self) -> Size:
        """Return the size of the pictures, from their headers wherever these agree."""
        first, *others = self._source.frame_paths
        name, data = read_encoded(first, self._options)
        header = checked_size(data, name, self._options.limits)
        shape = self._decode(data, name, self._options.limits).shape
        for path in others:
            # A picture whose header tells another size may be turned by its mark of orientation, so it is decoded.
            other = shape if encoded_size(path, self._options) == header else self._read(path).shape
            if other != shape:
                names = os.path.basename(first), os.path.basename(path)
                sizes = f"{names[0]} {shape[1]}x{shape[0]}, {names[1]} {other[1]}x{other[0]}"
                msg = f"the frames of {self._source.path!r} differ in size ({sizes}); bring them to one size"
                raise VideoDecodeError(msg)
        return Size(shape[1], shape[0])


def gap_note(frame_paths: Sequence[str]) -> str:
    """Say which numbers are left out of names that otherwise count on evenly; empty for none, and for other names."""
    names = [os.path.basename(path) for path in frame_paths]
    matches = [re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", os.path.splitext(name)[0]) for name in names]
    if len({match and match.group(1, 3) for match in matches}) != 1 or matches[0] is None:
        return ""
    steps = [int(after[2]) - int(before[2]) for before, after in pairwise(matches) if before and after]
    step, count = Counter(steps).most_common(1)[0] if steps else (0, 0)
    gaps = [place for place, width in enumerate(steps) if width != step]
    if not gaps or step < 1 or 2 * count <= len(steps):
        return ""
    others = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
    between = f"{names[gaps[0]]!r} to {names[gaps[0] + 1]!r}{others}"
    return f"a gap in the numbers of the pictures ({between}): times count those that are there"


def read_images(sources: Sequence[Encoded], options: ReadOptions = DEFAULT_OPTIONS) -> list[Picture]:
    """Read pictures one after the other; see `images.read_image`.

    Args:
        sources: Paths of image files, or their encoded bytes.
        options: Allowed folders, limits on each picture and on all together (their number, their pixels' bytes, and
            time), and isolation, which decodes all in one separate process.

    Raises:
        VideoError: As `read_image` raises; isolated, also if the process dies or takes too long.
        VideoTooLargeError: Also if they exceed a limit together.
    """
    watch = Watch(f"{len(sources)} pictures", options.limits)
    image_sizes(sources, options)
    worker = None if options.isolation is None else WorkerProcess(options.isolation)
    decode = decode_image if worker is None else worker.decode_image
    images = []
    try:
        for count, source in enumerate(sources):
            watch.tell(count, len(sources))
            name, data = read_encoded(source, options)
            images.append(decode(data, name, options.limits))
    finally:
        if worker is not None:
            worker.close()
    return images


def image_sizes(sources: Sequence[Encoded], options: ReadOptions = DEFAULT_OPTIONS) -> list[Size]:
    """Return the sizes of pictures as their headers tell them; decodes none. Raises as `read_images` does before."""
    told = f"{len(sources):,} pictures"
    options.limits.check("max_frames", len(sources), told)
    sizes = [encoded_size(source, options) for source in sources]
    num_bytes = sum(size.width * size.height * 3 for size in sizes)
    options.limits.check("max_result_bytes", num_bytes, f"{told} are {num_bytes:,} bytes when they are decoded")
    return sizes


def still_size(path: str | os.PathLike[str], options: ReadOptions = DEFAULT_OPTIONS) -> Size | None:
    """Return the size of a file that is a picture, decoding nothing; `None` for a video or a folder.

    Raises:
        VideoError: If it cannot be opened, or exceeds a limit.
    """
    with closing(open_source(path, options)) as source:
        is_still = source.kind == "image"
    return image_sizes([path], options)[0] if is_still else None
