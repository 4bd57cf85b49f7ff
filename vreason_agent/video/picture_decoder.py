"""A single picture, and a folder of pictures, as videos: one frame a second, decoded here or in a separate process."""

from __future__ import annotations

import os
from collections.abc import Callable

from vreason_agent.errors import VideoDecodeError, VideoError
from vreason_agent.video.decoder import SAME_SECONDS, DecodedFrame
from vreason_agent.video.files import DescriptorFile, Source, gap_note
from vreason_agent.video.images import checked_size, encoded_size, fit_within, read_checked, read_encoded
from vreason_agent.video.progress import Watch
from vreason_agent.video.read_options import Limits, ReadOptions
from vreason_agent.video.types import FOLDER_FPS, Method, Picture, Size, VideoInfo

Decode = Callable[[bytes, str, Limits], Picture]
"""Decodes the bytes of a picture, by name for messages; see `images.decode_image`."""


class ImageDecoder:
    """One picture, shown for ever."""

    method: Method = "image"

    def __init__(self, source: Source, options: ReadOptions, decode: Decode) -> None:
        """Read and decode it; raises as `read_image` does."""
        name, file = repr(source.path), DescriptorFile(source.descriptor)
        data = read_checked(file, name, os.fstat(source.descriptor).st_size, options.limits)
        self._picture = decode(data, name, options.limits)
        height, width = self._picture.shape[:2]
        self.info = VideoInfo(source.path, "image", None, 1, 0.0, width, height, None, None, is_seekable=True)

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame:
        """Return it."""
        return DecodedFrame(0.0, float("inf"), 0, fit_within(self._picture, max_side_px))

    def passes(self, seconds: float) -> bool:
        """Nothing lies between."""
        return False

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what is known."""
        return self.info

    def keyframes_seconds(self, watch: Watch) -> tuple[float, ...]:
        """Return no times."""
        return ()

    def close(self) -> None:
        """Release nothing."""


class FolderDecoder:
    """Pictures of one size, each of which is opened when it is wanted."""

    method: Method = "folder"

    def __init__(self, source: Source, options: ReadOptions, decode: Decode) -> None:
        """Look at the first picture and the headers of the others.

        Raises:
            VideoDecodeError: If two of them differ in size, or one that has to be decoded cannot be.
        """
        self._source, self._options, self._decode = source, options, decode
        count = len(source.frame_paths)
        options.limits.check_length(source.path, count / FOLDER_FPS)
        size = self._common_size()
        self.info = VideoInfo(
            path=source.path,
            kind="frames",
            video_fps=FOLDER_FPS,
            num_frames=count,
            duration_seconds=count / FOLDER_FPS,
            width_px=size.width,
            height_px=size.height,
            codec=None,
            is_constant_rate=True,
            is_seekable=True,
            note=gap_note(source.frame_paths),
        )

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame | None:
        """Return the picture of a second; `None` past the last."""
        number = int((seconds + SAME_SECONDS) * FOLDER_FPS)
        if number >= len(self._source.frame_paths):
            return None
        watch.check()
        picture = fit_within(self._read(self._source.frame_paths[number]), max_side_px)
        return DecodedFrame(number / FOLDER_FPS, (number + 1) / FOLDER_FPS, number, picture)

    def passes(self, seconds: float) -> bool:
        """No picture needs another."""
        return False

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what is known."""
        return self.info

    def keyframes_seconds(self, watch: Watch) -> tuple[float, ...]:
        """Return no times."""
        return ()

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
        height, width = self._decode(data, name, self._options.limits).shape[:2]
        for path in others:
            if encoded_size(path, self._options) == header:
                continue
            other_height, other_width = self._read(path).shape[:2]  # one that is turned may be of the same size
            if (other_height, other_width) != (height, width):
                one, other = os.path.basename(first), os.path.basename(path)
                sizes = f"{one} {width}x{height}, {other} {other_width}x{other_height}"
                msg = f"the frames of {self._source.path!r} differ in size ({sizes}); bring them to one size"
                raise VideoDecodeError(msg)
        return Size(width, height)
