"""Which times to look at: the rules that make sampling plans.

A plan of temporal pairs is nested: twice the frames keep every old pair, so that a ladder of rungs can reuse what it
has seen. Knows no file.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, get_args

from vreason_agent.errors import ConfigError
from vreason_agent.video.plan_types import FramePlan, PlanSegment, even_runs
from vreason_agent.video.types import VideoInfo

Convention = Literal["left_edges", "centers"]
MAX_PLANNED_FRAMES = 65_536  # a plan is made before a limit of a file is known
EVEN_SECONDS = 0.001  # containers round to milliseconds: times that are off by less are evenly spaced


def pairs_plan(
    start_seconds: float, stop_seconds: float, *, num_frames: int, max_frames: int | None = None
) -> FramePlan:
    """Spread temporal pairs over `[start_seconds, stop_seconds)` at left edges, so that doubling keeps old pairs.

    Args:
        start_seconds: Start of the part, at least 0; as in every plan.
        stop_seconds: End of the part, after the start; as in every plan.
        num_frames: Frames of this plan: even, at least 2.
        max_frames: Frames of the ladder's last rung, which fixes the time within a pair to span / max_frames;
            by default `num_frames`, and then all frames are evenly spread.

    Raises:
        ConfigError: If the part is empty, a number is odd or too small, or `max_frames` is below `num_frames`.
    """
    _check_part(start_seconds, stop_seconds)
    last = _last_rung(num_frames, max_frames)
    span, num_pairs = stop_seconds - start_seconds, num_frames // 2
    edges = [start_seconds + span * pair / num_pairs for pair in range(num_pairs)]
    segment = PlanSegment(start_seconds, stop_seconds, tuple(t for edge in edges for t in (edge, edge + span / last)))
    options = {"num_frames": num_frames, "max_frames": max_frames}
    return FramePlan("pairs", start_seconds, stop_seconds, (segment,), options)


def uniform_plan(
    start_seconds: float, stop_seconds: float, *, num_frames: int, convention: Convention = "left_edges"
) -> FramePlan:
    """Spread single frames over a part.

    Args:
        start_seconds: As in `pairs_plan`.
        stop_seconds: As in `pairs_plan`.
        num_frames: Frames, at least 1.
        convention: Where in each of `num_frames` equal parts the frame is: `left_edges`, start + i * span / num_frames,
            or `centers`, start + (i + 1/2) * span / num_frames.

    Raises:
        ConfigError: If the part is empty, `num_frames` is below 1, or there is no such convention.
    """
    _check_part(start_seconds, stop_seconds)
    if not 1 <= num_frames <= MAX_PLANNED_FRAMES or convention not in get_args(Convention):
        msg = (
            f"num_frames={num_frames!r}, convention={convention!r}: use a number from 1 to {MAX_PLANNED_FRAMES}, and "
            "'left_edges' or 'centers'"
        )
        raise ConfigError(msg)
    span, shift = stop_seconds - start_seconds, 0.5 if convention == "centers" else 0.0
    times = tuple(start_seconds + span * (index + shift) / num_frames for index in range(num_frames))
    options = {"num_frames": num_frames, "convention": convention}
    segment = PlanSegment(start_seconds, stop_seconds, times)
    return FramePlan("uniform", start_seconds, stop_seconds, (segment,), options)


def fps_plan(start_seconds: float, stop_seconds: float, *, sample_fps: float, max_frames: int = 768) -> FramePlan:
    """Take `sample_fps` frames a second from the start on; the last one is left out where it has no pair.

    Args:
        start_seconds: As in `pairs_plan`.
        stop_seconds: As in `pairs_plan`.
        sample_fps: Frames per second, above 0; higher sees more and costs more.
        max_frames: Most frames, at most 65,536; more are an error, since a lower rate would be another plan.

    Raises:
        ConfigError: If the part is empty, the rate is not above 0, or it gives more than `max_frames` frames.
    """
    _check_part(start_seconds, stop_seconds)
    if not (math.isfinite(sample_fps) and sample_fps > 0):
        msg = f"sample_fps={sample_fps!r}: use a number of frames per second above 0, such as 1.0"
        raise ConfigError(msg)
    wanted = (stop_seconds - start_seconds) * sample_fps - 1e-6
    if wanted > min(max_frames, MAX_PLANNED_FRAMES):
        msg = (
            f"sample_fps={sample_fps:g} gives {wanted:.0f} frames from {start_seconds:g} s to {stop_seconds:g} s, more "
            f"than max_frames={max_frames}; lower sample_fps, ask for a shorter part, or raise max_frames up to "
            f"{MAX_PLANNED_FRAMES}"
        )
        raise ConfigError(msg)
    count = max(1, math.ceil(wanted))
    times = tuple(start_seconds + index / sample_fps for index in range(count - count % 2 if count > 1 else 1))
    segment = PlanSegment(start_seconds, stop_seconds, times)
    options = {"sample_fps": sample_fps, "max_frames": max_frames}
    return FramePlan("fps", start_seconds, stop_seconds, (segment,), options)


def times_plan(start_seconds: float, stop_seconds: float, *, timestamps_seconds: Sequence[float]) -> FramePlan:
    """Take the very times that are given; where their pairs are unevenly spaced, they become several segments.

    Args:
        start_seconds: As in `pairs_plan`.
        stop_seconds: As in `pairs_plan`.
        timestamps_seconds: Times in the part, not decreasing.

    Raises:
        ConfigError: If the part or the list is empty, a time lies outside the part, or they decrease.
    """
    _check_part(start_seconds, stop_seconds, "timestamps_seconds", timestamps_seconds)
    times = [float(time) for time in timestamps_seconds]
    if not times or times != sorted(times) or not (start_seconds <= times[0] and times[-1] < stop_seconds):
        msg = (
            f"timestamps_seconds={times}: give at least one time, each from {start_seconds:g} to below "
            f"{stop_seconds:g} s, in ascending order"
        )
        raise ConfigError(msg)
    segments = _segments(start_seconds, stop_seconds, tuple(times))
    return FramePlan("times", start_seconds, stop_seconds, segments, {"timestamps_seconds": times})


def keyframes_plan(
    start_seconds: float, stop_seconds: float, *, keyframes_seconds: Sequence[float], num_frames: int
) -> FramePlan:
    """Take the keyframes nearest to the middles of equal parts: an overview of which every frame is decoded alone.

    Args:
        start_seconds: As in `pairs_plan`.
        stop_seconds: As in `pairs_plan`.
        keyframes_seconds: Times of keyframes, as an opened video's `keyframes_seconds` gives them; those outside the
            part are left out.
        num_frames: Most frames, at least 1; fewer where one keyframe is the nearest of several middles.

    Raises:
        ConfigError: If the part is empty, has no keyframe, or `num_frames` is below 1.
    """
    _check_part(start_seconds, stop_seconds)
    inside = sorted(float(time) for time in keyframes_seconds if start_seconds <= time < stop_seconds)
    if not inside or not 1 <= num_frames <= MAX_PLANNED_FRAMES:
        msg = (
            f"num_frames={num_frames!r} of {len(inside)} keyframes from {start_seconds:g} to {stop_seconds:g} s: use "
            "at least 1 frame, and a part that has a keyframe; else use the plan 'uniform'"
        )
        raise ConfigError(msg)
    middles = uniform_plan(start_seconds, stop_seconds, num_frames=num_frames, convention="centers").timestamps_seconds
    places = [bisect.bisect_left(inside, middle) for middle in middles]
    near = [(middle, inside[max(0, at - 1) : at + 1]) for middle, at in zip(middles, places, strict=True)]
    times = tuple(sorted({min(keys, key=lambda key: abs(key - middle)) for middle, keys in near}))
    options = {"keyframes_seconds": list(times), "num_frames": num_frames}
    return FramePlan("keyframes", start_seconds, stop_seconds, _segments(start_seconds, stop_seconds, times), options)


def ranges_plan(
    start_seconds: float, stop_seconds: float, *, ranges: Sequence[Sequence[float]], num_frames: int
) -> FramePlan:
    """Share temporal pairs among ranges by their lengths, at least one pair each; each range is a segment.

    Args:
        start_seconds: As in `pairs_plan`.
        stop_seconds: As in `pairs_plan`.
        ranges: Start and stop of each range in seconds, in the part, ascending, not overlapping.
        num_frames: Frames of all ranges together: even, two or more for each.

    Raises:
        ConfigError: If a part is empty or not in its place, or `num_frames` is odd or too small.
    """
    _check_part(start_seconds, stop_seconds, "ranges", ranges)
    parts = [(float(start), float(stop)) for start, stop in ranges]
    bounds = [start_seconds, *(bound for part in parts for bound in part), stop_seconds]
    if not parts or bounds != sorted(bounds) or any(start == stop for start, stop in parts):
        msg = (
            f"ranges={[list(part) for part in parts]}: give at least one (start, stop) with start < stop, in ascending "
            f"order, not overlapping, from {start_seconds:g} to {stop_seconds:g} s"
        )
        raise ConfigError(msg)
    if _last_rung(num_frames, None) < 2 * len(parts):
        msg = f"num_frames={num_frames} for {len(parts)} ranges; give {2 * len(parts)} frames or more, or fewer ranges"
        raise ConfigError(msg)
    options = {"ranges": [list(part) for part in parts], "num_frames": num_frames}
    return FramePlan("ranges", start_seconds, stop_seconds, _shared(parts, num_frames // 2), options)


def scenes_plan(
    start_seconds: float,
    stop_seconds: float,
    *,
    cuts_seconds: Sequence[float],
    num_frames: int,
    max_frames: int | None = None,
) -> FramePlan:
    """Share temporal pairs among the shots between cuts by their lengths; each shot is a segment.

    With more shots than pairs the longest ones get a pair each, and the segments tell which. A plan with `max_frames`
    is a part of the plan of that many frames: more frames keep every old pair, and a shot may be several segments.

    Args:
        start_seconds: As in `pairs_plan`.
        stop_seconds: As in `pairs_plan`.
        cuts_seconds: First moments of new shots, ascending, as `find_scenes` gives them; those outside the part do not
            count.
        num_frames: Frames of all shots together: even, at least 2.
        max_frames: Frames of the ladder's last rung, whose pairs the plan is taken from; by default `num_frames`.

    Raises:
        ConfigError: If the part is empty, a number is odd or too small, `max_frames` is below `num_frames`, or the cuts
            do not ascend.
    """
    _check_part(start_seconds, stop_seconds, "cuts_seconds", cuts_seconds)
    last = _last_rung(num_frames, max_frames)
    cuts = [float(cut) for cut in cuts_seconds]
    if any(not after > before for before, after in pairwise(cuts)) or not all(map(math.isfinite, cuts)):
        msg = f"cuts_seconds={cuts}: give times in seconds in ascending order, each once"
        raise ConfigError(msg)
    shots = [*pairwise([start_seconds, *(cut for cut in cuts if start_seconds < cut < stop_seconds), stop_seconds])]
    longest = sorted(shots, key=lambda shot: shot[0] - shot[1])
    all_pairs = _shared(sorted(longest[: last // 2]), last // 2)
    options = {"cuts_seconds": cuts, "num_frames": num_frames, "max_frames": max_frames}
    segments = _thinned(all_pairs, sorted(longest[: num_frames // 2]), num_frames // 2)
    return FramePlan("scenes", start_seconds, stop_seconds, segments, options)


PLANS: Mapping[str, Callable[..., FramePlan]] = MappingProxyType(
    {
        "pairs": pairs_plan,
        "uniform": uniform_plan,
        "fps": fps_plan,
        "times": times_plan,
        "keyframes": keyframes_plan,
        "ranges": ranges_plan,
        "scenes": scenes_plan,
    }
)


def make_plan(name: str, start_seconds: float, stop_seconds: float, **options: Any) -> FramePlan:
    """Make a plan by the name of its rule, as it stands in data.

    Args:
        name: One of `PLANS`.
        start_seconds: Start of the part, at least 0.
        stop_seconds: End of the part, after the start.
        **options: The keyword arguments of that rule, JSON-plain.

    Raises:
        ConfigError: If there is no such rule, it has no such option or lacks one, or as the rule raises.
    """
    rule = PLANS.get(name)
    if rule is None:
        msg = f"plan {name!r} is not known; use one of: {', '.join(PLANS)}"
        raise ConfigError(msg)
    try:
        return rule(start_seconds, stop_seconds, **options)
    except ConfigError:
        raise
    except (TypeError, ValueError, OverflowError) as exc:  # options come from data
        names = (rule.__kwdefaults__ or {}).keys() | set(rule.__annotations__)
        given = ", ".join(sorted(names - {"start_seconds", "stop_seconds", "return"}))
        msg = f"plan {name!r} cannot be made with {options!r:.200}; its options are: {given}"
        raise ConfigError(msg) from exc


def _shared(parts: Sequence[tuple[float, float]], num_pairs: int) -> tuple[PlanSegment, ...]:
    """Spread pairs over each part."""
    counts = _counts(parts, num_pairs)
    plans = [uniform_plan(*part, num_frames=2 * count) for part, count in zip(parts, counts, strict=True)]
    return tuple(segment for plan in plans for segment in plan.segments)


def _counts(parts: Sequence[tuple[float, float]], num_pairs: int) -> list[int]:
    """Give each part a pair, and every further one to the part where they are sparsest."""
    counts, lengths = [1] * len(parts), [stop - start for start, stop in parts]
    sparsest = [(-length, part) for part, length in enumerate(lengths)]
    heapq.heapify(sparsest)
    for _ in range(num_pairs - len(parts)):
        part = sparsest[0][1]
        counts[part] += 1
        heapq.heapreplace(sparsest, (-lengths[part] / counts[part], part))
    return counts


def _thinned(
    segments: Sequence[PlanSegment], parts: Sequence[tuple[float, float]], num_pairs: int
) -> tuple[PlanSegment, ...]:
    """Keep some pairs of the segments that these parts are; more pairs keep those that fewer kept."""
    known = {(segment.start_seconds, segment.stop_seconds): segment.timestamps_seconds for segment in segments}
    thinned: list[PlanSegment] = []
    for part, count in zip(parts, _counts(parts, num_pairs), strict=True):
        times = known[part]
        kept = sorted(_halving_order(len(times) // 2)[:count])
        thinned += _segments(*part, tuple(time for pair in kept for time in times[2 * pair : 2 * pair + 2]))
    return tuple(thinned)


def _halving_order(count: int) -> list[int]:
    """Return 0 to count - 1, each in about the middle of the largest gap that those before it leave."""
    num_bits = (count - 1).bit_length()
    reversed_bits = [int(f"{number:0{num_bits}b}"[::-1], 2) for number in range(1 << num_bits)]
    return list(dict.fromkeys(bits * count >> num_bits for bits in reversed_bits))


def _segments(start_seconds: float, stop_seconds: float, times: tuple[float, ...]) -> tuple[PlanSegment, ...]:
    """Cut a part where its pairs cease to be evenly spaced; a segment begins with its first frame."""
    first, groups = 0, []
    for count, _ in even_runs(times[::2], tolerance_seconds=EVEN_SECONDS):
        groups.append(times[2 * first : 2 * (first + count)])
        first += count
    bounds = [start_seconds, *(group[0] for group in groups[1:]), stop_seconds]
    return tuple(PlanSegment(*part, group) for part, group in zip(pairwise(bounds), groups, strict=True))


def _last_rung(num_frames: int, max_frames: int | None) -> int:
    """Return the frames of the last rung, checked."""
    last = num_frames if max_frames is None else max_frames
    if num_frames < 2 or last > MAX_PLANNED_FRAMES or num_frames % 2 or last % 2 or last < num_frames:
        msg = (
            f"num_frames={num_frames!r}, max_frames={max_frames!r}: frames come in pairs; use even numbers from 2 "
            f"to {MAX_PLANNED_FRAMES}, and raise max_frames to num_frames or more, or leave it out"
        )
        raise ConfigError(msg)
    return last


def _check_part(start_seconds: float, stop_seconds: float, name: str = "", values: Sequence[Any] = ()) -> None:
    """Refuse what is no part, and a list that is longer than any plan, before it is worked on."""
    if not (math.isfinite(start_seconds) and math.isfinite(stop_seconds) and 0 <= start_seconds < stop_seconds):
        msg = f"start={start_seconds!r} s, stop={stop_seconds!r} s: not a part of a video; use 0 <= start < stop"
        raise ConfigError(msg)
    if len(values) > MAX_PLANNED_FRAMES:
        msg = f"{name} has {len(values):,} entries; give at most {MAX_PLANNED_FRAMES:,}"
        raise ConfigError(msg)


@dataclass(frozen=True)
class PlanCost:
    """The work of one read; where rate or keyframes are uneven, about.

    Attributes:
        num_frames: Different frames that are converted.
        num_seeks: Jumps; each decodes from the keyframe before it, so long distances between keyframes make them dear.
        num_skipped_frames: Frames that are decoded only to get past them.
    """

    num_frames: int
    num_seeks: int
    num_skipped_frames: int


def plan_cost(info: VideoInfo, timestamps_seconds: Sequence[float]) -> PlanCost:
    """Return what it costs to read frames at these times; those past the last frame count as that frame."""
    if info.kind == "image" or not info.num_frames or not info.video_fps:
        return PlanCost(1, 0, 0)
    last = info.num_frames - 1
    targets = sorted({min(last, int(time * info.video_fps + 1e-6)) for time in timestamps_seconds})
    if info.kind == "frames":
        return PlanCost(len(targets), 0, 0)
    if not info.is_seekable or not info.num_keyframes:
        return PlanCost(len(targets), 0, targets[-1] + 1 - len(targets))
    at, num_seeks, num_decoded = -1, 0, 0
    for target in targets:
        keyframe = target * info.num_keyframes // info.num_frames * info.num_frames // info.num_keyframes
        num_seeks += keyframe > at + 1
        num_decoded += target + 1 - max(keyframe, at + 1)
        at = target
    return PlanCost(len(targets), num_seeks, num_decoded - len(targets))
