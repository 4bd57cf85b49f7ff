"""OpenCV, loaded on first use, and without its own log as long as one of several threads asks for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import ModuleType

from vreason_agent.errors import DependencyError

_SILENT = 0
_lock = Lock()
_levels: list[int] = []  # what each of those who ask found


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


@contextmanager
def quiet_cv2() -> Iterator[ModuleType]:
    """Give OpenCV, which writes no log of its own to the process's stderr until the end; its libraries may.

    Raises:
        DependencyError: If it cannot be loaded.
    """
    cv2 = load_cv2()
    log = getattr(cv2.utils, "logging", cv2)  # before OpenCV 4.13 in `cv2` itself
    with _lock:
        _levels.append(log.setLogLevel(_SILENT))
    try:
        yield cv2
    finally:
        with _lock:
            first = _levels[0]
            _levels.pop()
            if not _levels:
                log.setLogLevel(first)
