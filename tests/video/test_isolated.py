"""A decoder that dies, hangs or grows in the reading process is a typed error here, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError, VideoNotFoundError, VideoTooLargeError
from vreason_agent.video import Isolation, Limits, read_frames, read_isolated
from vreason_agent.video import isolated as module


def test_an_isolated_read_gives_what_a_read_here_gives(write_opencv):
    path = write_opencv("a.mp4")
    alone, here = read_isolated(path, [1.0, 0.0], max_side_px=32), read_frames(path, [1.0, 0.0], max_side_px=32)
    assert np.array_equal(alone.images, here.images)
    assert vars(alone) | {"images": None} == vars(here) | {"images": None}


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"limits": Limits(max_bytes=10)}, VideoTooLargeError, "cut the part you need"),
        ({"timestamps": [9.0]}, VideoDecodeError, "ask for earlier times"),
        ({"timestamps": []}, ConfigError, "give at least one time"),
        ({"roots": []}, VideoError, "outside the allowed folders"),
        ({"video": "none.mp4"}, VideoNotFoundError, "check the path"),
        ({"isolation": Isolation(max_memory_bytes=2**20)}, VideoDecodeError, r"max_memory_bytes=1,048,576; re-encode"),
        ({"isolation": Isolation(max_seconds=0.01)}, VideoDecodeError, r"max_seconds=0\.01 and was ended; ask for"),
    ],
)
def test_an_error_keeps_its_kind_and_remedy(write_opencv, options, error, match):
    arguments = {"video": write_opencv("a.mp4"), "timestamps": [0.0], **options}
    with pytest.raises(error, match=match):
        read_isolated(**arguments)


def test_a_decoder_that_crashes_is_an_error(write_opencv, tmp_path: Path, monkeypatch):
    crash = tmp_path / "crashing" / "cv2.py"
    crash.parent.mkdir()
    crash.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    path = write_opencv("a.mp4")
    monkeypatch.syspath_prepend(str(crash.parent))
    with pytest.raises(VideoDecodeError, match=r"died: the file is damaged or hostile.*re-encode it: ffmpeg"):
        read_isolated(path, [0.0])


def test_fewer_pixels_than_promised_are_an_error():
    with pytest.raises(VideoDecodeError, match=r"gave 2 bytes of pixels for shape .* read it again"):
        module._frames(b'{"shape": [1, 2, 2, 3]}\nab', "a.mp4")


def test_limits_that_allow_nothing_are_refused():
    with pytest.raises(ConfigError, match="a number of seconds above 0"):
        Isolation(max_seconds=0.0)
