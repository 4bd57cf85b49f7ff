"""What one run may bring along in place of the rules that its graph was built with.

This module knows no node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from typing_extensions import TypedDict

from ..errors import ConfigError, quote
from .asking import FramesAs, check_frames_as
from .budget import Budget
from .frame_policy import FramePolicy
from .policy import AcceptPolicy, Ladder

_KINDS: dict[str, type[Any]] = {
    "ladder": Ladder,
    "policy": AcceptPolicy,
    "budget": Budget,
    "frame_policy": FramePolicy,
}
_NAMES = (*_KINDS, "frames_as")


class VideoQAContext(TypedDict, total=False):
    """Rules of one run: objects, or their fields as plain data, as a server's clients send them."""

    ladder: Ladder | dict[str, Any] | None
    policy: AcceptPolicy | dict[str, Any] | None
    budget: Budget | dict[str, Any] | None
    frame_policy: FramePolicy | dict[str, Any] | None
    frames_as: FramesAs | None


def rules_of(context: VideoQAContext | None, *, is_lent: bool = False) -> dict[str, Any]:
    """Return the rules that are given, as objects by name; those that are `None` are left out.

    Args:
        context: What a run, or its graph, was given.
        is_lent: Whether it is a parent graph's, which may hold that graph's own things; these are left alone.

    Raises:
        ConfigError: If a rule is not known, of another type or out of its range.
    """
    given = _named(context, is_lent=is_lent)
    rules = {name: _rule(name, kind, given[name]) for name, kind in _KINDS.items() if given.get(name) is not None}
    frames_as = check_frames_as(given.get("frames_as"))
    return rules if frames_as is None else {**rules, "frames_as": frames_as}


def _named(context: Any, *, is_lent: bool) -> Mapping[str, Any]:
    if context is None or (is_lent and not isinstance(context, Mapping)):
        return {}
    if not isinstance(context, Mapping):
        msg = f"context={quote(context)} is no mapping; give rules by name: {', '.join(_NAMES)}"
        raise ConfigError(msg)
    unknown = [name for name in context if name not in _NAMES]
    if unknown and not is_lent:
        msg = f"context has {quote(unknown)}, which is not known; use {', '.join(_NAMES)}"
        raise ConfigError(msg)
    return context


def _rule(name: str, kind: type[Any], given: Any) -> Any:
    if isinstance(given, kind):
        return given
    known = [item.name for item in fields(kind)]
    if not isinstance(given, Mapping):
        msg = f"{name}={quote(given)} is no {kind.__name__}; give one, or a mapping of: {', '.join(known)}"
        raise ConfigError(msg)
    if unknown := [field for field in given if field not in known]:
        msg = f"{name} has {quote(unknown)}, which is not known; use {', '.join(known)}"
        raise ConfigError(msg)
    return kind(**given)
