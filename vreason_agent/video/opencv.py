"""OpenCV, loaded on first use, and without its own log as long as one of several threads asks for that.

Knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import ModuleType

from vreason_agent.errors import DependencyError


def load_cv2() -> ModuleType:
    """Return OpenCV.

    Raises:
        DependencyError: If it is not installed, a system library is missing, or it is what one wheel left of another.
    """
    try:
        import cv2

        _ = cv2.VideoCapture, cv2.imdecode, cv2.utils  # of an empty folder none is there
    except (ImportError, OSError, AttributeError, SystemError) as exc:
        msg = (
            "OpenCV (cv2) cannot be loaded; on a machine without libGL, and where a part of it is gone, use the "
            "headless build: pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless"
        )
        raise DependencyError(msg) from exc
    return cv2


_SILENT = 0


class _Quiet:
    """How many ask for it, and the level that the first found."""

    def __init__(self) -> None:
        self._lock, self._num_asking, self._level = Lock(), 0, 0

    def begin(self, cv2: ModuleType) -> None:
        with self._lock:
            if self._num_asking == 0:
                self._level = _log_of(cv2).setLogLevel(_SILENT)
            self._num_asking += 1

    def end(self, cv2: ModuleType) -> None:
        with self._lock:
            self._num_asking -= 1
            if self._num_asking == 0:
                _log_of(cv2).setLogLevel(self._level)


def _log_of(cv2: ModuleType) -> ModuleType:
    """Return where `setLogLevel` is: in `cv2.utils.logging`, before OpenCV 4.13 in `cv2` itself."""
    return getattr(cv2.utils, "logging", cv2)


_QUIET = _Quiet()


@contextmanager
def quiet_cv2() -> Iterator[ModuleType]:
    """Give OpenCV, which writes no log of its own to the process's stderr until the end; its libraries may.

    Raises:
        DependencyError: If it cannot be loaded.
    """
    cv2 = load_cv2()
    _QUIET.begin(cv2)
    try:
        yield cv2
    finally:
        _QUIET.end(cv2)
