"""The process that decodes for another one: a line of JSON in, a line of JSON and raw pixels out.

Run as `python -m vreason_agent.video.worker` by `remote_decoder`, which ends it. Its limits are set before a decoder is
loaded, and it opens no file: it gets a descriptor.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, BinaryIO

import numpy as np

from vreason_agent.errors import DependencyError, VReasonError
from vreason_agent.video.decoder import Decoder, LostFrameError, Watch, open_decoder
from vreason_agent.video.files import Source
from vreason_agent.video.images import decode_image
from vreason_agent.video.read_options import DEFAULT_LIMITS, Limits, ReadOptions
from vreason_agent.video.types import Picture


class Server:
    """Answers the requests of one `WorkerProcess`."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Read from one pipe and write to the other."""
        self._requests, self._answers = requests, answers
        self._decoder: Decoder | None = None
        self._limits, self._path = DEFAULT_LIMITS, ""

    def serve(self, request: dict[str, Any]) -> None:
        """Answer one request; what reading raises is an answer too."""
        picture: Picture | None = None
        try:
            head, picture = self._answer(**request)
        except DependencyError:  # it loads in the process that asked: memory is what is missing
            sys.exit(1)
        except LostFrameError:
            head = {"lost": True}
        except VReasonError as error:
            head = {"error": type(error).__name__, "message": str(error)}
        self._answers.write(json.dumps(head).encode() + b"\n")
        if picture is not None:
            self._answers.write(np.ascontiguousarray(picture).data)
        self._answers.flush()

    def _answer(self, do: str, **asked: Any) -> tuple[dict[str, Any], Picture | None]:
        if do == "image":
            picture = decode_image(self._requests.read(asked["num_bytes"]), asked["name"], Limits(**asked["limits"]))
            return {"shape": picture.shape}, picture
        if do == "open":
            self._open(**asked)
        if self._decoder is None:
            msg = "nothing is open"
            raise RuntimeError(msg)
        watch = Watch(self._path, self._limits)
        if do == "open":
            return self._decoder.info.to_dict(), None
        if do == "look":
            return self._decoder.look_at_end(watch).to_dict(), None
        if do == "keyframes":
            return {"keyframes_seconds": self._decoder.keyframes_seconds(watch)}, None
        if do == "passes":
            return {"passes": self._decoder.passes(**asked)}, None
        return self._frame(self._decoder, watch, **asked)

    def _open(self, path: str, fd: int, limits: dict[str, Any], backend: Any, **facts: Any) -> None:
        self._limits, self._path = Limits(**limits), path
        source = Source(path, facts["kind"], tuple(facts["identity"]), fd)
        self._decoder = open_decoder(source, ReadOptions(limits=self._limits, backend=backend))

    def _frame(self, decoder: Decoder, watch: Watch, **asked: Any) -> tuple[dict[str, Any], Picture | None]:
        frame = decoder.frame_at(**asked, watch=watch)
        if frame is None:
            return {"end": True}, None
        head = {"start_seconds": frame.start_seconds, "stop_seconds": frame.stop_seconds, "number": frame.number}
        return {**head, "shape": frame.picture.shape, "method": decoder.method}, frame.picture


def main() -> None:
    """Serve until standard input ends; a native library's own output reaches nobody."""
    import resource

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    memory, seconds = (int(number) for number in sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    server = Server(sys.stdin.buffer, answers)
    while line := sys.stdin.buffer.readline():
        signal.alarm(seconds)  # should the process that asks be gone, a decoder that hangs is ended all the same
        server.serve(json.loads(line))
        signal.alarm(0)


if __name__ == "__main__":
    main()
