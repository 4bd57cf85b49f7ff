"""What a plan is said to cost is what reading it costs."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import pytest

from tests.video.conftest import numbered
from vreason_agent.video import PlanCost, pairs_plan, plan_cost, probe, read_frames
from vreason_agent.video.capture import Capture


@pytest.fixture
def work(monkeypatch) -> dict[str, int]:
    """Count seeks, steps and converted frames."""
    counts = {"seek": 0, "grab": 0, "retrieve_rgb": 0}
    for name in counts:
        call = getattr(Capture, name)

        def counted(self, *args, _name=name, _call=call):
            counts[_name] += 1
            return _call(self, *args)

        monkeypatch.setattr(Capture, name, counted)
    return counts


@pytest.mark.parametrize("start", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("num_frames", [2, 4, 16, 32, 128])
def test_the_cost_of_a_plan_is_the_seeks_and_steps_of_its_read(write_opencv, work, num_frames, start):
    path = write_opencv("a.mp4", num_frames=240)
    info = probe(path)
    wanted = pairs_plan(start, info.readable_seconds or 0.0, num_frames=num_frames).timestamps_seconds
    cost = plan_cost(info, wanted)
    work.update(seek=0, grab=0, retrieve_rgb=0)
    assert read_frames(path, wanted).method == "seek"
    walked = work["grab"] - work["retrieve_rgb"]
    assert cost == PlanCost(work["retrieve_rgb"], work["seek"], walked)


@pytest.mark.parametrize("num_frames", [4, 128])
def test_a_walked_plan_costs_all_frames_up_to_its_last(write_av, work, num_frames):
    rng, times = random.Random(3), [0]
    for _ in range(59):
        times.append(times[-1] + rng.choice([20, 40, 120, 400]))
    path = write_av("a.mp4", times)
    info = probe(path)
    wanted = pairs_plan(0.0, info.readable_seconds or 0.0, num_frames=num_frames).timestamps_seconds
    cost = plan_cost(info, wanted)
    work.update(seek=0, grab=0, retrieve_rgb=0)
    assert read_frames(path, wanted).method == "walk"
    assert cost.num_seeks == work["seek"] == 0
    assert cost.num_frames + cost.num_walked_frames == pytest.approx(work["grab"], abs=6)


def test_pictures_cost_no_seek(tmp_path: Path):
    for index in range(5):
        cv2.imwrite(str(tmp_path / f"{index}.png"), numbered(index))
    assert plan_cost(probe(tmp_path), [0.0, 0.5, 3.0]) == PlanCost(2, 0, 0)
    assert plan_cost(probe(tmp_path / "0.png"), [0.0]) == PlanCost(1, 0, 0)
