"""OpenCV without its own log, as long as one of several threads asks for that. Knows no file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import ModuleType

from vreason_agent.video.capture import load_cv2


class _Quiet:
    """How many ask for it, and the level that the first found."""

    def __init__(self) -> None:
        self._lock, self._num_asking, self._level = Lock(), 0, 0

    def begin(self, logging: ModuleType) -> None:
        with self._lock:
            if self._num_asking == 0:
                self._level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
            self._num_asking += 1

    def end(self, logging: ModuleType) -> None:
        with self._lock:
            self._num_asking -= 1
            if self._num_asking == 0:
                logging.setLogLevel(self._level)


_QUIET = _Quiet()


@contextmanager
def quiet_cv2() -> Iterator[ModuleType]:
    """Give OpenCV, which writes no log of its own to the process's stderr until the end; its libraries may.

    Raises:
        DependencyError: If it cannot be loaded.
    """
    cv2 = load_cv2()
    _QUIET.begin(cv2.utils.logging)
    try:
        yield cv2
    finally:
        _QUIET.end(cv2.utils.logging)
