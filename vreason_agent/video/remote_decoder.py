"""Decoding in a separate process with limits on memory and time: a decoder that dies or hangs is a typed error.

The process, `vreason_agent.video.worker`, gets the descriptor that was checked and sends plain data, JSON and raw
pixels, never pickles; what it sends is checked to be of the agreed kinds, of this file and this request. Decodes
nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from threading import Timer
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np

from vreason_agent.errors import (
    ConfigError,
    VideoDecodeError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
    VReasonError,
)
from vreason_agent.video.decoder import SAME_SECONDS, DecodedFrame, Decoder, LostFrameError, Watch, resolve_backend
from vreason_agent.video.files import Source
from vreason_agent.video.image_headers import image_size
from vreason_agent.video.images import check_decoded_size, load_cv2, size_within
from vreason_agent.video.read_options import Isolation, Limits, ReadOptions
from vreason_agent.video.types import Method, Picture, VideoInfo

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_HEAD_BYTES = 2**24
MAX_NUMBER = 2**53  # beyond it JSON's numbers are not exact
MAX_TEXT_CHARS = 10_000  # a path of 4,096 and its folder
_ERRORS: dict[str, type[VReasonError]] = {
    kind.__name__: kind for kind in (ConfigError, VideoError, VideoNotFoundError, VideoDecodeError, VideoTooLargeError)
}
_Said = TypeVar("_Said")


class _FrameHead(NamedTuple):
    """What is sent before the pixels of a frame; see `DecodedFrame`."""

    start_seconds: float
    stop_seconds: float
    number: int | None
    shape: tuple[int, int, int]
    method: Method


class WorkerProcess:
    """The other process: requests go in, data comes out; ended by `close`, by its limits, or by the file it reads."""

    def __init__(self, isolation: Isolation, descriptor: int = -1) -> None:
        """Start it, with a file's descriptor where it is to decode a video.

        Raises:
            DependencyError: If OpenCV cannot be loaded; told here, where its text is not lost.
        """
        load_cv2()
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        limits = (isolation.max_memory_bytes, min(math.ceil(isolation.max_seconds) + 1, 2**31 - 1))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vreason_agent.video.worker", *map(str, limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=() if descriptor < 0 else (descriptor,),
            env={**os.environ, "PYTHONPATH": path},
        )
        self._requests, self._answers = cast(Any, self._process.stdin), cast(Any, self._process.stdout)
        self._isolation, self._is_late, self.has_ended = isolation, False, False

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with contextlib.suppress(OSError):  # a request that it never read
            self._requests.close()

    def ask(self, name: str, request: Mapping[str, Any], seconds: float, body: bytes = b"") -> dict[str, Any]:
        """Send a request and return the plain data of its answer.

        Args:
            name: What is read, for messages.
            request: JSON-plain data.
            seconds: Time for the answer.
            body: Bytes that follow the request.

        Raises:
            VideoDecodeError: It died, or was ended for its time.
            VReasonError: What reading raised there.
        """
        with self._timed(seconds), self.agreed(name):
            self._requests.write(json.dumps(request).encode() + b"\n" + body)
            self._requests.flush()
            head = json.loads(self._answers.readline(MAX_HEAD_BYTES))
            if not isinstance(head, dict):
                raise TypeError(head)
            error = checked_error(head) if "error" in head else None
        if error is not None:
            raise error
        return head

    def read_pixels(self, name: str, shape: tuple[int, int, int], seconds: float) -> Picture:
        """Return the picture that follows an answer."""
        with self._timed(seconds), self.agreed(name):
            picture = np.empty(shape, np.uint8)
            if self._answers.readinto(picture.data.cast("B")) != picture.nbytes:
                raise ValueError(shape)
            return picture

    @contextlib.contextmanager
    def _timed(self, seconds: float) -> Iterator[None]:
        """End the process if the block takes longer; after an error, what is still to come would be taken for more."""

        def expire() -> None:
            self._is_late = self.has_ended = True
            self._process.kill()

        timer = Timer(max(0.0, min(seconds, 2**31)), expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BaseException:
            self.has_ended = True
            self._process.kill()
            raise
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def agreed(self, name: str) -> Iterator[None]:
        """Make a closed pipe, and what is not the agreed data, the error that the process ended."""
        try:
            yield
        except VReasonError:
            raise
        except (OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as exc:
            used, told = self._isolation, f"the process that read {name!r} died: the file is damaged or hostile"
            why = f"{told}, or needs over max_memory_bytes={used.max_memory_bytes:,}"
            if self._is_late:
                why = f"reading {name!r} took over max_seconds={used.max_seconds:g} and was ended; ask for fewer frames"
            msg = f"{why}; re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
            raise VideoDecodeError(msg) from exc

    def decode_image(self, data: bytes, name: str, limits: Limits) -> Picture:
        """Decode the bytes of a picture there; see `images.decode_image`."""
        deadline = time.monotonic() + self._isolation.max_seconds
        request = {"do": "image", "num_bytes": len(data), "name": name, "limits": asdict(limits)}
        head = self.ask(name, request, self._isolation.max_seconds, data)
        with self.agreed(name):
            shape, size = checked(tuple[int, int, int], head["shape"]), image_size(data)
            if size is None or shape[2] != 3:
                raise ValueError(shape)
            check_decoded_size(shape, size, name)
        return self.read_pixels(name, shape, deadline - time.monotonic())


class RemoteDecoder(Decoder):
    """A video or GIF file that another process decodes; see `Decoder`.

    A process that a file ended is followed by another one at the next request.
    """

    def __init__(self, source: Source, options: ReadOptions, isolation: Isolation) -> None:
        """Start the process and let it open the file; raises as `open_decoder` does, or if the process ends."""
        self._source, self._limits, self._isolation = source, options.limits, isolation
        self._backend = resolve_backend(options)
        self.method: Method = "seek"
        self._worker = WorkerProcess(isolation, source.descriptor)
        try:
            self.info = self._open(Watch(source.path, options.limits))
        except BaseException:
            self.close()
            raise

    def _open(self, watch: Watch) -> VideoInfo:
        source, limits = self._source, asdict(self._limits)
        opened = {"path": source.path, "kind": source.kind, "identity": source.identity, "fd": source.descriptor}
        return self._checked_info(self._ask(watch, do="open", limits=limits, backend=self._backend, **opened))

    def _ask(self, watch: Watch, **request: Any) -> dict[str, Any]:
        if self._worker.has_ended:
            self._worker.close()
            self._worker = WorkerProcess(self._isolation, self._source.descriptor)
            self._open(watch)
        watch.check()
        return self._worker.ask(self._source.path, request, self._isolation.max_seconds - watch.seconds)

    def frame_at(self, seconds: float, max_side_px: int | None, watch: Watch) -> DecodedFrame | None:
        """Return the frame that is shown at a time; see `Decoder`."""
        answer = self._ask(watch, do="frame", seconds=seconds, max_side_px=max_side_px)
        if "lost" in answer:
            raise LostFrameError(self._source.path, seconds)
        if "end" in answer:
            return None
        with self._worker.agreed(self._source.path):
            head = checked(_FrameHead, answer)
            size = size_within(self.info.size, max_side_px)
            is_shown = head.start_seconds - SAME_SECONDS <= seconds < head.stop_seconds
            if not is_shown or head.shape != (size.height, size.width, 3):
                raise ValueError(head)
        self.method = head.method
        remaining = self._isolation.max_seconds - watch.seconds
        picture = self._worker.read_pixels(self._source.path, head.shape, remaining)
        return DecodedFrame(head.start_seconds, head.stop_seconds, head.number, picture)

    def passes(self, seconds: float) -> bool:
        """Whether going from here to a time decodes all frames between."""
        answer = self._ask(Watch(self._source.path, self._limits), do="passes", seconds=seconds)
        return answer.get("passes") is True

    def look_at_end(self, watch: Watch) -> VideoInfo:
        """Return what is known with a look at the end; see `Decoder`."""
        self.info = self._checked_info(self._ask(watch, do="look"))
        return self.info

    def keyframes_seconds(self, watch: Watch) -> tuple[float, ...]:
        """Return times of frames that are decoded without others; none where the file does not tell."""
        answer = self._ask(watch, do="keyframes")
        with self._worker.agreed(self._source.path):
            return checked(tuple[float, ...], answer["keyframes_seconds"])

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def _checked_info(self, said: Mapping[str, Any]) -> VideoInfo:
        """Return what was said of the file; its name, which may hold anything, is the one that was asked for."""
        with self._worker.agreed(self._source.path):
            info = replace(checked(VideoInfo, {**said, "path": ""}), path=self._source.path)
            is_it = (said["path"], info.kind, info.backend) == (self._source.path, self._source.kind, self._backend)
            if not is_it or not 0 < info.width_px * info.height_px <= self._limits.max_pixels:
                raise ValueError(said)
            return info


def checked(kind: type[_Said], said: Any) -> _Said:
    """Return what was said as what it is to be: every number finite and from 0, every text short and printable.

    Raises:
        ValueError: If it is anything else.
    """
    value: _Said = _adapter(cast(Any, kind)).validate_json(json.dumps(said), strict=True)
    _check(said)
    return value


def checked_error(said: Mapping[str, Any]) -> VReasonError:
    """Return the error that was said, of a kind that reading raises, with what can be printed of its message."""
    text = "".join(char if str.isprintable(char) else "?" for char in said["message"][:MAX_TEXT_CHARS])
    return _ERRORS[said["error"]](text)


def _check(said: Any) -> None:
    for part in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        _check(part)
    if isinstance(said, str) and not (said.isprintable() and len(said) <= MAX_TEXT_CHARS):
        raise ValueError(said)
    if isinstance(said, int | float) and not 0 <= said <= MAX_NUMBER:
        raise ValueError(said)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # the worker does without

    return TypeAdapter(kind)
