from __future__ import annotations

import numpy as np
import pytest

from vreason_agent.confidence import FrameRange, frame_statistics
from vreason_agent.confidence.frame_statistics import STATISTICS


def test_statistics_of_plain_pictures() -> None:
    black = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    assert frame_statistics(black) == dict.fromkeys(STATISTICS, 0.0)
    stripes = black.copy()
    stripes[:, :, ::2] = 255
    found = frame_statistics(stripes)
    assert found == pytest.approx({"brightness": 0.5, "contrast": 0.5, "saturation": 0.0, "edges": 1.0}, abs=1e-6)
    red = black.copy()
    red[..., 0] = 255
    assert frame_statistics(red)["saturation"] == 1.0


def test_videos_of_the_same_kind_rarely_look_unusual_and_others_always_do() -> None:
    # Of 2,000 more videos of the same kind, 1 % are expected above the limit; more than 2.5 % has a chance below 1e-6.
    draw = np.random.default_rng(0)

    def videos(count: int, brightness: float) -> list[dict[str, float]]:
        table = draw.normal([brightness, 0.1, 0.2, 0.03], [0.05, 0.02, 0.05, 0.005], (count, 4))
        return [dict(zip(STATISTICS, row, strict=True)) for row in table.tolist()]

    usual = FrameRange.of(videos(1000, 0.3))
    assert usual is not None
    assert sum(usual.is_unusual(row) for row in videos(2000, 0.3)) <= 50
    assert all(usual.is_unusual(row) for row in videos(100, 0.8))


def test_a_hundredth_part_of_few_videos_is_not_known() -> None:
    assert FrameRange.of([dict.fromkeys(STATISTICS, 0.1)] * 19) is None
