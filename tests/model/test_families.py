from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vreason_agent.errors import ConfigError, ModelLoadError
from vreason_agent.model import Segment, families, family_for, register_family, registered_families
from vreason_agent.model.families import Qwen2VL, Qwen3VL, Qwen25VL, Qwen25VLTimestamps, QwenVLFamily
from vreason_agent.model.vision_settings import PixelBudget, VisionSettings
from vreason_agent.video import times_plan
from vreason_agent.video.plan_types import even_runs

CONFIG = SimpleNamespace(vision_config=SimpleNamespace(tokens_per_second=2))
SETTINGS = VisionSettings()
TOKEN = 28 * 28


def pairs(*starts: float, gap: float = 0.0) -> list[tuple[float, float]]:
    return [(start, start + gap) for start in starts]


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_families", dict(families.registered_families()))


def test_qwen2_vl_shows_one_block_and_says_that_it_knows_no_time() -> None:
    layout = Qwen2VL().lay_out_video(pairs(0, 1, 9), CONFIG)
    assert layout.pieces == (Segment(3),)
    assert "choose a Qwen2.5-VL or Qwen3-VL model" in layout.notes[0]
    assert Qwen2VL().lay_out_video(pairs(0), CONFIG).notes == ()


def test_qwen2_5_vl_spaces_even_pairs_by_seconds_times_units_per_second() -> None:
    layout = Qwen25VL().lay_out_video(pairs(0, 1.5, 3, 4.5), CONFIG)
    assert layout.pieces == (Segment(4, 3.0),)
    assert layout.notes == ()


def test_qwen2_5_vl_says_how_many_positions_are_left_where_they_collapse() -> None:
    """The case of docs/method.md: 32 frames over 5 s at 2 units per second."""
    layout = Qwen25VL().lay_out_video(pairs(*(k * 5 / 16 for k in range(16))), CONFIG)
    assert len(layout.pieces) == 1
    assert "some of the 16 frame pairs get the same position. Sample fewer frames or a longer range" in layout.notes[0]


def test_qwen2_5_vl_splits_uneven_frames_into_even_segments() -> None:
    layout = Qwen25VL().lay_out_video(pairs(0, 2, 4, 10, 11, 12), CONFIG)
    assert layout.pieces == (Segment(3, 4.0), Segment(3, 2.0))
    assert "2 evenly spaced segments" in layout.notes[0]


