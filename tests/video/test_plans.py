"""Plans are nested, ascending, inside their part, and plain data."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vreason_agent.errors import ConfigError
from vreason_agent.video import (
    PLANS,
    FramePlan,
    PlanSegment,
    fps_plan,
    keyframes_plan,
    make_plan,
    pairs_plan,
    ranges_plan,
    scenes_plan,
    times_plan,
    uniform_plan,
)
from vreason_agent.video.plan_types import even_runs

STARTS = st.floats(0, 1000, allow_nan=False)
SPANS = st.floats(0.1, 4000, allow_nan=False)


@settings(deadline=None)  # a loaded machine is no defect
@given(start=STARTS, span=SPANS, doublings=st.integers(0, 4), first=st.sampled_from([2, 4, 6, 8]))
def test_doubling_keeps_every_old_pair(start, span, doublings, first):
    last = first << doublings
    pairs = [
        set(_pairs(pairs_plan(start, start + span, num_frames=first << i, max_frames=last)))
        for i in range(doublings + 1)
    ]
    for fewer, more in itertools.pairwise(pairs):
        assert fewer < more


@settings(deadline=None)
@given(
    shots=st.lists(st.floats(0.1, 60), min_size=1, max_size=12),
    doublings=st.integers(0, 4),
    first=st.sampled_from([2, 4, 6, 8]),
)
def test_doubling_keeps_every_old_pair_of_every_shot(shots, doublings, first):
    *cuts, stop = itertools.accumulate(shots)
    last = first << doublings
    plans = [
        scenes_plan(0.0, stop, cuts_seconds=cuts, num_frames=first << i, max_frames=last) for i in range(doublings + 1)
    ]
    for i, plan in enumerate(plans):
        assert len(plan.timestamps_seconds) == first << i
        assert list(plan.timestamps_seconds) == sorted(plan.timestamps_seconds)
    for fewer, more in itertools.pairwise(plans):
        assert set(_pairs(fewer)) < set(_pairs(more))
    assert plans[-1].segments == scenes_plan(0.0, stop, cuts_seconds=cuts, num_frames=last).segments


def test_a_rung_of_shots_is_spread_within_each_of_them():
    plan = scenes_plan(0.0, 20.0, cuts_seconds=[4.0], num_frames=8, max_frames=40)
    assert plan.segments == (
        PlanSegment(0.0, 4.0, (0.0, 0.5)),
        PlanSegment(4.0, 20.0, (4.0, 4.5, 8.0, 8.5, 12.0, 12.5)),
    )


@settings(deadline=None)
@given(start=STARTS, span=SPANS, num_frames=st.sampled_from([2, 4, 8, 32]))
def test_times_ascend_within_the_part(start, span, num_frames):
    stop = start + span
    for plan in (pairs_plan(start, stop, num_frames=num_frames), uniform_plan(start, stop, num_frames=num_frames)):
        times = plan.timestamps_seconds
        assert len(times) == num_frames
        assert list(times) == sorted(times)
        assert start <= times[0]
        assert times[-1] < stop


def test_the_last_rung_is_evenly_spread():
    times = pairs_plan(0.0, 16.0, num_frames=8).timestamps_seconds
    assert times == (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0)


def test_the_first_rung_keeps_the_last_rungs_spacing_within_a_pair():
    plan = pairs_plan(0.0, 32.0, num_frames=4, max_frames=32)
    assert plan.timestamps_seconds == (0.0, 1.0, 16.0, 17.0)


PLANNED: dict[str, dict[str, Any]] = {
    "pairs": {"num_frames": 4, "max_frames": 8},
    "uniform": {"num_frames": 3, "convention": "centers"},
    "fps": {"sample_fps": 2.5},
    "times": {"timestamps_seconds": [1.0, 1.5, 4.0, 8.5]},
    "ranges": {"ranges": [[1.0, 2.0], [4.0, 8.0]], "num_frames": 8},
    "keyframes": {"keyframes_seconds": [0.5, 3.0, 4.0, 9.5], "num_frames": 4},
    "scenes": {"cuts_seconds": [0.5, 3.0, 4.0, 20.0], "num_frames": 8, "max_frames": 32},
}


def test_every_plan_survives_json_and_can_be_made_again_from_it():
    for name in PLANS:
        plan = make_plan(name, 1.0, 9.0, **PLANNED[name])
        data = json.loads(json.dumps(plan.to_dict()))
        assert FramePlan.from_dict(data) == plan
        assert make_plan(data["name"], data["start_seconds"], data["stop_seconds"], **data["options"]) == plan
        assert data["timestamps_seconds"] == list(plan.timestamps_seconds)


def test_every_plan_is_ascending_segments_whose_pairs_are_even_and_lie_in_their_part():
    for name in PLANS:
        plan = make_plan(name, 1.0, 9.0, **PLANNED[name])
        assert list(plan.timestamps_seconds) == sorted(plan.timestamps_seconds)
        assert plan.segments[0].start_seconds >= 1.0
        assert plan.segments[-1].stop_seconds <= 9.0
        for before, after in itertools.pairwise(plan.segments):
            assert before.stop_seconds <= after.start_seconds
        for segment in plan.segments:
            assert all(segment.start_seconds <= time < segment.stop_seconds for time in segment.timestamps_seconds)
            assert len(even_runs(segment.timestamps_seconds[::2], tolerance_seconds=0.001)) == 1


BUSY: dict[str, dict[str, Any]] = {
    "times": {"timestamps_seconds": [number * 0.04 for number in range(60_000)]},
    "fps": {"sample_fps": 25.0, "max_frames": 10**9},
    "ranges": {"ranges": [[number * 0.1, number * 0.1 + 0.05] for number in range(20_000)], "num_frames": 65_536},
    "scenes": {"cuts_seconds": [number * 0.1 for number in range(1, 20_000)], "num_frames": 65_536},
    "keyframes": {"keyframes_seconds": [number * 0.1 for number in range(20_000)], "num_frames": 65_536},
}


@pytest.mark.parametrize("name", BUSY)
def test_a_plan_of_thousands_of_frames_is_made_in_moments(name):
    start = time.process_time()
    plan = make_plan(name, 0.0, 2400.0, **BUSY[name])
    assert len(plan.timestamps_seconds) >= 20_000
    assert time.process_time() - start < 5


def test_no_request_makes_a_plan_without_bounds():
    for name, options, match in [
        ("times", {"timestamps_seconds": [0.0] * 70_000}, "give at most 65,536"),
        ("ranges", {"ranges": [[0.0, 1.0]] * 70_000, "num_frames": 2}, "give at most 65,536"),
        ("scenes", {"cuts_seconds": [0.0] * 70_000, "num_frames": 2}, "give at most 65,536"),
        ("scenes", {"cuts_seconds": [1.0], "num_frames": 2, "max_frames": 10**12}, "use even numbers from 2 to 65536"),
        ("pairs", {"num_frames": 10**12}, "use even numbers from 2 to 65536"),
        ("fps", {"sample_fps": 1e300, "max_frames": 10**12}, "lower sample_fps"),
        ("fps", {"sample_fps": 1e308, "max_frames": 10**12}, "lower sample_fps"),
    ]:
        with pytest.raises(ConfigError, match=match):
            make_plan(name, 0.0, 2400.0, **options)  # type: ignore[arg-type]


@given(
    starts=st.lists(st.sampled_from([0.0, 0.04, 0.0405, 0.041, 0.08, 1.0]), max_size=40).map(itertools.accumulate),
    tolerance=st.sampled_from([0.0005, 0.001, 0.25]),
)
def test_runs_are_those_that_comparing_every_pair_gives(starts, tolerance):
    def is_even(part):
        spacing = (part[-1] - part[0]) / (len(part) - 1)
        bound = min(tolerance, spacing / 4)
        far = max(abs(time - part[0] - number * spacing) for number, time in enumerate(part))
        assume(abs(far - bound) > 1e-9 or far == 0)  # rounding decides there
        return far <= bound

    starts, first, lengths = [*starts], 0, []
    for stop in range(1, len(starts) + 1):
        if stop == len(starts) or not is_even(starts[first : stop + 1]):
            lengths.append(stop - first)
            first = stop
    assert [count for count, _ in even_runs(starts, tolerance_seconds=tolerance)] == lengths


def test_the_two_uniform_conventions_differ_by_half_a_step():
    assert uniform_plan(0.0, 8.0, num_frames=4).timestamps_seconds == (0.0, 2.0, 4.0, 6.0)
    centers = uniform_plan(0.0, 8.0, num_frames=4, convention="centers")
    assert centers.timestamps_seconds == (1.0, 3.0, 5.0, 7.0)
    assert centers.options["convention"] == "centers"


def test_a_rate_gives_whole_pairs_from_the_start_on():
    assert fps_plan(1.0, 4.0, sample_fps=1.0).timestamps_seconds == (1.0, 2.0)
    assert fps_plan(0.0, 2.0, sample_fps=2.0).timestamps_seconds == (0.0, 0.5, 1.0, 1.5)
    assert fps_plan(0.0, 0.2, sample_fps=1.0).timestamps_seconds == (0.0,)


@settings(deadline=None)
@given(start=STARTS, span=SPANS, fps=st.floats(0.01, 5.0))
def test_a_rate_never_leaves_its_part(start, span, fps):
    times = fps_plan(start, start + span, sample_fps=fps, max_frames=20_001).timestamps_seconds
    assert times[0] == start
    assert times[-1] < start + span


def test_uneven_times_become_segments_that_meet_where_the_next_begins():
    plan = times_plan(0.0, 60.0, timestamps_seconds=[1.0, 1.5, 3.0, 3.5, 5.0, 5.5, 40.0, 41.0])
    assert plan.segments == (
        PlanSegment(0.0, 40.0, (1.0, 1.5, 3.0, 3.5, 5.0, 5.5)),
        PlanSegment(40.0, 60.0, (40.0, 41.0)),
    )


def test_longer_ranges_get_more_pairs_and_every_range_gets_one():
    plan = ranges_plan(0.0, 60.0, ranges=[(0.0, 1.0), (10.0, 16.0)], num_frames=8)
    assert plan.segments == (
        PlanSegment(0.0, 1.0, (0.0, 0.5)),
        PlanSegment(10.0, 16.0, (10.0, 11.0, 12.0, 13.0, 14.0, 15.0)),
    )


def test_every_shot_is_a_segment_that_begins_at_its_cut():
    plan = scenes_plan(0.0, 12.0, cuts_seconds=[2.0, 3.0, 20.0], num_frames=8)
    assert [(segment.start_seconds, segment.stop_seconds) for segment in plan.segments] == [(0, 2), (2, 3), (3, 12)]
    assert [segment.timestamps_seconds[0] for segment in plan.segments] == [0.0, 2.0, 3.0]
    assert [len(segment.timestamps_seconds) for segment in plan.segments] == [2, 2, 4]


def test_with_more_shots_than_pairs_the_longest_shots_are_looked_at():
    plan = scenes_plan(0.0, 12.0, cuts_seconds=[1.0, 5.0, 6.0], num_frames=4)
    assert [(segment.start_seconds, segment.stop_seconds) for segment in plan.segments] == [(1, 5), (6, 12)]


def test_what_is_no_plan_says_what_to_give():
    for name, options, match in [
        ("random", {}, "use one of: pairs, uniform, fps, times, keyframes, ranges, scenes"),
        ("fps", {"rate": 1.0}, "its options are: max_frames, sample_fps"),
        ("pairs", {}, "its options are: max_frames, num_frames"),
        ("pairs", {"num_frames": "4"}, "its options are: max_frames, num_frames"),
        ("ranges", {"ranges": [[1.0]], "num_frames": 2}, "its options are: num_frames, ranges"),
        ("pairs", {"num_frames": 10**9}, "use even numbers from 2 to 65536"),
        ("uniform", {"num_frames": 10**9}, "use a number from 1 to 65536"),
        ("fps", {"sample_fps": 0.0}, r"above 0, such as 1\.0"),
        ("fps", {"sample_fps": 100.0}, "lower sample_fps, ask for a shorter part, or raise max_frames"),
        ("times", {"timestamps_seconds": []}, "give at least one time"),
        ("times", {"timestamps_seconds": [5.0, 1.0]}, "in ascending order"),
        ("times", {"timestamps_seconds": [10.0]}, "to below 10 s, in ascending order"),
        ("ranges", {"ranges": [], "num_frames": 2}, "give at least one"),
        ("ranges", {"ranges": [[2, 1]], "num_frames": 2}, "with start < stop"),
        ("ranges", {"ranges": [[1, 3], [2, 4]], "num_frames": 4}, "not overlapping"),
        ("ranges", {"ranges": [[1, 2], [2, 11]], "num_frames": 4}, "from 0 to 10 s"),
        ("ranges", {"ranges": [[1, 2], [2, 4]], "num_frames": 2}, "give 4 frames or more, or fewer ranges"),
        ("scenes", {"cuts_seconds": [2, 1], "num_frames": 2}, "in ascending order, each once"),
        ("scenes", {"cuts_seconds": [], "num_frames": 8, "max_frames": 4}, "raise max_frames"),
        ("pairs", {"num_frames": 8, "max_frames": 4}, "raise max_frames"),
        ("pairs", {"num_frames": 4, "max_frames": 7}, "use even numbers from 2"),
        ("pairs", {"num_frames": 0}, "use even numbers from 2"),
        ("pairs", {"num_frames": 3}, "use even numbers from 2"),
        ("uniform", {"num_frames": 0}, "use a number from 1"),
        ("uniform", {"num_frames": 4, "convention": "ends"}, "and 'left_edges' or 'centers'"),
        *(
            ("keyframes", {"keyframes_seconds": times, "num_frames": count}, "a keyframe; else use the plan 'uniform'")
            for times, count in (([], 4), ([120.0], 4), ([1.0], 0))
        ),
    ]:
        with pytest.raises(ConfigError, match=match):
            make_plan(name, 0.0, 10.0, **options)  # type: ignore[arg-type]


def test_an_empty_part_is_an_error():
    for start, stop in ((2.0, 1.0), (-1.0, 1.0), (0.0, float("inf")), (1.0, 1.0)):
        with pytest.raises(ConfigError, match="use 0 <= start < stop"):
            pairs_plan(start, stop, num_frames=2)


def _pairs(plan: FramePlan) -> list[tuple[float, float]]:
    times = plan.timestamps_seconds
    return list(zip(times[::2], times[1::2], strict=True))


def test_an_overview_takes_the_keyframes_nearest_to_the_middles_and_is_made_again_from_data():
    plan = keyframes_plan(0.0, 100.0, keyframes_seconds=[0.0, 9.0, 31.0, 48.0, 52.0, 70.0, 99.0, 120.0], num_frames=4)
    assert plan.timestamps_seconds == (9.0, 31.0, 70.0, 99.0)
    assert FramePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert keyframes_plan(0.0, 100.0, keyframes_seconds=[50.0], num_frames=4).timestamps_seconds == (50.0,)
