"""A picture's size is known before it is decoded, and a bad picture is a typed error."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.video.hazards import numbered
from vreason_agent.errors import VideoDecodeError, VideoError, VideoTooLargeError
from vreason_agent.video import (
    Isolation,
    Limits,
    ReadOptions,
    image_sizes,
    images,
    picture_decoder,
    probe,
    read_frames,
    read_image,
    read_images,
    reader,
    remote_decoder,
)


def test_colors_are_rgb():
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 0] = 255  # OpenCV writes BGR
    assert read_image(cv2.imencode(".png", blue)[1].tobytes())[0, 0].tolist() == [0, 0, 255]


@contextmanager
def little_memory() -> Iterator[None]:
    """Check that at most a MiB is taken at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path):
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 100_000, 100_000) + b"\x08\x02\x00\x00\x00"
    with little_memory():
        for source in (header, _sparse(tmp_path / "a.png", header, 200 * 2**20)):
            with pytest.raises(VideoTooLargeError, match=r"100000x100000 pixels.*scale it down first"):
                read_image(source)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_a_picture_file_of_more_bytes_than_its_pixels_can_need_is_refused_before_it_is_read(tmp_path: Path, suffix):
    data = cv2.imencode(suffix, numbered(3))[1].tobytes()
    path = _sparse(tmp_path / f"a{suffix}", data, 3 * 2**30)
    with (
        little_memory(),
        pytest.raises(VideoTooLargeError, match=r"3,221,225,472 bytes, as many as .*; scale it down first"),
    ):
        probe(path)


def test_what_follows_a_picture_in_its_file_is_let_through(tmp_path: Path):
    """A phone's motion photograph is a JPEG with a video behind it."""
    path = _sparse(tmp_path / "a.jpg", cv2.imencode(".jpg", numbered(3))[1].tobytes(), 20 * 2**20)
    assert read_image(path).shape == (48, 64, 3)


def _sparse(path: Path, data: bytes, num_bytes: int) -> Path:
    path.write_bytes(data)
    os.truncate(path, num_bytes)
    return path


@pytest.mark.parametrize("keep", [0, 3, 30, 60])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_a_cut_header_is_an_error_or_a_picture_never_a_crash(suffix, keep):
    data = cv2.imencode(suffix, numbered(3))[1].tobytes()[:keep]
    try:
        assert read_image(data).ndim == 3
    except VideoDecodeError as error:
        assert "give a JPEG, PNG, WebP or BMP" in str(error)  # noqa: PT017


def test_a_folder_is_no_picture(tmp_path: Path):
    with pytest.raises(VideoError, match="give the path of an image file"):
        read_image(tmp_path)


def test_a_picture_over_the_byte_limit_is_refused_given_as_a_file_or_as_data(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), numbered(1))
    for source in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        with pytest.raises(VideoTooLargeError, match=r"more than max_bytes=10; .* scale a picture down"):
            read_image(source, ReadOptions(limits=Limits(max_bytes=10)))


