"""Which frames the next look is spent on: spread over the video, shot by shot, or where the last answer points.

Whatever the rule, a look with more frames keeps every temporal pair of the look before, and no frame of a pair comes to
stand in another one. Times are data; no frame is read here. This module knows no graph and no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ConfigError, quote
from ..video import FramePlan, pairs_plan, ranges_plan, scenes_plan, times_plan
from .checked import is_one_of, is_whole
from .named_times import NamedPart, named_part
from .policy import Ladder
from .state import Attempt, Clip, Sampling

FrameRule = Literal["pairs", "scenes", "zoom"]
Part = tuple[float, float]
_MIN_GAP_SECONDS = 1e-6


@dataclass(frozen=True)
class FramePolicy:
    """Where the frames of a rung are; how many there are is the `Ladder`'s business.

    Attributes:
        rule: `pairs`: spread over the part that is asked about. `scenes`: shared among the shots between cuts (extra
            `scenes`). `zoom`: the first look as `pairs`; every further one keeps what was seen and spends its new
            frames in the part that the last answer names (see `named_part`), a single moment standing for the time from
            pair to pair around it. Where a rule cannot be followed it is `pairs`, and the attempt's `sampling` says
            why: no cut, no time named, or more than half of the video named.
        max_scanned_frames: Most frames that `scenes` compares to find cuts; more find shorter shots and cost more.

    Raises:
        ConfigError: If there is no such rule, or fewer than 2 frames are to be compared.
    """

    rule: FrameRule = "pairs"
    max_scanned_frames: int = 600

    def __post_init__(self) -> None:
        if not is_one_of(self.rule, get_args(FrameRule)):
            msg = f"rule={quote(self.rule)} is not known; use one of: {', '.join(get_args(FrameRule))}"
            raise ConfigError(msg)
        if not is_whole(self.max_scanned_frames) or self.max_scanned_frames < 2:
            msg = (
                f"max_scanned_frames={quote(self.max_scanned_frames)}: a cut needs two frames; use a number such as 600"
            )
            raise ConfigError(msg)

    def plan(
        self, clip: Clip, num_frames: int, ladder: Ladder, attempts: Sequence[Attempt]
    ) -> tuple[FramePlan, Sampling]:
        """Choose the times of a rung.

        Args:
            clip: The part of a video that is asked about.
            num_frames: Frames of this rung.
            ladder: The rungs; the last fixes the distance within a pair.
            attempts: Those of the rungs before, each with its plan.

        Returns:
            The plan, and by which rule it was made and why.
        """
        if self.rule == "scenes":
            return _shot_by_shot(clip, num_frames, ladder)
        if self.rule == "zoom" and attempts:
            return _zoomed(clip, num_frames, ladder, attempts[-1])
        reason = "the first look is spread over the whole part" if self.rule == "zoom" else "asked for"
        return _spread(clip, num_frames, ladder, reason)


def _spread(clip: Clip, num_frames: int, ladder: Ladder, reason: str) -> tuple[FramePlan, Sampling]:
    whole = _whole(clip)
    plan = pairs_plan(*whole, num_frames=num_frames, max_frames=ladder.rungs()[-1])
    return plan, Sampling(rule="pairs", reason=reason, part_seconds=list(whole))


def _shot_by_shot(clip: Clip, num_frames: int, ladder: Ladder) -> tuple[FramePlan, Sampling]:
    whole, cuts = _whole(clip), clip.get("cuts_seconds")
    if not cuts:
        return _spread(clip, num_frames, ladder, clip.get("no_cuts", "cuts were not looked for"))
    plan = scenes_plan(*whole, cuts_seconds=cuts, num_frames=num_frames, max_frames=ladder.rungs()[-1])
    reason = f"shared among the {len(cuts) + 1} shots between the cuts that were found"
    return plan, Sampling(rule="scenes", reason=reason, part_seconds=list(whole))


def _zoomed(clip: Clip, num_frames: int, ladder: Ladder, last: Attempt) -> tuple[FramePlan, Sampling]:
    whole, before = _whole(clip), FramePlan.from_dict(last["plan"] or {})
    seen = _pairs(before)
    if num_frames <= 2 * len(seen):  # a run that was resumed with another ladder
        reason = f"the look before had {2 * len(seen)} frames already"
        return before, Sampling(rule="pairs", reason=reason, part_seconds=list(whole))
    named = named_part(last["answer"], f"{last['reasoning']}\n{last['text']}")
    part, reason = _part_of(named, whole, seen)
    if part is None and before.name == "pairs":
        return _spread(clip, num_frames, ladder, reason)
    sampling = Sampling(rule="zoom" if part else "pairs", reason=reason, part_seconds=list(part or whole))
    return _filled(before, _gaps(seen, part or whole), num_frames), sampling


def _part_of(named: NamedPart | None, whole: Part, seen: Sequence[Part]) -> tuple[Part | None, str]:
    """Return the part to zoom into, or `None`, and a reason for either."""
    if named is None:
        return None, "the last answer names no time"
    first, last, seconds = named.start_seconds, named.stop_seconds, whole[1] - whole[0]
    is_moment = first == last
    reason = f"{named.where} names {first:g} s" if is_moment else f"{named.where} names {first:g} s to {last:g} s"
    reach = seconds / len(seen) / 2 if is_moment else 0.0
    part = max(whole[0], first - reach), min(whole[1], last + reach)
    if part[0] >= part[1]:
        return None, f"{reason}, outside the part that is asked about"
    if part[1] - part[0] > seconds / 2:
        return None, f"{reason}, more than half of the part that is asked about"
    if not _gaps(seen, part):
        return None, f"{reason}, where no frame fits between those that were seen"
    return part, reason


def _gaps(pairs: Sequence[Part], part: Part) -> list[Part]:
    """Return where new pairs fit between old ones: after an old frame at a third of the way to the next."""
    gaps, cursor, is_frame = [], part[0], False
    inside = [pair for pair in pairs if pair[1] >= part[0] and pair[0] < part[1]]
    for first, last in [*inside, (part[1], part[1])]:
        gaps.append((cursor + (first - cursor) / 3 if is_frame else cursor, first))
        cursor, is_frame = last, True
    return [(start, stop) for start, stop in gaps if stop - start > _MIN_GAP_SECONDS]


def _filled(before: FramePlan, gaps: Sequence[Part], num_frames: int) -> FramePlan:
    """Add pairs to a plan, in the longest gaps where there are more gaps than pairs, until it has `num_frames`."""
    start, stop, seen = before.start_seconds, before.stop_seconds, _pairs(before)
    num_new = num_frames - 2 * len(seen)
    ranges = sorted(sorted(gaps, key=lambda gap: gap[0] - gap[1])[: num_new // 2])
    added = _pairs(ranges_plan(start, stop, ranges=ranges, num_frames=num_new))
    times = [time for pair in sorted([*seen, *added]) for time in pair]
    return times_plan(start, stop, timestamps_seconds=times)


def _pairs(plan: FramePlan) -> list[Part]:
    times = plan.timestamps_seconds
    return list(zip(times[::2], times[1::2], strict=True))


def _whole(clip: Clip) -> Part:
    return clip["start_seconds"], clip["stop_seconds"]
