"""The process that reads for another one: a line of JSON in, a line of JSON and raw pixels out.

Run as `python -m vreason_agent.video.isolated_process` by `vreason_agent.video.isolated`, which ends it. Its limits are
set before a decoder is loaded. Knows no model.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vreason_agent.errors import DependencyError, VReasonError
from vreason_agent.video.frames import Frames
from vreason_agent.video.images import read_image
from vreason_agent.video.limits import Limits
from vreason_agent.video.opened import OpenVideo, open_video

Answer = tuple[dict[str, Any], NDArray[np.uint8] | None]


class Server:
    """Answers the requests of one `ReadingProcess`."""

    def __init__(self, pipe: BinaryIO) -> None:
        """Answer into `pipe`."""
        self._pipe = pipe
        self._video: OpenVideo | None = None

    def serve(self, request: dict[str, Any]) -> None:
        """Answer one request; what reading raises is an answer too."""
        try:
            head, pictures = self._answer(**request)
        except DependencyError:  # it loads in the process that asked: memory is what is missing
            sys.exit(1)
        except VReasonError as error:
            head, pictures = {"error": type(error).__name__, "message": str(error)}, None
        self._write(head if pictures is None else {**head, "shape": pictures.shape})
        if pictures is not None:
            self._pipe.write(np.ascontiguousarray(pictures).data)
            self._pipe.flush()

    def _answer(self, do: str, has_progress: bool, **options: Any) -> Answer:
        if do == "open":
            return self._open(**options)
        if do == "picture":
            return self._picture(**options)
        if self._video is None:
            msg = "nothing is open"
            raise RuntimeError(msg)
        if do == "keyframes":
            return {"keyframes_seconds": self._video.keyframes_seconds}, None
        on_progress = self._progress if has_progress else None
        return _plain(self._video.read(on_progress=on_progress, **options))

    def _open(self, video: str, limits: dict[str, Any], **options: Any) -> Answer:
        opened = open_video(video, limits=Limits(**limits), **options)
        if not isinstance(opened, OpenVideo):
            raise TypeError(type(opened))
        self._video = opened
        return opened.info.to_dict(), None

    def _picture(self, limits: dict[str, Any], path: str = "", data: str | None = None) -> Answer:
        source = path if data is None else base64.b64decode(data)
        return {}, read_image(source, limits=Limits(**limits))[None]

    def _progress(self, done: int, total: int) -> None:
        self._write({"progress": [done, total]})

    def _write(self, head: dict[str, Any]) -> None:
        self._pipe.write(json.dumps(head).encode() + b"\n")
        self._pipe.flush()


def _plain(frames: Frames) -> Answer:
    head = {key: value for key, value in vars(frames).items() if key not in ("images", "info")}
    return head, frames.images


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
