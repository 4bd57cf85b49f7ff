"""Images have bounded size whatever they show."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tools.frames import decode
from vreason_agent.tools import ToolLimits
from vreason_agent.tools.image_blocks import encode_jpeg, fit, image_block


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((200, 400), (50, 100)), ((400, 200), (100, 50)), ((50, 80), (50, 80)), ((1, 900), (1, 100))],
)
def test_fit_keeps_proportions_and_never_enlarges_unasked(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit(noise(*shape), 100).shape[:2] == expected


def test_fit_enlarges_up_to_the_factor() -> None:
    assert fit(noise(10, 20), 1000, max_enlargement=4).shape[:2] == (40, 80)
    assert fit(noise(10, 20), 60, max_enlargement=4).shape[:2] == (30, 60)


@pytest.mark.parametrize("max_bytes", [4096, 20_000, 100_000])
def test_noise_is_compressed_to_the_bound(max_bytes: int) -> None:
    data = encode_jpeg(noise(640, 640), max_bytes=max_bytes)
    assert max_bytes / 4 < len(data) <= max_bytes


def test_an_image_within_the_bound_keeps_its_size_and_colors() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :, 0] = 250
    shown = decode(encode_jpeg(image, max_bytes=100_000))
    assert shown.shape == image.shape
    assert np.abs(shown.astype(int) - image).max() < 8


def test_the_same_image_gives_the_same_block() -> None:
    image = noise(32, 32)
    assert image_block(image, ToolLimits()) == image_block(image.copy(), ToolLimits())
