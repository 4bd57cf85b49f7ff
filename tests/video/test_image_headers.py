"""The size that a header tells is the one that the decoder finds, or the picture is refused."""

from __future__ import annotations

import random
import struct
import zlib

import cv2
import numpy as np
import pytest

from tests.video.hazards import numbered
from vreason_agent.errors import VideoDecodeError
from vreason_agent.video import Size, images, read_image
from vreason_agent.video.image_headers import image_size

_SMALL_FRAME = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 16, 16, 1) + b"\x01\x11\x00"  # of a JPEG of 16x16
_FILL = b"\xff" * 11_000


def _encoded(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, numbered(3, width=65, height=49), options)[1].tobytes()


def _extended(webp: bytes) -> bytes:
    """Return a WebP with the header that tells of what is beyond pixels."""
    header = b"VP8X" + struct.pack("<I", 10) + b"\x00" * 4 + (64).to_bytes(3, "little") + (48).to_bytes(3, "little")
    body = header + webp[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


JPEG = _encoded(".jpg")
PICTURES = {
    "jpeg": JPEG,
    "progressive jpeg": _encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": _encoded(".png"),
    "gif": _encoded(".gif"),
    "bmp": _encoded(".bmp"),
    "webp": _encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless webp": _encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
    "extended webp": _extended(_encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80)),
}


def test_the_header_of_each_kind_tells_the_size():
    for kind in PICTURES:
        assert image_size(PICTURES[kind]) == Size(width=65, height=49)
        assert read_image(PICTURES[kind]).shape == (49, 65, 3)


def _hidden(data: bytes) -> bytes:
    """Return a JPEG with the header of a small one in a comment, to which a length behind `FF 00` seems to lead."""
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(_SMALL_FRAME))
    return data[:2] + b"\xff\x00" + struct.pack(">H", 2 + len(comment)) + comment + _SMALL_FRAME + data[2:]


@pytest.mark.parametrize(
    "data",
    [
        _hidden(JPEG),
        JPEG[:2] + b"\x00" + JPEG[2:],
        JPEG[:2] + _SMALL_FRAME + JPEG[2:],
        JPEG.replace(b"\xff\xda", _SMALL_FRAME + b"\xff\xda", 1),
        JPEG[:2] + b"\xff\xd0" + JPEG[2:],
        JPEG[:2] + b"\xff\xfe\x00\x01" + JPEG[2:],
        JPEG[:2] + _FILL + JPEG[2:],
        b"RIFFftypWEBP" + PICTURES["extended webp"][12:],
        PICTURES["png"][:8] + _chunk(b"aaAa", struct.pack(">II", 16, 16) + b"x" * 5) + PICTURES["png"][8:],
    ],
    ids=["hidden", "byte", "first", "second", "bare", "short", "fill", "avif", "chunk"],
)
def test_a_header_that_can_be_read_in_two_ways_is_refused(data):
    """A JPEG of 16x16 by our reading had 16000x16000 pixels by libjpeg's, past `max_pixels`."""
    assert image_size(data) is None
    with pytest.raises(VideoDecodeError, match="give a JPEG, PNG, WebP or BMP"):
        read_image(data)


def test_fill_bytes_and_a_comment_that_looks_like_a_header_are_passed_over():
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(_SMALL_FRAME)) + _SMALL_FRAME
    data = JPEG[:2] + b"\xff\xff" + comment + JPEG[2:]
    assert image_size(data) == (65, 49)
    assert read_image(data).shape == (49, 65, 3)


def test_a_picture_of_another_size_than_was_checked_is_refused(monkeypatch):
    monkeypatch.setattr(images, "checked_size", lambda *_: Size(8, 8))
    with pytest.raises(VideoDecodeError, match=r"tells 8x8 pixels and the decoder finds 65x49; save it anew as a PNG"):
        read_image(JPEG)


_PARTS = (
    b"\xff",
    b"\xff\x00",
    b"\xff\x01",
    b"\xff\xd8",
    _SMALL_FRAME,
    b"\xff\xfe" + struct.pack(">H", 2 + len(_SMALL_FRAME)),
    b"\xff\x00\x00\x06\xff\xfe\x00\x0d" + _SMALL_FRAME,
    _chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)),
    _chunk(b"aaAa", struct.pack(">II", 16, 16) + b"x" * 5),
    b"VP8X" + struct.pack("<I", 10) + b"\x00" * 4 + b"\x0f\x00\x00" * 2,
)


def _mutant(data: bytes, random_: random.Random) -> bytes:
    """Return a picture with its header changed: bytes set, left out, doubled, or parts of other headers put in."""
    mutant = bytearray(data)
    for _ in range(random_.randint(1, 3)):
        at, size = random_.choice([2, 8, 12, random_.randrange(64), random_.randrange(700)]), random_.randint(1, 12)
        change = random_.randrange(4)
        if change == 0:
            mutant[at : at + 1] = random_.choice([b"\x00", b"\xff", random_.randbytes(1)])
        elif change == 1:
            del mutant[at : at + size]
        elif change == 2:
            mutant[at:at] = mutant[at : at + size]
        else:
            mutant[at:at] = random_.choice(_PARTS)
    return bytes(mutant)


def check_mutants(kind: str, num_mutants: int) -> int:
    """Check that no mutant is decoded to another size than its header tells; return how many are decoded."""
    random_, num_decoded = random.Random(f"{kind} headers"), 0
    for number in range(num_mutants):
        data = _mutant(PICTURES[kind], random_)
        size = image_size(data)
        if size is None or size.width * size.height > 10**6:
            continue  # is refused
        if True:
            try:
                picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            except cv2.error:
                continue
        if picture is not None:
            assert sorted(picture.shape[:2]) == sorted(size), f"mutant {number} of {kind}"
            num_decoded += 1
    return num_decoded


@pytest.mark.parametrize("kind", PICTURES)
def test_no_mutant_is_decoded_to_another_size_than_its_header_tells(kind):
    assert check_mutants(kind, 300) > 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", PICTURES)
def test_none_of_many_mutants_is_either(kind):
    assert check_mutants(kind, 5000) > 100
