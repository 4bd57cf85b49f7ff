"""Which part of a video a block means: the hints it may carry, checked, in our names and in Qwen's.

This module opens no file and knows no message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from vreason_agent.errors import ConfigError, quote

Seconds = Annotated[float, Field(ge=0)]
FINGERPRINT = "fingerprint"
"""Extra of a block that says which state of its file is meant; read by caches only."""


class Hints(TypedDict, total=False):
    """Hints of a video block; times in seconds from the first frame."""

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)  # type: ignore[misc]

    start_seconds: Seconds
    stop_seconds: Seconds
    num_frames: Annotated[int, Field(ge=1)]
    max_frames: Annotated[int, Field(ge=1)]
    min_frames: Annotated[int, Field(ge=1)]
    timestamps: Annotated[list[Seconds], Field(min_length=1)]
    expected: list[Seconds]
    plan: Any
    sample_fps: Annotated[float, Field(gt=0)]


HINTS = tuple(Hints.__annotations__)
_LIST_HINTS = {"timestamps", "sample_fps"}
_PART = {"start_seconds", "stop_seconds"}
# What each way of choosing the frames replaces; fps and num_frames exclude each other in Qwen's tools as well.
_EXCLUDED = {
    "timestamps": {*_PART, "plan", "sample_fps", "num_frames", "max_frames", "min_frames"},
    "plan": {"sample_fps", "num_frames", "max_frames", "min_frames"},
    "num_frames": {"sample_fps", "min_frames"},
}
_QWEN = {"nframes": "num_frames", "video_start": "start_seconds", "video_end": "stop_seconds", "fps": "sample_fps"}
_QWEN_BUDGET = {"min_pixels", "max_pixels", "total_pixels", "resized_height", "resized_width"}
_IGNORED = {"cache_control", "detail", FINGERPRINT}
_ADAPTER = TypeAdapter(Hints)


def read_hints(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hints of an image or video block: at its top, beside its address, or in its `extras`.

    Raises:
        ConfigError: If one is not known, is misspelled, or has another type.
    """
    named: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in _entries(block):
        if name in _QWEN_BUDGET:
            msg = (
                f"{quote(name)} of a {block['type']} block: pixels are bounded for a model as a whole; leave it "
                "out, or use "
                "load_model(..., pixel_budget=PixelBudget(...))"
            )
            raise ConfigError(msg)
        if (ours := _QWEN.get(name, name)) not in HINTS or value is None:
            continue
        value = list(value) if isinstance(value, tuple) else value
        if ours in named and named[ours] != value:
            both = sorted({spelled[ours], name})
            msg = f"{' and '.join(both)} of a {block['type']} block: given twice with different values; give one"
            raise ConfigError(msg)
        named[ours], spelled[ours] = value, name
    try:
        return dict(_ADAPTER.validate_python(named))
    except ValidationError as exc:
        error = exc.errors()[0]
        name = ".".join(map(str, error["loc"]))
        msg = (
            f"{name}={quote(error['input'])} of a {block['type']} block: {error['msg']}; give such a value or "
            "leave it out"
        )
        raise ConfigError(msg) from exc


def check_hints(hints: Mapping[str, Any], *, kind: str, is_list: bool) -> None:
    """Refuse hints that would have no effect.

    Raises:
        ConfigError: If an image has any, a list of frames one that is not about the times of its frames, or two hints
            choose the frames in different ways.
    """
    allowed = set() if kind == "image" else _LIST_HINTS if is_list else set(HINTS)
    if idle := sorted(set(hints) - allowed):
        what = "an image" if kind == "image" else "a video given as a list of frames"
        told = f"use {' or '.join(sorted(allowed))}" if allowed else "leave it out"
        msg = f"{quote(idle[0])} says nothing about {what}; {told}"
        raise ConfigError(msg)
    for name, excluded in _EXCLUDED.items():
        if name in hints and (others := sorted(excluded & hints.keys())):
            msg = f"{name} and {' and '.join(others)} of a {kind} block choose the frames in different ways; give one"
            raise ConfigError(msg)
    if hints.get("min_frames", 0) > hints.get("max_frames", float("inf")):
        msg = f"min_frames={hints['min_frames']} is more than max_frames={hints['max_frames']}; give a lower min_frames"
        raise ConfigError(msg)


def _entries(block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    extras, nested = block.get("extras") or {}, block.get(str(block["type"]))
    if not isinstance(extras, Mapping):
        msg = f"extras={quote(extras)} of a {block['type']} block: give a mapping such as {{'num_frames': 8}}"
        raise ConfigError(msg)
    if unknown := sorted(set(extras) - set(HINTS) - set(_QWEN) - _QWEN_BUDGET - _IGNORED):
        msg = f"extras {quote(unknown[0])} of a {block['type']} block is not known; use one of: {', '.join(HINTS)}"
        raise ConfigError(msg)
    for place in (block, nested if isinstance(nested, Mapping) else {}, extras):
        for name, value in place.items():
            meant = [] if name in HINTS else get_close_matches(name, HINTS, n=1, cutoff=0.85)
            if meant:
                msg = f"{quote(name)} of a {block['type']} block is not known; did you mean {quote(meant[0])}?"
                raise ConfigError(msg)
            yield name, value
