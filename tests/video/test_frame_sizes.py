"""Folders whose pictures do not fit together are told by their headers, before any is decoded."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vreason_agent.errors import VideoDecodeError
from vreason_agent.video import probe


def write(folder: Path, name: str, width: int, height: int, *, exif: bool = False) -> None:
    encoded = cv2.imencode(Path(name).suffix, np.zeros((height, width, 3), np.uint8))[1].tobytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x06\0\0\0\0\0\0"  # orientation 6
    mark = b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned
    (folder / name).write_bytes(encoded[:2] + mark + encoded[2:] if exif else encoded)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp"])
def test_a_last_picture_of_another_size_is_seen_by_probe(tmp_path: Path, ending: str) -> None:
    for number in range(5):
        write(tmp_path, f"{number}{ending}", 64, 48)
    assert probe(tmp_path).num_frames == 5
    write(tmp_path, f"9{ending}", 48, 64)
    with pytest.raises(VideoDecodeError, match=r"is 64x48 and .* is 48x64; bring them to one size"):
        probe(tmp_path)


def test_a_picture_that_exif_turns_to_the_others_size_is_let_through(tmp_path: Path) -> None:
    write(tmp_path, "0.jpg", 64, 48)
    write(tmp_path, "1.jpg", 48, 64, exif=True)
    assert (probe(tmp_path).width_px, probe(tmp_path).num_frames) == (64, 2)


def test_a_frame_that_is_no_picture_is_named(tmp_path: Path) -> None:
    write(tmp_path, "0.png", 64, 48)
    (tmp_path / "1.png").write_text("text")
    with pytest.raises(VideoDecodeError, match=r"1\.png' cannot be decoded as a picture; give a JPEG"):
        probe(tmp_path)
