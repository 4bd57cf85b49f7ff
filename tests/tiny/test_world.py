"""Claims about the toy world: seeds, event lengths, balance, and what frames suffice."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.tiny.questions import ABSENT_KINDS, ANSWERS, KINDS, NOT_SHOWN
from vreason_agent.tiny.samples import pair_frames
from vreason_agent.tiny.scene import CELLS, NUM_SLOTS, views_at
from vreason_agent.tiny.scripts import MIN_EVENT
from vreason_agent.tiny.world import DENSE_EVENT_SECONDS, Clip, Split, make_clip, oracle

NUM_CLIPS = 9 * 48


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """A run of consecutive test seeds."""
    return [make_clip(seed, "test") for seed in range(NUM_CLIPS)]


def pair_times(clip: Clip, num_frames: int) -> list[float]:
    """Times of the ladder's frames in seconds."""
    return [i / clip.scene.video_fps for i in pair_frames(clip.scene, num_frames // 2)]


def share_known(clips: list[Clip], num_frames: int) -> float:
    """How often an oracle over that many frames is right."""
    right = [oracle(c, c.questions[0], pair_times(c, num_frames)).answer == c.questions[0].answer for c in clips]
    return sum(right) / len(right)


def test_the_same_seed_makes_the_same_clip() -> None:
    assert make_clip(17, "test") == make_clip(17, "test")


def test_splits_differ_at_equal_seeds() -> None:
    signatures = [make_clip(seed, split).signature for split in ("train", "dev", "test", "demo") for seed in range(200)]
    assert len(set(signatures)) == len(signatures)


def test_no_test_scene_occurs_among_training_scenes(clips: list[Clip]) -> None:
    training = {make_clip(seed, "train").signature for seed in range(3000)}
    assert training.isdisjoint(clip.signature for clip in clips)


def test_clips_last_5_to_60_seconds(clips: list[Clip]) -> None:
    durations = [clip.scene.duration_seconds for clip in clips]
    assert min(durations) >= 5
    assert max(durations) <= 60
    assert max(durations) > 40


def test_every_visible_stretch_lasts_a_slot_and_a_quarter(clips: list[Clip]) -> None:
    for clip in clips:
        for sprite in clip.scene.sprites:
            first, last = sprite.segments[0], sprite.segments[-1]
            stretches, start, stop = [], first.start, first.stop
            for segment in sprite.segments[1:]:
                if segment.start > stop + 1e-9:
                    stretches.append(stop - start)
                    assert segment.start - stop >= MIN_EVENT - 1e-9, f"{clip.seed}: too short a gap"
                    start = segment.start
                stop = segment.stop
            stretches.append(last.stop - start)
            assert min(stretches) >= MIN_EVENT - 1e-9, f"{clip.seed}: too short an event"


def test_a_blink_period_lasts_two_slots_and_a_half(clips: list[Clip]) -> None:
    for clip in clips:
        question = clip.questions[0]
        if question.kind == "blink":
            seconds = [time for name, time in question.event_seconds if name == f"{question.subject['asked']} flashes"]
            slots = [time * NUM_SLOTS / clip.scene.duration_seconds for time in seconds]
            assert len(slots) == int(question.answer)
            assert all(b - a >= 2 * MIN_EVENT - 0.01 for a, b in pairwise(slots))


def test_objects_never_share_a_cell(clips: list[Clip]) -> None:
    for clip in clips:
        for index in range(0, clip.scene.num_frames, 5):
            cells = [view.cell for view in views_at(clip.scene, index)]
            assert len(cells) == len(set(cells))
            assert set(cells) <= set(CELLS)


def test_32_frames_suffice_by_construction(clips: list[Clip]) -> None:
    assert share_known(clips, 32) == 1.0


def test_4_frames_miss_most(clips: list[Clip]) -> None:
    assert share_known(clips, 4) < 0.4
    assert share_known(clips, 4) < share_known(clips, 8) < share_known(clips, 16)


def test_dense_events_last_under_half_a_second_and_escape_32_frames() -> None:
    dense = [make_clip(seed, "test", scene_set="dense", kind="blink") for seed in range(60)]
    for clip in dense:
        flashing = next(
            s for s in clip.scene.sprites if f"{s.segments[0].color} {s.shape}" == clip.questions[0].subject["asked"]
        )
        lengths = [clip.scene.seconds(s.stop - s.start) for s in flashing.segments]
        assert lengths == pytest.approx([DENSE_EVENT_SECONDS] * len(lengths))
    assert share_known(dense, 32) < 0.5


def test_kinds_and_answers_are_balanced_by_construction(clips: list[Clip]) -> None:
    kinds = Counter(clip.questions[0].kind for clip in clips)
    assert set(kinds) == set(KINDS)
    assert set(kinds.values()) == {NUM_CLIPS // len(KINDS)}
    for kind in ("color", "shape", "direction", "first", "last", "count", "blink", "after"):
        answers = Counter(c.questions[0].answer for c in clips if c.questions[0].kind == kind)
        assert set(answers) == set(ANSWERS[kind])
        assert len(set(answers.values())) == 1


def test_the_true_option_stands_everywhere_alike(clips: list[Clip]) -> None:
    """Places are dealt in turn to questions drawn at random: false-alarm probability below 0.005."""
    places = Counter(c.questions[0].options.index(c.questions[0].answer) for c in clips if c.questions[0].options)
    assert all(abs(places[i] / places.total() - 0.25) < 0.08 for i in range(4))


def test_options_are_four_distinct_ones_with_the_truth_among_them(clips: list[Clip]) -> None:
    for question in (clip.questions[0] for clip in clips):
        if question.options:
            assert len(set(question.options)) == 4
            assert question.answer in question.options
        else:
            assert "Options" not in question.text


def test_not_shown_is_no_giveaway() -> None:
    """Where offered it is right in about a quarter of cases; 0.25 ± 0.06 has a false-alarm probability below 0.001."""
    offered = [q for q in (make_clip(seed, "dev").questions[0] for seed in range(1800)) if NOT_SHOWN in q.options]
    share = sum(q.answer == NOT_SHOWN for q in offered) / len(offered)
    assert 0.19 < share < 0.31


def test_unanswerable_questions_ask_for_what_is_not_in_the_clip(clips: list[Clip]) -> None:
    topics = set()
    for clip in clips:
        question = clip.questions[0]
        if question.kind == "unanswerable":
            topics.add(question.topic)
            seen = {view for i in range(clip.scene.num_frames) for view in views_at(clip.scene, i)}
            words = {word for view in seen for word in (view.color, view.shape, view.name)}
            assert question.subject["asked"] not in words
            assert question.answer == NOT_SHOWN
    assert topics == set(ABSENT_KINDS)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"seed": -1}, "--seed 0"),
        ({"seed": 0, "split": "val"}, "choose one of train, dev, test, demo"),
        ({"seed": 0, "scene_set": "sparse"}, "choose one of standard, dense"),
        ({"seed": 0, "kind": "smell"}, "choose one of color, shape"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments: dict[str, object], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        make_clip(**arguments)  # type: ignore[arg-type]


def test_the_list_of_options_does_not_give_the_answer_away() -> None:
    def what_is_asked(seed: int, split: Split) -> tuple[tuple[str, tuple[str, ...]], str]:
        question = make_clip(seed, split).questions[0]
        return (question.topic, tuple(sorted(question.options))), question.answer

    often: dict[tuple[str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    for seed in range(3600):
        key, answer = what_is_asked(seed, "train")
        often[key][answer] += 1
    guesses = [
        (often[key].most_common(1)[0][0] == answer, 1 / len(key[1]))
        for key, answer in (what_is_asked(seed, "dev") for seed in range(1800))
        if key[1] and key in often
    ]
    right, chance = np.mean(guesses, axis=0)
    assert len(guesses) > 800
    assert abs(right - chance) < 0.05


def test_half_of_the_mixed_questions_are_known_from_4_frames_and_all_from_32() -> None:
    mixed = [make_clip(seed, split, scene_set="mixed") for split in ("dev", "test") for seed in range(NUM_CLIPS)]
    known = [oracle(clip, clip.questions[0], pair_times(clip, 4)) for clip in mixed]
    right = [said.answer == clip.questions[0].answer for said, clip in zip(known, mixed, strict=True)]
    seen = [is_right and not said.is_guess for is_right, said in zip(right, known, strict=True)]
    assert sum(seen) / len(mixed) == pytest.approx(0.5, abs=0.03)
    assert share_known(mixed, 32) == 1.0
    kinds = Counter(clip.questions[0].kind for clip in mixed)
    assert set(kinds.values()) == {len(mixed) // len(KINDS)}
