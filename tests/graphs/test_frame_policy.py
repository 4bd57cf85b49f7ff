"""Where an attempt's frames are: shot by shot, zoomed in where the answer points, and never a frame in two pairs."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from vreason_agent.graphs import (
    AcceptPolicy,
    Attempt,
    FramePolicy,
    Ladder,
    ScriptedChatModel,
    ScriptedReply,
    build_video_qa_graph,
)
from vreason_agent.graphs.frame_policy import NamedPart, find_named_part, find_times
from vreason_agent.graphs.state import Clip
from vreason_agent.model import Segment
from vreason_agent.model.families.qwen2_5_vl import Qwen25VL
from vreason_agent.video import FramePlan

UNSURE = {"entropy_drop": 0.1}
POLICY = AcceptPolicy(max_retries=0, abstain=False)


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 s in three shots: up to 2 s, up to 3 s, and the rest."""
    path = tmp_path_factory.mktemp("clips") / "shots.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (64, 48))
    for index in range(64):
        writer.write(np.full((48, 64, 3), 40 if index < 16 else 230 if index < 24 else 120, np.uint8))
    writer.release()
    return path


def run_ladder(
    video: Path, *said: str | ScriptedReply, rule: Any = "zoom", asked: Any = None, **build: Any
) -> list[dict[str, Any]]:
    """Return the attempts of a ladder whose model says these things, a reply for each rung."""
    replies = [
        each if isinstance(each, ScriptedReply) else ScriptedReply("red", UNSURE, reasoning=each) for each in said
    ]
    ladder = Ladder(4, 4 << (len(replies) - 1))
    options = {"policy": POLICY, "ladder": ladder, "frame_policy": FramePolicy(rule), **build}
    graph: Any = build_video_qa_graph(ScriptedChatModel(replies=replies), **options)
    result: dict[str, Any] = graph.invoke({"video": str(video), "question": "?", **(asked or {})})
    attempts: list[dict[str, Any]] = result["attempts"]
    return attempts


def pairs(attempt: dict[str, Any]) -> set[tuple[float, float]]:
    times = attempt["plan"]["timestamps_seconds"]
    return set(zip(times[::2], times[1::2], strict=True))


def test_by_default_the_plan_is_nested_pairs(clip: Path) -> None:
    (attempt,) = run_ladder(clip, "", rule="pairs")
    assert FramePlan.from_dict(attempt["plan"]).timestamps_seconds == (0.0, 2.0, 4.0, 6.0)
    assert attempt["sampling"] == {"rule": "pairs", "reason": "asked for", "part_seconds": [0.0, 8.0]}


def test_shots_share_the_frames_and_more_frames_keep_every_pair(shots: Path) -> None:
    attempts = run_ladder(shots, "", "", "", rule="scenes")
    assert [segment["start_seconds"] for segment in attempts[1]["plan"]["segments"]] == [0.0, 2.0, 3.0]
    assert pairs(attempts[0]) < pairs(attempts[1]) < pairs(attempts[2])
    assert [attempt["num_frames"] for attempt in attempts] == [4, 8, 16]
    assert attempts[0]["plan"]["options"]["cuts_seconds"] == [2.0, 3.0]
    assert "shared among the 3 shots" in attempts[0]["sampling"]["reason"]


def test_without_a_cut_the_look_is_spread_and_says_why(clip: Path) -> None:
    (attempt,) = run_ladder(clip, "", rule="scenes", asked={"start_seconds": 1.0, "stop_seconds": 1.5})
    assert attempt["sampling"]["rule"] == attempt["plan"]["name"] == "pairs"
    assert attempt["sampling"]["reason"] == "no cut was found"


def test_without_the_extra_the_look_is_spread_and_the_install_command_is_the_reason(
    shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    graph: Any = build_video_qa_graph(
        ScriptedChatModel(replies=[ScriptedReply("red", UNSURE)]),
        policy=POLICY,
        ladder=Ladder(4, 4),
        frame_policy=FramePolicy("scenes"),
    )
    result = graph.invoke({"video": str(shots), "question": "?"})
    assert result["attempts"][0]["plan"]["name"] == "pairs"
    (warning,) = result["warnings"]
    for said in (warning, result["attempts"][0]["sampling"]["reason"]):
        assert "pip install 'vreason-agent[scenes]'" in said


def test_cuts_that_were_not_looked_for_when_the_run_began_are_not_looked_for_later(clip: Path) -> None:
    model = ScriptedChatModel(replies=[ScriptedReply("red", UNSURE)] * 2)
    graph = build_video_qa_graph(model, ladder=Ladder(4, 8), policy=POLICY, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"video": str(clip), "question": "?"}, config, interrupt_before=["sample"])
    attempts = graph.invoke(None, config, context={"frame_policy": {"rule": "scenes"}})["attempts"]
    assert attempts[0]["sampling"]["reason"] == "cuts were not looked for"


