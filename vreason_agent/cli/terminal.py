"""What a person sees while a command works: lines and tokens on stderr, and Ctrl-C that ends within a token.

This module knows nothing of videos, models or graphs.
"""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any, TextIO

STDERR = 2
NATIVE_LOGS = {
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # AV_LOG_QUIET
    "TRANSFORMERS_VERBOSITY": "error",
}


def silence_libraries() -> None:
    """Keep libraries from printing beside the command's own lines; a level that the shell sets is kept."""
    for name, level in NATIVE_LOGS.items():
        os.environ.setdefault(name, level)


def replace_unencodable() -> None:
    """Let a character that stdout or stderr cannot encode become an escape, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@lru_cache(maxsize=1)
def _own_stderr() -> TextIO:
    """Return a second stream to where the process's stderr leads; handlers may keep it, so it is never closed."""
    return os.fdopen(os.dup(STDERR), "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1)


@contextmanager
def native_noise_silenced() -> Iterator[None]:
    """Keep from the terminal what codecs print past Python, such as OpenCV on WebM or libpng on a damaged picture.

    No log level turns those lines off. A crash is still reported, by Python's fault handler.
    """
    if os.environ.get("VREASON_TRACEBACK") == "1" or not _is_process_stderr():
        yield
        return
    before, sys.stderr = sys.stderr, _own_stderr()
    faulthandler.enable(sys.stderr)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), STDERR)
    try:
        yield
    finally:
        os.dup2(sys.stderr.fileno(), STDERR)
        sys.stderr = before


def _is_process_stderr() -> bool:
    """Return whether Python's stderr is the process's own; it is not where a caller captures or has closed it."""
    try:
        return sys.stderr is not None and sys.stderr.fileno() == STDERR
    except (OSError, ValueError):
        return False


def printable(text: str) -> str:
    """Return text whose control characters cannot reach a terminal; line ends stay."""
    return "".join(mark if mark.isprintable() or mark == "\n" else "\N{REPLACEMENT CHARACTER}" for mark in text)


def one_line(text: str) -> str:
    """Return text as `printable` does, and without line ends, as a file's name may have them."""
    return printable(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


class Progress:
    """Progress on stderr, so that stdout holds the result alone; silent when quiet, with the reasoning when verbose."""

    def __init__(self, *, quiet: bool, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._in_tokens = False
        self._channel = ""

    def line(self, text: str) -> None:
        """Print one line, after the running text if there is some."""
        self.end_tokens()
        if not self.quiet:
            print(printable(text), file=sys.stderr, flush=True)

    def token(self, text: str, *, channel: str = "text") -> None:
        """Append a piece of the model's text as it comes; another channel, such as reasoning, begins a line."""
        if channel != self._channel:
            self.end_tokens()
            self._channel = channel
        if text and not self.quiet:
            indented = printable(text).replace("\n", "\n  ")
            print(indented if self._in_tokens else f"  {indented}", end="", file=sys.stderr, flush=True)
            self._in_tokens = True

    def part(self, text: str) -> None:
        """Append a piece to a line that `end_tokens` ends."""
        if not self.quiet:
            print(printable(text), end="", file=sys.stderr, flush=True)
            self._in_tokens = True

    def end_tokens(self) -> None:
        """End the line of running text."""
        if self._in_tokens:
            print(file=sys.stderr, flush=True)
        self._in_tokens = False


@contextmanager
def warnings_as_lines(progress: Progress) -> Iterator[None]:
    """Show each warning once, as a line of progress."""
    shown: set[str] = set()  # Python's own "once" forgets when a library changes the filters for a moment

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        text = " ".join(str(message).split())
        if text not in shown:
            shown.add(text)
            progress.line(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = show
        yield


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets before it raises: a generation on another thread can stop at its next token."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread only
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