def test_qwen2_5_vl_shows_a_plans_segments_as_its_own() -> None:
    plan = times_plan(0.0, 60.0, timestamps_seconds=[0, 1, 2, 3, 4, 5, 40, 40.5, 41, 41.5, 42, 42.5])
    times = plan.timestamps_seconds
    layout = Qwen25VL().lay_out_video(list(zip(times[::2], times[1::2], strict=True)), CONFIG)
    assert layout.pieces == (Segment(3, 4.0), Segment(3, 2.0))
    assert [len(segment.timestamps_seconds) // 2 for segment in plan.segments] == [3, 3]


@pytest.mark.parametrize(
    ("starts", "runs"),
    [
        ((3.0,), [(1, 1.0)]),
        ((0.0, 0.0, 0.0), [(3, 0.0)]),
        ((0.0, 1.0, 2.0), [(3, 1.0)]),
        ((0.0, 1.04, 1.98, 3.01), [(4, 3.01 / 3)]),
        ((0.0, 1.0, 5.0, 6.0), [(2, 1.0), (2, 1.0)]),
        ((0.0, 9.0, 10.0, 11.0), [(2, 9.0), (2, 1.0)]),
    ],
)
def test_even_runs_tolerate_the_frame_grid_and_nothing_more(
    starts: tuple[float, ...], runs: list[tuple[int, float]]
) -> None:
    assert even_runs(starts, tolerance_seconds=0.25) == [(count, pytest.approx(step)) for count, step in runs]


def test_qwen3_vl_writes_the_mean_time_of_each_pair_before_its_own_block() -> None:
    layout = Qwen3VL().lay_out_video(pairs(0, 4, 11, gap=0.5), CONFIG)
    expected = ("<0.2 seconds>", Segment(1), "<4.2 seconds>", Segment(1), "<11.2 seconds>", Segment(1))
    assert layout.pieces == expected
    assert layout.notes == ()


def test_the_bundled_family_writes_the_first_frames_time_and_a_line_break_at_the_end() -> None:
    layout = Qwen25VLTimestamps().lay_out_video(pairs(0, 1.25, gap=0.5), CONFIG)
    assert layout.pieces == ("0.0", Segment(1), "1.2", Segment(1), "\n")


@pytest.mark.parametrize("timed", [Qwen3VL(), Qwen25VLTimestamps()])
def test_times_that_read_the_same_are_pointed_out(timed: QwenVLFamily) -> None:
    layout = timed.lay_out_video(pairs(0, 0.04, 0.2), CONFIG)
    assert "some of the 3 frame pairs get the same time. Sample fewer frames" in layout.notes[0]


def test_videos_get_the_limits_of_qwen_vl_utils_whatever_the_file_says_about_images() -> None:
    published = {"min_pixels": 3136, "max_pixels": 12_845_056}
    budget = Qwen25VL().video_budget(SETTINGS, published)
    assert budget == PixelBudget(128 * TOKEN, 768 * TOKEN, 115_200 * TOKEN)
    assert Qwen25VL().image_budget(SETTINGS, published) == PixelBudget(3136, 12_845_056)


def test_a_file_that_asks_for_smaller_frames_is_obeyed() -> None:
    sizes: list[dict[str, Any]] = [
        {"min_pixels": 3136, "max_pixels": 7200},
        {"size": {"shortest_edge": 3136, "longest_edge": 7200}},
        {"size": {"min_pixels": 3136, "max_pixels": 7200}},
        {"min_pixels": None, "max_pixels": None, "size": {"shortest_edge": 3136, "longest_edge": 7200}},
    ]
    for size in sizes:
        assert Qwen25VL().video_budget(SETTINGS, size) == PixelBudget(3136, 7200, 115_200 * TOKEN)
        assert Qwen25VLTimestamps().video_budget(SETTINGS, size) == PixelBudget(3136, 7200)


def test_the_total_limit_lowers_the_area_of_many_frames() -> None:
    budget = Qwen25VL().video_budget(SETTINGS, {})
    assert budget.frame_max_pixels(32) == 768 * TOKEN
    assert budget.frame_max_pixels(768) == 300 * TOKEN


def test_a_new_architecture_can_be_registered(own_registry: None) -> None:
    class Mine(Qwen25VL):
        name = "my_vl"

    config = {"model_type": "my_vl", "vision_config": {}}
    with pytest.raises(ModelLoadError, match=r"first call vreason_agent\.model\.register_family\(MyFamily\(\)\)"):
        family_for(config, source="m")
    register_family(Mine())
    assert isinstance(family_for(config, source="m"), Mine)
    with pytest.raises(ConfigError, match="pass replace=True to replace it"):
        register_family(Mine())
    register_family(Mine(), replace=True)


def test_registering_something_else_says_what_a_family_needs(own_registry: None) -> None:
    with pytest.raises(ConfigError, match=r"subclass vreason_agent\.model\.ModelFamily"):
        register_family(SimpleNamespace(name="x"))  # type: ignore[arg-type]


def test_a_text_model_is_refused_as_such() -> None:
    with pytest.raises(ModelLoadError, match=r"takes no video\. Choose .*--model Qwen/Qwen2\.5-VL-3B-Instruct"):
        family_for({"model_type": "qwen2"}, source="Qwen/Qwen2-7B")


def test_the_familys_own_key_comes_before_the_model_type() -> None:
    config = {"model_type": "qwen2_5_vl", "vreason_family": "qwen2_5_vl_timestamps", "vision_config": {}}
    assert family_for(config, source="m").name == "qwen2_5_vl_timestamps"
    assert set(registered_families()) == {family.name for family in families.BUILTIN_FAMILIES}
