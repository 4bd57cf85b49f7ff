"""The process that reads for another one: a line of JSON in, lines of JSON and raw pixels out.

Run as `python -m vreason_agent.video.isolated_process` by `vreason_agent.video.isolated`, which ends it. Its limits are
set before a decoder is loaded. Knows no model.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from collections.abc import Collection, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import DependencyError, VideoDecodeError, VReasonError
from vreason_agent.video.frames import changed
from vreason_agent.video.images import read_image, size_within
from vreason_agent.video.limits import Limits
from vreason_agent.video.opened import OpenVideo, open_checked
from vreason_agent.video.sizing import Sizing
from vreason_agent.video.source import open_source
from vreason_agent.video.stack import of_several_sizes

NO_IMAGES = np.empty((0, 1, 1, 3), np.uint8)


class FrameSender:
    """Sends each picture as soon as it is there, so that they do not pile up here."""

    images: NDArray[np.uint8] = NO_IMAGES

    def __init__(
        self, pipe: BinaryIO, path: str, numbers: Sequence[int], size: tuple[int, int], kept: Collection[int] = ()
    ) -> None:
        """Tell which frames of a file come, all of one width and height; the other process has those in `kept`."""
        self._pipe, self._path, self._size, self._kept = pipe, path, size, frozenset(kept)
        write_head(pipe, {"numbers": list(numbers)})

    def has(self, number: int) -> bool:
        """Whether the other process has a frame."""
        return number in self._kept

    def put(self, number: int, picture: NDArray[np.uint8]) -> None:
        """Send a frame.

        Raises:
            VideoDecodeError: If it has another size.
        """
        height, width = picture.shape[:2]
        if (width, height) != self._size:
            raise VideoDecodeError(of_several_sizes(self._path, (width, height), self._size))
        write_head(self._pipe, {"frame": number, "shape": picture.shape})
        self._pipe.write(np.ascontiguousarray(picture).data)
        self._pipe.flush()


class Server:
    """Answers the requests of one `ReadingProcess`."""

    def __init__(self, pipe: BinaryIO) -> None:
        """Answer into `pipe`."""
        self._pipe = pipe
        self._video: OpenVideo | None = None

    def serve(self, request: dict[str, Any]) -> None:
        """Answer one request; what reading raises is an answer too."""
        try:
            head = self._answer(**request)
        except DependencyError:  # it loads in the process that asked: memory is what is missing
            sys.exit(1)
        except VReasonError as error:
            head = {"error": type(error).__name__, "message": str(error)}
        write_head(self._pipe, head)

    def _answer(self, do: str, has_progress: bool, **options: Any) -> dict[str, Any]:
        on_progress = self._progress if has_progress else None
        if do == "open":
            return self._open(on_progress=on_progress, **options)
        if do == "picture":
            return self._picture(**options)
        if self._video is None:
            msg = "nothing is open"
            raise RuntimeError(msg)
        if do == "keyframes":
            return {"keyframes_seconds": self._video.keyframes_seconds}
        return self._read(self._video, on_progress=on_progress, **options)

    def _open(
        self, video: str, stamp: list[int], limits: dict[str, Any], roots: list[str] | None, **how: Any
    ) -> dict[str, Any]:
        """Open a file, if it is the one that the other process checked."""
        bounds = Limits(**limits)
        source = open_source(video, limits=bounds, roots=roots)
        if source.stamp != tuple(stamp):
            raise VideoDecodeError(changed(source.path))
        self._video = open_checked(source, limits=bounds, roots=roots, max_kept_bytes=0, **how)
        return self._video.info.to_dict()

    def _read(
        self, video: OpenVideo, timestamps: list[float], max_side_px: int | None, kept: list[int], **how: Any
    ) -> dict[str, Any]:
        """Send frames; what is kept there is of no use where the file turns out to be numbered otherwise."""
        path, still_kept = video.info.path, iter((kept,))

        def sender(numbers: Sequence[int], size: tuple[int, int]) -> FrameSender:
            sent = size_within(*size, max_side_px)
            return FrameSender(self._pipe, path, numbers, sent, next(still_kept, ()))

        frames = video.read_into(sender, timestamps, Sizing(max_side_px), **how)
        return {key: value for key, value in vars(frames).items() if key not in ("images", "info")}

    def _picture(
        self, limits: dict[str, Any], roots: list[str] | None, path: str = "", data: str | None = None
    ) -> dict[str, Any]:
        source = path if data is None else base64.b64decode(data)
        picture = read_image(source, limits=Limits(**limits), roots=roots)
        height, width = picture.shape[:2]
        FrameSender(self._pipe, path, [0], (width, height)).put(0, picture)
        return {}

    def _progress(self, done: int, total: int) -> None:
        write_head(self._pipe, {"progress": [done, total]})


def write_head(pipe: BinaryIO, head: dict[str, Any]) -> None:
    """Write a line of JSON."""
    pipe.write(json.dumps(head).encode() + b"\n")
    pipe.flush()


def main() -> None:
    """Serve until standard input ends; a native library's own output reaches nobody."""
    import resource

    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    memory, seconds = (int(number) for number in sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    server = Server(pipe)
    for line in sys.stdin.buffer:
        signal.alarm(seconds)  # should the process that asks be gone, a decoder that hangs is ended all the same
        server.serve(json.loads(line))
        signal.alarm(0)


if __name__ == "__main__":
    main()
