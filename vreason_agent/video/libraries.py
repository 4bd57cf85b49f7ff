"""The native libraries, loaded on first use: a missing one is an error that says what to type."""

from __future__ import annotations

import os
from functools import lru_cache
from types import ModuleType

from vreason_agent.errors import DependencyError


def load_cv2() -> ModuleType:
    """Return OpenCV, which writes no log of its own to stderr from then on, unless `OPENCV_LOG_LEVEL` is set.

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
    _silence()
    return cv2


@lru_cache
def _silence() -> None:
    import cv2

    if "OPENCV_LOG_LEVEL" not in os.environ:
        getattr(cv2.utils, "logging", cv2).setLogLevel(0)  # before OpenCV 4.13 in `cv2` itself


def load_av() -> ModuleType:
    """Return PyAV.

    Raises:
        DependencyError: If it cannot be loaded.
    """
    try:
        import av
    except ImportError as exc:
        msg = "PyAV, which decodes videos, cannot be loaded: pip install av; or use backend='opencv'"
        raise DependencyError(msg) from exc
    return av
