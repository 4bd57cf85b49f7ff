"""Plans are nested, ascending, inside their part, and plain data."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vreason_agent.errors import ConfigError
from vreason_agent.video import FramePlan, pairs_plan, uniform_plan

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
    assert plan.pair_seconds == 1.0


def test_plans_survive_json():
    plan = pairs_plan(1.0, 3.0, num_frames=4)
    assert FramePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(("num_frames", "max_frames"), [(0, None), (3, None), (4, 7)])
def test_frames_come_in_pairs(num_frames, max_frames):
    with pytest.raises(ConfigError, match="use even numbers from 2"):
        pairs_plan(0.0, 1.0, num_frames=num_frames, max_frames=max_frames)


def test_the_last_rung_is_not_below_the_first():
    with pytest.raises(ConfigError, match="raise max_frames"):
        pairs_plan(0.0, 1.0, num_frames=8, max_frames=4)


@pytest.mark.parametrize(("start", "stop"), [(2.0, 1.0), (-1.0, 1.0), (0.0, float("inf")), (1.0, 1.0)])
def test_an_empty_part_is_an_error(start, stop):
    with pytest.raises(ConfigError, match="use 0 <= start < stop"):
        pairs_plan(start, stop, num_frames=2)


def test_uniform_wants_a_frame():
    with pytest.raises(ConfigError, match="use a number from 1"):
        uniform_plan(0.0, 1.0, num_frames=0)


def _pairs(plan: FramePlan) -> list[tuple[float, float]]:
    times = plan.timestamps_seconds
    return list(zip(times[::2], times[1::2], strict=True))
