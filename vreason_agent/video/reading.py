"""How files are read, as one value that is handed on: from which folders, in which process, by what."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from vreason_agent.video.backend import Backend
from vreason_agent.video.frames import Frames
from vreason_agent.video.image_size import Size
from vreason_agent.video.images import Picture
from vreason_agent.video.info import VideoInfo
from vreason_agent.video.isolated import Isolate, IsolatedVideo
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.opened import MAX_KEPT_BYTES, OpenVideo, open_video
from vreason_agent.video.picture_file import Encoded
from vreason_agent.video.probe import probe
from vreason_agent.video.reader import image_sizes, read_frames, read_images
from vreason_agent.video.scenes import Scenes, find_scenes
from vreason_agent.video.source import Roots, check_roots, open_source


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        roots: Folders that files must lie in, links resolved; `None` allows any file.
        isolate: Read in a process of its own, which a hostile file may end but not leave; see `Isolation`.
        backend: What decodes videos and GIFs; see `read_frames`.
        limits: Upper bounds on files and reads.

    Raises:
        ConfigError: If `roots` is no list of paths.
    """

    roots: Roots | None = None
    isolate: Isolate = False
    backend: Backend = "opencv"
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.roots is not None:
            check_roots(self.roots)

    def probe(self, video: str | os.PathLike[str]) -> VideoInfo:
        """Return what is known of a video; see `probe`."""
        return probe(video, limits=self.limits, roots=self.roots, isolate=self.isolate, backend=self.backend)

    def open(self, video: str | os.PathLike[str], *, max_kept_bytes: int = MAX_KEPT_BYTES) -> OpenVideo | IsolatedVideo:
        """Open a video for several reads; see `open_video`."""
        return open_video(
            video,
            limits=self.limits,
            max_kept_bytes=max_kept_bytes,
            roots=self.roots,
            isolate=self.isolate,
            backend=self.backend,
        )

    def frames(
        self, video: str | os.PathLike[str], timestamps: Sequence[float], *, max_side_px: int | None = None
    ) -> Frames:
        """Return the frames at these times; see `read_frames`."""
        return read_frames(
            video,
            timestamps,
            max_side_px=max_side_px,
            limits=self.limits,
            roots=self.roots,
            isolate=self.isolate,
            backend=self.backend,
        )

    def scenes(
        self, video: str | os.PathLike[str], *, start_seconds: float, stop_seconds: float, max_frames: int
    ) -> Scenes:
        """Find cuts and motion; see `find_scenes`."""
        return find_scenes(
            video,
            start_seconds=start_seconds,
            stop_seconds=stop_seconds,
            max_frames=max_frames,
            limits=self.limits,
            roots=self.roots,
            isolate=self.isolate,
            backend=self.backend,
        )

    def image_sizes(self, sources: Sequence[Encoded]) -> list[Size]:
        """Return the sizes of pictures, decoding none; see `image_sizes`."""
        return image_sizes(sources, limits=self.limits, roots=self.roots)

    def still_size(self, path: str) -> Size | None:
        """Return the size of a file that is a picture, decoding nothing; `None` for a video or a folder.

        Raises:
            VideoError: If it cannot be opened, or exceeds a limit.
        """
        is_still = open_source(path, limits=self.limits, roots=self.roots).kind == "image"
        return self.image_sizes([path])[0] if is_still else None

    def images(self, sources: Sequence[Encoded]) -> list[Picture]:
        """Read pictures; see `read_images`."""
        return read_images(sources, limits=self.limits, roots=self.roots, isolate=self.isolate)