def test_the_next_look_keeps_what_was_seen_and_goes_where_the_answer_points(clip: Path) -> None:
    first, second = run_ladder(clip, "At 6 s a red car passes.", "")
    assert first["sampling"]["reason"] == "the first attempt is spread over the whole part"
    assert first["plan"]["timestamps_seconds"] == [0.0, 1.0, 4.0, 5.0]
    assert second["sampling"] == {
        "rule": "zoom",
        "reason": "the reasoning for the answer names 6 s",
        "part_seconds": [4.0, 8.0],
    }
    assert second["plan"]["timestamps_seconds"] == [0.0, 1.0, 4.0, 5.0, 6.0, 6.5, 7.0, 7.5]


def test_a_range_in_the_answer_is_zoomed_into_as_it_is(clip: Path) -> None:
    _, second = run_ladder(clip, ScriptedReply("between 2 s and 3 s", UNSURE), "")
    assert second["sampling"]["part_seconds"] == [2.0, 3.0]
    assert second["plan"]["timestamps_seconds"] == [0.0, 1.0, 2.0, 2.25, 2.5, 2.75, 4.0, 5.0]


def test_each_zoom_is_closer_where_answers_keep_naming_one_moment(clip: Path) -> None:
    attempts = run_ladder(clip, *["It is red at 2.5 s."] * 3)
    parts = [attempt["sampling"]["part_seconds"] for attempt in attempts]
    assert parts == [[0.0, 8.0], [0.5, 4.5], [1.5, 3.5]]
    assert pairs(attempts[0]) < pairs(attempts[1]) < pairs(attempts[2])


def test_what_cannot_be_zoomed_into_is_spread_and_says_why(clip: Path) -> None:
    for said, reason in (
        ("", "the last answer names no time"),
        ("red at 99 s", "the reasoning for the answer names 99 s, outside the part that is asked about"),
        ("0.0 red\n4.0 red\n5.0 -\n6.0 red", "names 0 s to 6 s, more than half of the part that is asked about"),
        ("red between 0.2 s and 0.8 s", "names 0.2 s to 0.8 s, where no frame fits between those that were seen"),
    ):
        first, second = run_ladder(clip, said, "")
        assert second["plan"]["name"] == second["sampling"]["rule"] == "pairs"
        assert reason in second["sampling"]["reason"]
        assert pairs(first) < pairs(second)


def test_after_a_zoom_what_names_no_time_is_spread_around_what_was_seen(clip: Path) -> None:
    _, zoomed, spread = run_ladder(clip, "red at 6 s", "", "")
    assert spread["sampling"]["rule"] == "pairs"
    assert spread["sampling"]["part_seconds"] == [0.0, 8.0]
    assert pairs(zoomed) < pairs(spread)
    assert len({time for pair in pairs(spread) for time in pair}) == 16


CLIP = Clip(path="x", kind="video", start_seconds=3.0, stop_seconds=63.0, num_frames=None)
TIMES = st.floats(0, 70).map(lambda time: f"{time:.2f}")
WORDS = st.one_of(
    st.just(""), TIMES.map("at {} s".format), st.tuples(TIMES, TIMES).map(lambda t: f"{t[0]} to {t[1]} s")
)


@settings(deadline=None)
@given(words=st.lists(WORDS, min_size=4, max_size=4))
def test_whatever_is_named_no_frame_comes_to_stand_in_another_pair(words: list[str]) -> None:
    ladder, attempts, plans = Ladder(4, 32), list[Attempt](), list[FramePlan]()
    for num_frames, said in zip(ladder.rungs(), words, strict=True):
        plan, _ = FramePolicy("zoom").plan(CLIP, num_frames, ladder, attempts)
        attempt: Any = {"plan": json.loads(json.dumps(plan.to_dict())), "answer": said, "reasoning": "", "text": said}
        attempts.append(attempt)
        plans.append(plan)
    assert [len(set(plan.timestamps_seconds)) for plan in plans] == [4, 8, 16, 32]
    for plan in plans:
        assert list(plan.timestamps_seconds) == sorted(plan.timestamps_seconds)
        assert plan.timestamps_seconds[0] >= 3.0
        assert plan.timestamps_seconds[-1] < 63.0
    for fewer, more in itertools.pairwise(attempts):
        assert pairs(dict(fewer)) < pairs(dict(more))


def test_a_run_resumed_with_a_lower_ladder_looks_again_at_what_was_seen() -> None:
    plan, _ = FramePolicy("zoom").plan(CLIP, 8, Ladder(8, 16), [])
    attempt: Any = {"plan": plan.to_dict(), "answer": "at 9 s", "reasoning": "", "text": ""}
    again, sampling = FramePolicy("zoom").plan(CLIP, 8, Ladder(4, 16), [attempt])
    assert again == plan
    assert sampling["reason"] == "the attempt before had 8 frames already"


def retried(clip: Path, said: str, strategy: str) -> list[dict[str, Any]]:
    """Return the attempt at 8 frames and its retry."""
    model = ScriptedChatModel(replies=[ScriptedReply(said, UNSURE)] * 3)
    policy = AcceptPolicy(variations=(strategy,))
    graph: Any = build_video_qa_graph(model, ladder=Ladder(4, 8), policy=policy)
    attempts: list[dict[str, Any]] = graph.invoke({"video": str(clip), "question": "?"})["attempts"][1:]
    assert [len(attempt["timestamps_seconds"]) for attempt in attempts] == [8, 8]
    return attempts


