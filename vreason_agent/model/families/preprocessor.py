"""What the preprocessor files of all families have in common: normalization and pixel limits, read and checked.

This module imports no torch and knows no family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vreason_agent.errors import quote
from vreason_agent.model.vision_settings import VisionSettings

__all__ = ["normalization_of", "number_of", "pixel_limits"]

LANCZOS, BICUBIC = 1, 3
"""Pillow's numbers of the resampling, as preprocessor files write it."""


def normalization_of(processor: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `VisionSettings` that a preprocessor file sets: factor, mean, deviation, and whether they apply.

    Raises:
        ValueError: a value is of the wrong kind, or a step of the one preprocessing path is left out.
    """
    _check_steps(processor)
    default = VisionSettings()
    return {
        "rescale_factor": number_of(processor, "rescale_factor", default.rescale_factor),
        "image_mean": _channels(processor, "image_mean", default.image_mean),
        "image_std": _channels(processor, "image_std", default.image_std),
        "do_normalize": processor.get("do_normalize") is not False,
        "resample": "lanczos" if processor.get("resample") == LANCZOS else "bicubic",
    }


def pixel_limits(processor: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Smallest and largest frame area of a preprocessor file, px, under the old keys or the new ones (`size`).

    A key that is null counts as absent.

    Raises:
        ValueError: a limit is no whole number from 1 on, or the smallest area exceeds the largest.
    """
    size = {} if processor.get("size") is None else processor["size"]
    if not isinstance(size, Mapping):
        raise ValueError(f"size={quote(size)}: must be an object")
    low = _area(processor, size, "min_pixels", "shortest_edge")
    high = _area(processor, size, "max_pixels", "longest_edge")
    if low is not None and high is not None and low > high:
        raise ValueError(f"the smallest frame has {low} px, more than the {high} px of the largest")
    return low, high


def _area(processor: Mapping[str, Any], size: Mapping[str, Any], key: str, edge: str) -> int | None:
    found = ((key, processor.get(key)), (key, size.get(key)), (edge, size.get(edge)))
    name, value = next(((name, value) for name, value in found if value is not None), (key, None))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value != int(value):
        raise ValueError(f"{name}={quote(value)}: must be a whole number of pixels from 1 on")
    return int(value)


def _check_steps(processor: Mapping[str, Any]) -> None:
    """Refuse a file that leaves out or changes a step of the one preprocessing path that there is."""
    for key in ("do_resize", "do_rescale"):
        if processor.get(key) is False:
            raise ValueError(f"{key}=False: frames are always resized and rescaled here")
    if (resample := processor.get("resample")) not in (None, BICUBIC, LANCZOS):
        raise ValueError(
            f"resample={quote(resample)}: frames are resized by {BICUBIC} (bicubic) or {LANCZOS} (Lanczos)"
        )


def number_of(processor: Mapping[str, Any], key: str, default: float) -> float:
    """A number of the file, or `default` where the key is absent or null."""
    value = processor.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError(f"{key}={quote(value)}: must be a number")
    return default if value is None else float(value)


def _channels(
    processor: Mapping[str, Any], key: str, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    values = default if processor.get(key) is None else processor[key]
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(type(v) in (int, float) for v in values):
        raise ValueError(f"{key}={quote(values)}: must be three numbers, one per channel")
    return float(values[0]), float(values[1]), float(values[2])
