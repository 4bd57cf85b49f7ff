"""What one run may bring along in place of the rules that its graph was built with.

This module knows no node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from .asking import FramesAs, check_frames_as
from .budget import Budget
from .frame_policy import FramePolicy
from .policy import AcceptPolicy, Ladder

_KINDS = {"ladder": Ladder, "policy": AcceptPolicy, "budget": Budget, "frame_policy": FramePolicy}


class VideoQAContext(TypedDict, total=False):
    """Rules of one run: objects, or their fields as plain data, as a server's clients send them."""

    ladder: Ladder | dict[str, Any] | None
    policy: AcceptPolicy | dict[str, Any] | None
    budget: Budget | dict[str, Any] | None
    frame_policy: FramePolicy | dict[str, Any] | None
    frames_as: FramesAs | None


def rules_of(context: VideoQAContext | None) -> dict[str, Any]:
    """Return the rules that a run brings along, as objects by name.

    Raises:
        ConfigError: If one is out of its range.
    """
    given: Mapping[str, Any] = context or {}
    rules = {
        name: kind(**rule) if isinstance(rule, Mapping) else rule
        for name, kind in _KINDS.items()
        if (rule := given.get(name)) is not None
    }
    frames_as = check_frames_as(given.get("frames_as"))
    return rules if frames_as is None else {**rules, "frames_as": frames_as}