def test_a_retry_with_another_seed_looks_at_the_same_frames(clip: Path) -> None:
    first, second = retried(clip, "red at 6 s", "new_seed")
    assert (first["plan"], first["sampling"]) == (second["plan"], second["sampling"])


def test_a_retry_looks_between_the_old_frames(clip: Path) -> None:
    first, second = retried(clip, "red at 6 s", "other_frames")
    assert first["timestamps_seconds"] == [float(second) for second in range(8)]
    assert second["timestamps_seconds"] == [0.5 + second for second in range(8)]
    assert second["sampling"]["rule"] == "between"


def test_a_retry_zooms_to_the_times_that_the_answer_names_and_else_looks_between(clip: Path) -> None:
    first, second = retried(clip, "red at 6 s", "zoom")
    kept = [time for time in second["timestamps_seconds"] if time in first["timestamps_seconds"]]
    new = [time for time in second["timestamps_seconds"] if time not in first["timestamps_seconds"]]
    assert kept == [0.0, 1.0, 4.0, 5.0]
    assert (second["sampling"]["rule"], len(new)) == ("zoom", 4)
    assert all(5.0 < time < 7.0 for time in new)
    unnamed = retried(clip, "red", "zoom")[1]
    assert (unnamed["sampling"]["rule"], unnamed["timestamps_seconds"][0]) == ("between", 0.5)


def test_the_model_is_given_the_times_and_the_events_tell_plan_and_reason(clip: Path) -> None:
    model = ScriptedChatModel(replies=[ScriptedReply("red at 6 s", UNSURE), ScriptedReply("red", UNSURE)])
    graph = build_video_qa_graph(model, ladder=Ladder(4, 8), policy=POLICY)
    events = graph.stream(
        {"video": str(clip), "question": "?"}, context={"frame_policy": {"rule": "zoom"}}, stream_mode="custom"
    )
    sampled: list[Any] = [event for event in events if event["event"] == "sample"]
    assert sampled[1]["sampling"]["reason"] == "the answer names 6 s"
    assert FramePlan.from_dict(json.loads(json.dumps(sampled[1]["plan"]))).name == "times"
    content: Any = model.requests[1][0][0].content
    assert content[0]["extras"] == {"timestamps": sampled[1]["plan"]["timestamps_seconds"]}


def test_a_model_that_counts_even_steps_is_right_about_time_on_either_side_of_a_zoom(clip: Path) -> None:
    _, zoomed = run_ladder(clip, "red at 6 s", "")
    config = SimpleNamespace(vision_config=SimpleNamespace(tokens_per_second=2))
    layout = Qwen25VL().lay_out_video(sorted(pairs(zoomed)), config)
    assert layout.pieces == (Segment(2, 8.0), Segment(2, 2.0))  # at 0 and 4 s, at 6 and 7 s


def test_an_image_has_one_frame_and_no_plan(picture: Path) -> None:
    for rule in ("scenes", "zoom"):
        (attempt,) = run_ladder(picture, "", rule=rule)
        assert attempt["plan"] is None
        assert attempt["sampling"]["reason"] == "an image has one frame"


def test_times_are_numbers_with_a_unit_clock_times_and_heads_of_lines() -> None:
    for text, times in (
        ("It falls at 3.2 s.", [3.2]),
        ("It falls at 3 seconds, i.e. 3sec in.", [3.0, 3.0]),
        ("between 4 s and 6 s", [4.0, 6.0]),
        ("from 4 to 6.5 seconds", [4.0, 6.5]),
        ("4-6 s", [4.0, 6.0]),
        ("4\u20136 s", [4.0, 6.0]),
        ("at 1:05 and at 1:02:03.5", [65.0, 3723.5]),
        ("0.0 -\n8.0 green cross 1 SE", [0.0, 8.0]),
        ("2 cars and 3 dogs", []),
        ("7.5", []),
        ("7.5 is its number", [7.5]),
        ("frame 12, version 1.2.3 sides", []),
        ("3 s2 tracks in 5 songs", []),
    ):
        assert find_times(text) == times


def test_the_answer_comes_first_then_what_is_said_for_it() -> None:
    for answer, reasoning, part in (
        ("between 4 s and 6 s", "At 1 s it starts.", NamedPart(4.0, 6.0, "the answer")),
        ("red", "At 1 s a dog. At 3 s a Red car. Red again at 5 s.", NamedPart(3, 5, "the reasoning for the answer")),
        ("2", "At 2 s a dog. At 7 s there are 2 dogs.", NamedPart(7, 7, "the reasoning for the answer")),
        ("red", "At 1 s a dog.\nAt 3 s a hundred cars.", NamedPart(1, 3, "the reasoning")),
        ("A", "At 1 s a dog. At 3 s one car.", NamedPart(1, 3, "the reasoning")),
        (None, "Something is there at 3 s.", NamedPart(3, 3, "the reasoning")),
        ("red", "It is red.", None),
        (None, "", None),
    ):
        assert find_named_part(answer, reasoning) == part
