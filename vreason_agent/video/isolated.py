"""Reading in a process of its own, with limits on memory and time: a decoder that dies or hangs is a typed error.

The other process, `vreason_agent.video.isolated_process`, sends plain data, JSON and raw pixels, never pickles: what a
hostile file made of it cannot run here. Decodes nothing. Knows no model.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BufferedReader, BufferedWriter
from threading import TIMEOUT_MAX, Lock, Timer
from typing import Any, cast

from vreason_agent.errors import ConfigError, VideoDecodeError
from vreason_agent.video.answers import ReadAnswer, checked, checked_error, checked_info
from vreason_agent.video.backend import Backend, decoder_of
from vreason_agent.video.frames import Frames, Progress, changed, closed, stopped
from vreason_agent.video.images import Picture
from vreason_agent.video.info import VideoInfo
from vreason_agent.video.kept import KeptFrames
from vreason_agent.video.limits import (
    DEFAULT_LIMITS,
    Limits,
    check_expected,
    check_request,
    check_side,
    is_count,
    is_time,
)
from vreason_agent.video.opencv import load_cv2
from vreason_agent.video.receiving import Receiver
from vreason_agent.video.sizing import Resize, Sizing
from vreason_agent.video.source import Roots, Source, stamp_of
from vreason_agent.video.stack import check_result

_MAX_HEAD_BYTES = 2**26


@dataclass(frozen=True)
class Isolation:
    """What the reading process may use; larger values admit longer and larger videos.

    Attributes:
        max_memory_bytes: Its address space, libraries and result included.
        max_seconds: Time that one answer may take, the look at the file or one read, until the process is ended.
    """

    max_memory_bytes: int = 4 * 2**30
    max_seconds: float = 120.0

    def __post_init__(self) -> None:
        is_memory = is_count(self.max_memory_bytes) and 1 <= self.max_memory_bytes < 2**63
        if not is_memory or not is_time(self.max_seconds) or not 0 < self.max_seconds < math.inf:
            msg = f"{self!r:.300}: use a whole number of bytes from 1 to 2**63 - 1, and a number of seconds above 0"
            raise ConfigError(msg)


Isolate = bool | Isolation


def as_isolation(isolate: Isolate) -> Isolation | None:
    """Return the limits of the reading process; `None` reads in this one."""
    if isinstance(isolate, Isolation):
        return isolate
    return Isolation() if isolate else None


class ReadingProcess:
    """The other process: requests go in, data comes out; ended by `close`, by its limits, or by the file it reads."""

    def __init__(self, isolation: Isolation) -> None:
        """Start it.

        Raises:
            DependencyError: If OpenCV cannot be loaded; told here, where its text is not lost.
        """
        load_cv2()
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        seconds = min(math.ceil(isolation.max_seconds) + 1, 2**31 - 1)
        limits = [str(isolation.max_memory_bytes), str(seconds)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vreason_agent.video.isolated_process", *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._requests = cast(BufferedWriter, self._process.stdin)
        self._answers = cast(BufferedReader, self._process.stdout)
        self._isolation, self._is_late, self._has_ended = isolation, False, False

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with contextlib.suppress(OSError):  # a request that it never read
            self._requests.close()

    @property
    def has_ended(self) -> bool:
        """Whether it answers no more."""
        return self._has_ended

    def ask(
        self,
        name: str,
        request: Mapping[str, Any],
        on_progress: Progress | None = None,
        receiver: Receiver | None = None,
    ) -> dict[str, Any]:
        """Send a request and return the plain data of its answer.

        Args:
            name: What is read, for messages.
            request: JSON-plain data.
            on_progress: Called with what is done, of how much; returning True ends the process.
            receiver: Takes the pictures.

        Raises:
            VideoDecodeError: It died, or was ended for its time or by `on_progress`.
            VReasonError: What reading raised there.
        """
        line = json.dumps({**request, "has_progress": on_progress is not None}).encode() + b"\n"
        timer = Timer(min(self._isolation.max_seconds, TIMEOUT_MAX), self._expire)
        timer.daemon = True
        timer.start()
        try:
            head = self._answer(name, line, on_progress, receiver)
        except BaseException:  # what is still to come would be taken for the next answer
            self._end()
            raise
        finally:
            timer.cancel()
        if "error" in head:
            with self.agreed(name):
                error = checked_error(head)
            raise error
        return head

    def _end(self) -> None:
        self._has_ended = True
        self._process.kill()

    def _expire(self) -> None:
        self._is_late = True
        self._end()

    def _answer(
        self, name: str, line: bytes, on_progress: Progress | None, receiver: Receiver | None
    ) -> dict[str, Any]:
        """Send a request and take in what comes until the last part of its answer."""
        with self.agreed(name):
            self._requests.write(line)
            self._requests.flush()
        while True:
            with self.agreed(name):
                head = json.loads(self._answers.readline(_MAX_HEAD_BYTES))
                if not isinstance(head, dict):
                    raise TypeError(head)
            if "progress" in head:
                self._tell(name, head["progress"], on_progress)
            elif receiver is not None and "numbers" in head:
                with self.agreed(name):
                    receiver.start(checked(tuple[int, ...], head["numbers"]))
            elif receiver is not None and "frame" in head:
                number, picture = self._frame(name, head, receiver)
                receiver.put(number, picture)
            else:
                return head

    def _tell(self, name: str, progress: Any, on_progress: Progress | None) -> None:
        with self.agreed(name):
            done, total = checked(tuple[int, int], progress)
        if on_progress is not None and on_progress(done, total):
            raise VideoDecodeError(stopped(name, done, total))

    @contextlib.contextmanager
    def agreed(self, name: str) -> Iterator[None]:
        """Make a closed pipe, and what is not the agreed data, the error that the process ended."""
        try:
            yield
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
            raise VideoDecodeError(self._ended(name)) from exc

    def _frame(self, name: str, head: Mapping[str, Any], receiver: Receiver) -> tuple[int, Picture]:
        with self.agreed(name):
            number, picture = checked(int, head["frame"]), receiver.room(checked(tuple[int, int, int], head["shape"]))
            if self._answers.readinto(picture.data.cast("B")) != picture.nbytes:
                raise ValueError(picture.shape)
            return number, picture

    def _ended(self, name: str) -> str:
        isolation = self._isolation
        if self._is_late:
            return (
                f"reading {name!r} took over max_seconds={isolation.max_seconds:g} and was ended; "
                "ask for fewer frames, or re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
            )
        return (
            f"the process that read {name!r} died: the file is damaged or hostile, or needs over "
            f"max_memory_bytes={isolation.max_memory_bytes:,}; re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
        )


@contextlib.contextmanager
def reading_process(isolation: Isolation) -> Iterator[ReadingProcess]:
    """Run a reading process for the length of a block."""
    process = ReadingProcess(isolation)
    try:
        yield process
    finally:
        process.close()


class IsolatedVideo:
    """A video opened in a process of its own, which ends with it; `open_video(..., isolate=True)` makes one.

    A process that a read ended, by its caller or by the file, is followed by another one at the next read.

    Attributes:
        info: What is known of the video.
    """

    def __init__(
        self,
        source: Source,
        *,
        request: Mapping[str, Any],
        isolation: Isolation,
        limits: Limits = DEFAULT_LIMITS,
        max_kept_bytes: int = 0,
        on_progress: Progress | None = None,
    ) -> None:
        """Start the process and let it look at the file.

        Args:
            source: The checked file; the process checks it again.
            request: How to open it, as `open_request` writes it.
            isolation: What the process may use.
            limits: Upper bounds on reads.
            max_kept_bytes: Pixels of frames to keep here between reads, as they are wanted.
            on_progress: Called while the process looks at the file; see `open_video`.

        Raises:
            VideoError: As `probe` raises, or the process died or took too long.
        """
        self._path, self._lock, self._is_closed = source.path, Lock(), False
        self._source, self._request, self._isolation, self._limits = source, request, isolation, limits
        self._kept, self._keeps = KeptFrames(max_kept_bytes), max_kept_bytes > 0
        self._process, self.info = self._started(on_progress)

    def _started(self, on_progress: Progress | None = None) -> tuple[ReadingProcess, VideoInfo]:
        process = ReadingProcess(self._isolation)
        try:
            opening = {"do": "open", "video": self._path, "stamp": self._source.stamp, **self._request}
            head = process.ask(self._path, opening, on_progress)
            with process.agreed(self._path):
                return process, checked_info(head, self._source, self._limits, self._request["backend"])
        except BaseException:
            process.close()
            raise

    def __enter__(self) -> IsolatedVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._process.close()
            self._kept.clear()
            self._is_closed = True

    @property
    def keyframes_seconds(self) -> tuple[float, ...]:
        """Times of the frames that are decoded without others; none where packets do not tell."""
        with self._lock:
            self._make_usable()
            head = self._process.ask(self._path, {"do": "keyframes"})
        with self._process.agreed(self._path):
            return checked(tuple[float, ...], head["keyframes_seconds"])

    def _make_usable(self) -> None:
        if self._is_closed:
            raise ConfigError(closed(self._path))
        if stamp_of(self._path) != self._source.stamp:
            raise VideoDecodeError(changed(self._path))
        if self._process.has_ended:
            self._process.close()
            self._kept.clear()  # another process may yet number the frames otherwise
            self._process, self.info = self._started()

    def read(
        self,
        timestamps: Sequence[float],
        *,
        max_side_px: int | None = None,
        resize: Resize | None = None,
        on_progress: Progress | None = None,
        allow_missing: bool = False,
        expected: Sequence[float] = (),
    ) -> Frames:
        """Return the frame that a player shows at each of the given times; see `read_frames`."""
        requested = check_request(self._path, timestamps, self._limits)
        later = check_expected(self._path, expected, self._limits)
        sizing = Sizing(check_side(max_side_px), resize)
        with self._lock:
            self._make_usable()
            size = (self.info.width_px, self.info.height_px)
            check_result(self._path, size, len(requested), sizing, self._limits)
            receiver = Receiver(self._path, len(requested), self._limits, sizing, self._kept, size)
            request = {
                "do": "read",
                "timestamps": requested,
                "max_side_px": sizing.max_side_px,
                "allow_missing": bool(allow_missing),
                "kept": list(receiver.held),
                "expected": later if self._keeps else (),
            }
            head = self._process.ask(self._path, request, on_progress, receiver)
        with self._process.agreed(self._path):
            images, said = receiver.images(), checked(ReadAnswer, head)
            said.check(requested, receiver.numbers, may_lack=bool(allow_missing))
            return Frames(images=images, info=self.info, **vars(said))


def open_request(limits: Limits, roots: Roots | None, backend: Backend) -> dict[str, Any]:
    """Return how to open a video, as JSON-plain data.

    Raises:
        ConfigError: If there is no such backend.
        DependencyError: If its library cannot be loaded; told here, where its text is not lost.
    """
    decoder_of(backend)
    return {"limits": asdict(limits), "roots": _folders(roots), "backend": backend}


def _folders(roots: Roots | None) -> list[str] | None:
    return None if roots is None else [os.path.abspath(os.fsdecode(root)) for root in roots]


def isolated_info(
    source: Source, limits: Limits, roots: Roots | None, isolation: Isolation, backend: Backend
) -> VideoInfo:
    """Return what is known of a video, found out in another process; of a file it is kept until the file changes."""
    folders = None if roots is None else tuple(os.fsdecode(root) for root in roots)
    look = _look if source.kind == "frames" else _look_once
    return look(source, limits, folders, isolation, backend)


def _look(
    source: Source, limits: Limits, roots: tuple[str, ...] | None, isolation: Isolation, backend: Backend
) -> VideoInfo:
    with IsolatedVideo(source, request=open_request(limits, roots, backend), isolation=isolation) as video:
        return video.info


_look_once = lru_cache(maxsize=64)(_look)


def ask_picture(
    process: ReadingProcess, source: str | os.PathLike[str] | bytes, limits: Limits, roots: Roots | None
) -> Picture:
    """Read one picture in a reading process, which checks where it lies; see `read_image`."""
    name = f"{len(source)} bytes of image data" if isinstance(source, bytes) else os.fsdecode(source)
    where = {"data": base64.b64encode(source).decode()} if isinstance(source, bytes) else {"path": name}
    receiver = Receiver(name, 1, limits)
    asked = {"do": "picture", **where, "limits": asdict(limits), "roots": _folders(roots)}
    process.ask(name, asked, receiver=receiver)
    with process.agreed(name):
        picture: Picture = receiver.images()[0]
        return picture
