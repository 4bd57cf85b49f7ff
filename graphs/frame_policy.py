"""Which frames the next attempt looks at: spread over the video, shot by shot, or where the last answer points.

Whatever the rule, an attempt with more frames keeps every temporal pair of the one before, and no frame of a pair comes
to stand in another one. Times are data; frames are read to find cuts only. This module knows no graph and no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

from ..errors import ConfigError, DependencyError, quote
from ..video import (
    FramePlan,
    ReadOptions,
    VideoInfo,
    check_scenes_library,
    find_scenes,
    local_path,
    make_plan,
    open_video,
    pairs_plan,
    ranges_plan,
    resolve_span,
    scenes_plan,
    times_plan,
)
from .policy import Ladder, is_whole
from .state import Attempt, Clip, Sampling

FrameRule = Literal["pairs", "scenes", "zoom"]
Part = tuple[float, float]
_MIN_GAP_SECONDS = 1e-6
_NUMBER = r"\d+(?:\.\d+)?"
_UNIT = r"\s*(?:seconds?|secs?|s)\b"
_CLOCK = r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?\b"
_TIME = re.compile(
    rf"(?P<clock>{_CLOCK})"
    rf"|(?<![\d.:])(?:(?P<first>{_NUMBER})(?:{_UNIT})?\s*(?:and|to|until|-|\u2013)\s*)?(?P<last>{_NUMBER}){_UNIT}"
    r"|^\s*(?P<logged>\d+\.\d+)(?=\s)",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class NamedPart:
    """From the earliest to the latest time that was named, and where; one moment where they are the same.

    Attributes:
        start_seconds: The earliest.
        stop_seconds: The latest.
        where: What named it, as the subject of a sentence.
    """

    start_seconds: float
    stop_seconds: float
    where: str


@dataclass(frozen=True)
class FramePolicy:
    """Where the frames of a rung are; how many there are is the `Ladder`'s business.

    Attributes:
        rule: `pairs`: spread over the part that is asked about. `scenes`: shared among the shots between cuts (extra
            `scenes`). `zoom`: the first attempt as `pairs`; every further one keeps its frames and adds new ones in the
            part that the last answer names (see `find_named_part`), a single moment standing for the time from pair to
            pair around it. Where a rule cannot be followed it is `pairs`, and the attempt's `sampling` says why: no
            cut, no time named, or more than half of the video named.
        max_scanned_frames: Most frames that `scenes` compares to find cuts; more find shorter shots and cost more.

    Raises:
        ConfigError: If there is no such rule, or fewer than 2 frames are to be compared.
    """

    rule: FrameRule = "pairs"
    max_scanned_frames: int = 600

    def __post_init__(self) -> None:
        if not isinstance(self.rule, str) or self.rule not in get_args(FrameRule):
            msg = f"rule={quote(self.rule)} is not known; use one of: {', '.join(get_args(FrameRule))}"
            raise ConfigError(msg)
        if not is_whole(self.max_scanned_frames) or self.max_scanned_frames < 2:
            given = f"max_scanned_frames={quote(self.max_scanned_frames)}"
            msg = f"{given}: a cut needs two frames; use a number such as 600"
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
            return _plan_by_shots(clip, num_frames, ladder)
        if self.rule == "zoom" and attempts:
            return _plan_zoom(clip, num_frames, ladder, attempts[-1])
        reason = "the first attempt is spread over the whole part" if self.rule == "zoom" else "asked for"
        return _plan_evenly(clip, num_frames, ladder, reason)


def _plan_evenly(clip: Clip, num_frames: int, ladder: Ladder, reason: str) -> tuple[FramePlan, Sampling]:
    whole = _span(clip)
    plan = pairs_plan(*whole, num_frames=num_frames, max_frames=ladder.rungs()[-1])
    return plan, Sampling(rule="pairs", reason=reason, part_seconds=list(whole))


def _plan_by_shots(clip: Clip, num_frames: int, ladder: Ladder) -> tuple[FramePlan, Sampling]:
    whole, cuts = _span(clip), clip.get("cuts_seconds")
    if not cuts:
        return _plan_evenly(clip, num_frames, ladder, clip.get("no_cuts", "cuts were not looked for"))
    plan = scenes_plan(*whole, cuts_seconds=cuts, num_frames=num_frames, max_frames=ladder.rungs()[-1])
    reason = f"shared among the {len(cuts) + 1} shots between the cuts that were found"
    return plan, Sampling(rule="scenes", reason=reason, part_seconds=list(whole))


def _plan_zoom(clip: Clip, num_frames: int, ladder: Ladder, last: Attempt) -> tuple[FramePlan, Sampling]:
    whole, before = _span(clip), FramePlan.from_dict(last["plan"] or {})
    seen = _pairs_of(before)
    if num_frames <= 2 * len(seen):  # a run that was resumed with another ladder
        reason = f"the attempt before had {2 * len(seen)} frames already"
        return before, Sampling(rule="pairs", reason=reason, part_seconds=list(whole))
    named = find_named_part(last["answer"], f"{last['reasoning']}\n{last['text']}")
    part, reason = _choose_part(named, whole, seen)
    if part is None and before.name == "pairs":
        return _plan_evenly(clip, num_frames, ladder, reason)
    sampling = Sampling(rule="zoom" if part else "pairs", reason=reason, part_seconds=list(part or whole))
    return _add_pairs_of(before, _find_gaps(seen, part or whole), num_frames), sampling


def plan_retry(clip: Clip, attempts: Sequence[Attempt], frames: str | None) -> tuple[dict[str, Any], Sampling]:
    """Return the frames of a retry, as many as the attempt before had.

    Args:
        clip: The part of a video that is asked about.
        attempts: Those so far, the last one at the same rung.
        frames: `other`: halfway between the old ones. `zoom`: every second pair of the old ones, and as many new frames
            in the part that the last answer names, else `other`. `None`: the same again.
    """
    last, whole = attempts[-1], _span(clip)
    before = FramePlan.from_dict(last["plan"] or {})
    if frames == "zoom":
        part, reason = _choose_part(
            find_named_part(last["answer"], f"{last['reasoning']}\n{last['text']}"), whole, _pairs_of(before)
        )
        if part is not None:
            plan = _thin_and_add(before, _find_gaps(_pairs_of(before), part))
            return plan.to_dict(), Sampling(rule="zoom", reason=reason, part_seconds=list(part))
    elif frames is None:
        return before.to_dict(), last["sampling"]
    else:
        reason = "a retry looks between the frames of the attempt before"
    return _shift_between(before).to_dict(), Sampling(rule="between", reason=reason, part_seconds=list(whole))


def _thin_and_add(before: FramePlan, gaps: Sequence[Part]) -> FramePlan:
    """Keep every second pair of a plan, and put the other half of its frames into gaps."""
    start, stop = before.start_seconds, before.stop_seconds
    kept = [time for pair in _pairs_of(before)[::2] for time in pair]
    thinned = times_plan(start, stop, timestamps_seconds=kept)
    return _add_pairs_of(thinned, gaps, len(before.timestamps_seconds))


def _shift_between(before: FramePlan) -> FramePlan:
    """Move every frame halfway to the next one, the last halfway to the end."""
    times, stop = before.timestamps_seconds, before.stop_seconds
    moved = [(early + late) / 2 for early, late in pairwise([*times, stop])]
    return times_plan(before.start_seconds, stop, timestamps_seconds=moved)


def _choose_part(named: NamedPart | None, whole: Part, seen: Sequence[Part]) -> tuple[Part | None, str]:
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
    if not _find_gaps(seen, part):
        return None, f"{reason}, where no frame fits between those that were seen"
    return part, reason


def _find_gaps(pairs: Sequence[Part], part: Part) -> list[Part]:
    """Return where new pairs fit between old ones: after an old frame at a third of the way to the next."""
    gaps, cursor, is_frame = [], part[0], False
    inside = [pair for pair in pairs if pair[1] >= part[0] and pair[0] < part[1]]
    for first, last in [*inside, (part[1], part[1])]:
        gaps.append((cursor + (first - cursor) / 3 if is_frame else cursor, first))
        cursor, is_frame = last, True
    return [(start, stop) for start, stop in gaps if stop - start > _MIN_GAP_SECONDS]


def _add_pairs_of(before: FramePlan, gaps: Sequence[Part], num_frames: int) -> FramePlan:
    """Add pairs to a plan, in the longest gaps where there are more gaps than pairs, until it has `num_frames`."""
    start, stop, seen = before.start_seconds, before.stop_seconds, _pairs_of(before)
    num_new = num_frames - 2 * len(seen)
    ranges = sorted(sorted(gaps, key=lambda gap: gap[0] - gap[1])[: num_new // 2])
    added = _pairs_of(ranges_plan(start, stop, ranges=ranges, num_frames=num_new))
    times = [time for pair in sorted([*seen, *added]) for time in pair]
    return times_plan(start, stop, timestamps_seconds=times)


def _pairs_of(plan: FramePlan) -> list[Part]:
    times = plan.timestamps_seconds
    return list(zip(times[::2], times[1::2], strict=True))


def _span(clip: Clip) -> Part:
    return clip["start_seconds"], clip["stop_seconds"]


def make_clip(path: str, info: VideoInfo, *, start_seconds: float | None, stop_seconds: float | None) -> Clip:
    """Return the part of a probed video that is asked about, as data.

    Raises:
        ConfigError: If the part is empty or lies outside the video.
        VideoError: If the video is cut before the part's end, or has no known end.
    """
    start, stop = resolve_span(info, start_seconds, stop_seconds)
    num_frames = 1 if info.kind == "image" else info.num_frames_in(start, stop)
    at_least_one = None if num_frames is None else max(1, num_frames)
    return Clip(path=path, kind=info.kind, start_seconds=start, stop_seconds=stop, num_frames=at_least_one)


def clip_rungs(clip: Clip, ladder: Ladder) -> tuple[int, ...]:
    """Return the frame counts worth trying: one for an image, none past the first that holds every frame there is."""
    if clip["kind"] == "image":
        return (1,)
    rungs, available = ladder.rungs(), clip["num_frames"]
    if available is None:
        return rungs
    useful = [count for count in rungs[:-1] if count < available]
    return rungs[: len(useful) + 1]


def add_cuts(clip: Clip, read_options: ReadOptions, *, max_frames: int) -> tuple[Clip, list[str]]:
    """Return the clip with its cuts, or with the reason why there are none, and what the caller is to be warned of.

    Args:
        clip: The part that is searched; an image is left as it is.
        read_options: How the file is read.
        max_frames: Most frames to compare.

    Raises:
        VideoError: If the file cannot be read there.
    """
    if clip["kind"] == "image":
        return clip, []
    try:
        check_scenes_library()
    except DependencyError as exc:
        return {**clip, "no_cuts": str(exc)}, [f"frames were not chosen shot by shot: {exc}"]
    start, stop = clip["start_seconds"], clip["stop_seconds"]
    with open_video(local_path(clip["path"]), read_options, max_cache_bytes=0) as video:
        cuts = find_scenes(video, start_seconds=start, stop_seconds=stop, max_frames=max_frames).cuts_seconds
    found: Clip = {**clip, "cuts_seconds": list(cuts)} if cuts else {**clip, "no_cuts": "no cut was found"}
    return found, []


def final_times(plan: Mapping[str, Any] | None) -> tuple[float, ...]:
    """Return the times of the ladder's last rung where a plan is a part of it, and not that rung itself."""
    options = {} if plan is None else plan["options"]
    last = options.get("max_frames")
    if plan is None or not last or options["num_frames"] >= last:
        return ()
    whole = {**options, "num_frames": last}
    return make_plan(plan["name"], plan["start_seconds"], plan["stop_seconds"], **whole).timestamps_seconds


