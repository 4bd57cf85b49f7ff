"""Do frames look like those that a calibrator was fitted on? Four plain statistics of pictures and their usual range.

A probability is an average over questions like the labelled ones. Statistics cannot tell that a question is of another
kind; they do tell footage of another kind. Only measuring needs numpy; this module knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, fsum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STATISTICS = ("brightness", "contrast", "saturation", "edges")
MAX_SIDE_PX = 64
FALSE_ALARM = 0.01
_RIDGE = 1e-4


def frame_statistics(images: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Return the statistics of frames, each in [0, 1], on every n-th pixel such that at most 64 remain a side.

    Args:
        images: uint8 `(num_frames, height, width, 3)` RGB.

    Returns:
        `brightness` mean luma; `contrast` standard deviation of luma; `saturation` mean of largest minus smallest
        channel; `edges` mean absolute difference of neighboring luma in a row.
    """
    import numpy as np

    step = max(1, -(-max(images.shape[1:3]) // MAX_SIDE_PX))
    small = images[:, ::step, ::step].astype(np.float32) / 255
    luma = small @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    saturation = small.max(axis=-1) - small.min(axis=-1)
    edges = float(np.abs(np.diff(luma, axis=2)).mean()) if luma.shape[2] > 1 else 0.0
    values = (float(luma.mean()), float(luma.std()), float(saturation.mean()), edges)
    return dict(zip(STATISTICS, values, strict=True))


@dataclass(frozen=True)
class FrameRange:
    """Where the statistics of a calibrator's videos lie.

    Attributes:
        mean: Of each of `STATISTICS`.
        precision: Inverse of their covariance matrix.
        limit: Squared Mahalanobis distance that one video in a hundred like these exceeds.
    """

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    limit: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, float]]) -> FrameRange | None:
        """Return the range of the statistics of videos; `None` of fewer than 20, which have no hundredth part.

        The limit is the conformal quantile of V. Vovk et al. (2005): one more video of the same kind exceeds it with a
        probability of 1 % at most, but for the fit of mean and covariance to the same rows.
        """
        if len(rows) < 20:
            return None
        import numpy as np

        table = np.array([[row[name] for name in STATISTICS] for row in rows])
        precision = np.linalg.inv(np.cov(table.T) + _RIDGE * np.eye(len(STATISTICS)))
        usual = cls(tuple(table.mean(axis=0).tolist()), tuple(map(tuple, precision.tolist())), 0.0)
        distances = sorted(usual.distance(row) for row in rows)
        rank = min(len(rows), ceil((1 - FALSE_ALARM) * (len(rows) + 1)))
        return replace(usual, limit=distances[rank - 1])

    def distance(self, statistics: Mapping[str, float]) -> float:
        """Return the squared Mahalanobis distance of frames with these statistics from the mean."""
        centered = [statistics[name] - mean for name, mean in zip(STATISTICS, self.mean, strict=True)]
        weighed = [
            fsum(weight * value for weight, value in zip(line, centered, strict=True)) for line in self.precision
        ]
        return fsum(value * part for value, part in zip(centered, weighed, strict=True))

    def is_unusual(self, statistics: Mapping[str, float]) -> bool:
        """Whether frames with these statistics look unlike the calibrator's."""
        return self.distance(statistics) > self.limit

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FrameRange:
        """Read JSON data."""
        matrix = tuple(tuple(float(value) for value in line) for line in data["precision"])
        return cls(tuple(float(value) for value in data["mean"]), matrix, float(data["limit"]))