def test_a_picture_named_mp4_is_a_picture(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(cv2.imencode(".jpg", numbered(1))[1].tobytes())
    assert read_frames(tmp_path / "a.mp4", [0.0]).method == "image"


def _write(path: Path, height: int, width: int) -> None:
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def test_pictures_of_another_size_in_a_folder_are_told_when_it_is_probed(tmp_path: Path):
    for number, size in enumerate([(20, 30), (20, 30), (10, 30)]):
        _write(tmp_path / f"{number}.png", *size)
    with pytest.raises(VideoDecodeError, match=r"0\.png 30x20, 2\.png 30x10\); bring them to one size"):
        probe(tmp_path)


def test_a_folder_of_one_size_in_several_formats_is_probed_without_decoding_them(tmp_path: Path, monkeypatch):
    for name in ("0.png", "1.jpg", "2.bmp"):
        _write(tmp_path / name, 20, 30)
    decoded: list[str] = []

    def noted(data: bytes, name: str, limits: Limits) -> np.ndarray:
        decoded.append(name)
        return images.decode_image(data, name, limits)

    monkeypatch.setattr(reader, "decode_image", noted)
    info = probe(tmp_path)
    assert (info.width_px, info.height_px, info.num_frames) == (30, 20, 3)
    assert decoded == [repr(str(tmp_path / "0.png"))]


def test_a_photograph_that_exif_turns_to_the_size_of_the_others_is_let_through(tmp_path: Path):
    _write(tmp_path / "0.jpg", 48, 64)
    encoded = cv2.imencode(".jpg", np.zeros((64, 48, 3), np.uint8))[1].tobytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x06\0\0\0\0\0\0"  # orientation 6
    mark = b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned
    (tmp_path / "1.jpg").write_bytes(encoded[:2] + mark + encoded[2:])
    info = probe(tmp_path)
    assert (info.width_px, info.height_px, info.num_frames) == (64, 48, 2)


@pytest.mark.parametrize("isolation", [None, Isolation()])
def test_opencv_writes_nothing_of_a_damaged_picture_to_stderr(isolation, capfd):
    """libpng and libjpeg do in the own process, past OpenCV."""
    data = cv2.imencode(".gif", numbered(3))[1].tobytes()
    broken = [data[:6] + b"\x08\x00\x08\x00" + data[10:]]  # a frame beyond the screen
    if isolation:
        broken.append(cv2.imencode(".png", numbered(3))[1].tobytes()[:60])
    for each in broken:
        with pytest.raises(VideoDecodeError, match="give a JPEG, PNG, WebP or BMP"):
            read_images([each], ReadOptions(isolation=isolation))
    assert capfd.readouterr() == ("", "")


def test_pictures_whose_sizes_stand_behind_long_headers_are_compared(tmp_path: Path):
    """Two beginnings of which none told a size once counted as alike."""
    for number, width in enumerate((30, 40)):
        profile = b"\xff\xe2\xff\xff" + b"x" * 65533
        data = cv2.imencode(".jpg", np.zeros((20, width, 3), np.uint8))[1].tobytes()
        (tmp_path / f"{number}.jpg").write_bytes(data[:2] + profile + data[2:])
    with pytest.raises(VideoDecodeError, match=r"0\.jpg 30x20, 1\.jpg 40x20\); bring them to one size"):
        probe(tmp_path)


@pytest.mark.parametrize(("suffix", "kind"), [(".png", np.uint8), (".png", np.uint16), (".webp", np.uint8)])
def test_transparency_is_composited_on_white(suffix, kind):
    opaque = np.iinfo(kind).max
    picture = np.zeros((32, 32, 4), kind)
    picture[..., 0] = opaque  # blue, where nothing is to be seen
    picture[8:16, 8:16] = (0, 0, 0, opaque)
    picture[20:24, 20:24] = (0, 0, opaque, opaque // 2)
    data = cv2.imencode(suffix, picture, [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else [])[1].tobytes()
    image = read_image(data)
    assert [image[at, at].tolist() for at in (0, 10, 21)] == [[255, 255, 255], [0, 0, 0], [255, 128, 128]]


def _gray(height: int, width: int) -> bytes:
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize("isolation", [None, Isolation()])
@pytest.mark.parametrize(
    ("limits", "match"),
    [
        (Limits(max_frames=2), "3 pictures, more than max_frames=2; ask for fewer at a time"),
        (
            Limits(max_result_bytes=899),
            "3 pictures are 900 bytes .*max_result_bytes=899; give a smaller max_side_px, or ask for fewer",
        ),
        (Limits(max_wall_seconds=0.0), "3 pictures' took over max_wall_seconds=0; ask for fewer frames"),
        (Limits(max_pixels=99), "is 10x10 pixels, more than max_pixels=99; scale it down first"),
    ],
    ids=["frames", "bytes", "seconds", "pixels"],
)
def test_limits_hold_for_pictures_together_before_one_is_decoded(limits, match, isolation, monkeypatch):
    monkeypatch.setattr(picture_decoder, "decode_image", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(remote_decoder.WorkerProcess, "decode_image", lambda *_: pytest.fail("decoded"))
    with pytest.raises(VideoTooLargeError, match=match):
        read_images([_gray(10, 10)] * 3, ReadOptions(limits=limits, isolation=isolation))


def test_sizes_of_pictures_are_told_without_decoding_them(tmp_path: Path, monkeypatch):
    (tmp_path / "a.png").write_bytes(_gray(7, 9))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert image_sizes([tmp_path / "a.png", _gray(3, 5)]) == [(9, 7), (5, 3)]
    with pytest.raises(VideoError, match="outside the allowed folders"):
        image_sizes([tmp_path / "a.png"], ReadOptions(roots=[]))
    with pytest.raises(VideoDecodeError, match=r"3 bytes of image data cannot be decoded .*give a JPEG"):
        image_sizes([b"abc"])