def find_named_part(answer: str | None, reasoning: str) -> NamedPart | None:
    """Return the part that an answer, or the reasoning for it, names; `None` if they name no time.

    A time is a number with `s`, `sec` or `seconds`, a clock time such as `1:05`, or a decimal number that begins a
    line, as in a log of frames. `4 to 6 s`, `between 4 s and 6 s` and `4-6 s` name two. What counts are the times in
    the answer; where it names none, those of the sentences that say the answer; where none does, all that are named.
    """
    sentences = _SENTENCE_END.split(reasoning)
    for texts, where in (
        ([answer or ""], "the answer"),
        ([sentence for sentence in sentences if _states(sentence, answer)], "the reasoning for the answer"),
        (sentences, "the reasoning"),
    ):
        if times := [time for text in texts for time in find_times(text)]:
            return NamedPart(min(times), max(times), where)
    return None


def find_times(text: str) -> list[float]:
    """Return the times that a text names, in seconds, in its order."""
    return [time for match in _TIME.finditer(text) for time in _to_seconds(match)]


def _to_seconds(match: re.Match[str]) -> Sequence[float]:
    if match["clock"]:
        parts = [float(part) for part in match["clock"].split(":")]
        return [sum(part * 60**power for power, part in enumerate(reversed(parts)))]
    return [float(match[name]) for name in ("first", "last", "logged") if match[name]]


def _states(sentence: str, answer: str | None) -> bool:
    """Tell whether the answer's words stand in a sentence, its times left out: a count is no second.

    An option's letter says nothing: `a` is in most sentences.
    """
    words = " ".join((answer or "").split()).strip(" .!?")
    if not words or (len(words) == 1 and words.isalpha()):
        return False
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", _TIME.sub(" ", sentence), re.IGNORECASE) is not None
