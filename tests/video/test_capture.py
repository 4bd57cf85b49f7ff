"""What OpenCV raises between frames is an end or a missing picture, never its own error."""

from __future__ import annotations

from typing import Any

import cv2
import pytest

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video import read_frames
from vreason_agent.video.capture import MAX_FAILED_GRABS, Capture
from vreason_agent.video.source import open_source

_NATIVE = "OpenCV(5.0.0) /io/opencv/modules/videoio/src/cap.cpp:456: error: (-2) 0x7f00dead"


class _Raising:
    """An OpenCV capture of which one method raises from a certain call on."""

    def __init__(self, real: Any, name: str, first: int) -> None:
        self._real, self._name, self._first, self.num_calls = real, name, first, 0

    def __getattr__(self, name: str) -> Any:
        return self._raise if name == self._name else getattr(self._real, name)

    def _raise(self, *given: Any) -> Any:
        self.num_calls += 1
        if self.num_calls > self._first:
            raise cv2.error(_NATIVE)
        return getattr(self._real, self._name)(*given)


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes a method of every OpenCV capture raise after so many calls."""

    def install(name: str, *, after: int) -> list[_Raising]:
        real, made = cv2.VideoCapture, []

        def opened(*given: Any) -> _Raising:
            made.append(_Raising(real(*given), name, after))
            return made[-1]

        monkeypatch.setattr(cv2, "VideoCapture", opened)
        return made

    return install


def test_a_grab_that_raises_is_a_frame_that_is_not_there(write_opencv, raising):
    made = raising("grab", after=3)
    with Capture(open_source(write_opencv("a.mp4"))) as capture:
        assert len(list(capture.steps())) == 3
        assert made[0].num_calls == 3 + MAX_FAILED_GRABS
        assert not capture.grab()


def test_a_picture_that_raises_is_none(write_opencv, raising):
    raising("retrieve", after=0)
    with Capture(open_source(write_opencv("a.mp4"))) as capture:
        assert capture.grab()
        assert capture.retrieve_rgb() is None


@pytest.mark.parametrize("name", ["grab", "retrieve"])
def test_what_opencv_raises_is_a_typed_error_without_its_text(write_opencv, raising, name):
    path = write_opencv("a.avi", fourcc="MJPG")
    raising(name, after=0)
    with pytest.raises(VideoDecodeError, match="ffmpeg -i") as caught:
        read_frames(path, [1.0])
    assert "0x7f" not in str(caught.value)
    assert "/io/" not in str(caught.value)
