"""What cannot be worked with is refused by a typed error that says what to give, before the chat model is asked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.graphs import (
    AcceptPolicy,
    Budget,
    FramePolicy,
    Ladder,
    ScriptedChatModel,
    ScriptedReply,
    build_video_qa_graph,
)
from vreason_agent.graphs.confidence_retry import ConfidenceRetryMiddleware
from vreason_agent.graphs.context import read_span, read_task, read_video, rules_of
from vreason_agent.video import ReadOptions

KINDS: dict[str, Any] = {"ladder": Ladder, "policy": AcceptPolicy, "budget": Budget, "frame_policy": FramePolicy}
ODD: tuple[Any, ...] = (
    *(True, -1, math.nan, 10**400, 1j, Decimal("0.5"), Decimal("sNaN")),
    *("", "x", "4", b"x", "\udc80", Path("x")),
    *([1], {1: 2}, ("x",), np.array([1, 2]), iter([1]), object(), int),
)


def script() -> ScriptedChatModel:
    return ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.6, "answer_probability": 0.6})] * 3)


def refuses(call: Callable[[Any], Any], remedy: str, values: Any = ODD) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=remedy):
            call(value)


def test_fields_of_rules_of_a_wrong_type() -> None:
    for rule, field, remedy in (
        ("ladder", "num_frames", "the model reads frames in pairs|use one of "),
        ("ladder", "max_frames", "use one of 4, 8"),
        ("policy", "min_answer_probability", "use a value from 0 to 1"),
        ("policy", "max_retries", "use a whole number of at least 0|add some to `variations`"),
        ("policy", "variations", r"use e\.g\. \('other_frames', \{'prompt'"),
        ("budget", "max_seconds", "use None for no limit"),
        ("frame_policy", "rule", "use one of: pairs, scenes, zoom"),
    ):
        for value in ODD:
            with pytest.raises(ConfigError, match=remedy):
                KINDS[rule](**{field: value})


def test_fields_of_rules_out_of_range() -> None:
    for kind, fields, remedy in (
        (Ladder, {"num_frames": 3}, "not an even number of at least 2; the model reads frames in pairs, so use e.g. 4"),
        (Ladder, {"num_frames": 4.0, "max_frames": 8}, "the model reads frames in pairs"),
        (Ladder, {"num_frames": 4, "max_frames": 24}, "use one of 4, 8, 16, 32, 64"),
        (Ladder, {"num_frames": 8, "max_frames": 4}, "use one of 8, 16"),
        (AcceptPolicy, {"min_entropy_drop": 1.5}, "at most 1; use a value such as 0.7"),
        (AcceptPolicy, {"min_entropy_drop": "0.7"}, "use a value such as 0.7"),
        (AcceptPolicy, {"min_answer_probability": 1.1}, "from 0 to 1, such as 0.9"),
        (AcceptPolicy, {"min_agreeing": 1.5}, "use a whole number of at least 1"),
        (AcceptPolicy, {"min_agreeing": 0}, "use a whole number of at least 1"),
        (AcceptPolicy, {"max_retries": 3}, "add some to `variations`"),
        (AcceptPolicy, {"abstain": "no"}, "use True or False"),
        (AcceptPolicy, {"check": "x"}, "returns what is wrong as text, or None"),
        (AcceptPolicy, {"variations": ({"seed": 1}, {})}, "must change something, or the retry repeats itself"),
        (AcceptPolicy, {"variations": ({"prompt": 5},)}, r"use e\.g\. \('other_frames', \{'prompt'"),
        (Budget, {"max_attempts": 0}, "max_attempts=0: a limit must be a number above 0; use None"),
        (Budget, {"max_total_tokens": 2.5}, "this is a count; use a whole number, e.g. 2"),
        (Budget, {"ask": "no"}, "use True or False"),
        (Budget, {"max_seconds": math.inf}, "a limit must be a number above 0; use None"),
        (FramePolicy, {"max_scanned_frames": 1}, "use a number such as 600"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            kind(**fields)


def test_rules_of_a_run_and_of_a_graph_are_checked_alike(clip: Path) -> None:
    graph: Any = build_video_qa_graph(script())
    for name in KINDS:
        remedy = f"give one, or a mapping of: .*|{name} has .*; use "
        for value in ODD:
            given: Any = {name: value}
            with pytest.raises(ConfigError, match=remedy):
                rules_of(given)
        with pytest.raises(ConfigError, match=remedy):
            build_video_qa_graph(script(), **{name: 7})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=remedy):
            graph.invoke({"video": str(clip), "question": "?"}, context={name: 7})
    for context, remedy in (
        ("budget", "give rules by name: ladder, policy, budget, frame_policy, frames_as"),
        ({"budgett": {}}, "did you mean 'budget'"),
        ({"budget": {"max_atempts": 2}}, "did you mean 'max_attempts'"),
        ({"ladder": Budget()}, "give one, or a mapping of: num_frames, max_frames"),
        ({"ladder": {"num_frames": 3}}, "the model reads frames in pairs"),
        ({"frames_as": "frames"}, "use 'video', 'images', or None to go by the chat model"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            graph.invoke({"video": str(clip), "question": "?"}, context=context)


def test_arguments_of_the_graph() -> None:
    build: Any = build_video_qa_graph
    refuses(build, r"give one, e\.g\. ChatVReason\(\)")
    refuses(lambda value: build(script(), image_limits=value), r"give ToolLimits\(max_side_px=640")
    refuses(lambda value: build(script(), frames_as=value), "use 'video', 'images', or None")
    roots = ("/", b"/", Path("/"), 7, [7], iter(["/"]))
    refuses(lambda value: ReadOptions(value), r"no list of paths; give one, e\.g\. \['/", roots)


def test_what_is_asked() -> None:
    no_text = [value for value in ODD if not isinstance(value, (str, Path))]
    refuses(lambda value: read_video({"video": value}), "give a path or file:// URL", [*no_text, None])
    refuses(lambda value: read_task({"question": value}), "give what is asked as text", [*no_text, None])
    refuses(lambda value: read_task({"question": value}), "ask something|write it in UTF-8", ["", " ", "\udc80"])
    options: list[Any] = [7, "red", ["red", 1], False, 0, "", {}, set(), {"A": "red"}]
    refuses(lambda value: read_task({"question": "?", "options": value}), "give a list of texts", options)
    refuses(lambda value: read_task({"question": "?", "options": value}), "at least two texts", [["red"]])
    refuses(lambda value: read_task({"question": "?", "options": value}), "make them different", [["red", "Red"]])
    no_time = ["1", math.nan, [1], True]
    refuses(lambda value: read_span({"start_seconds": value}), "give seconds as a number", no_time)
    refuses(lambda value: read_span({"stop_seconds": value}), "give seconds as a number", no_time)


def test_nothing_is_opened_or_asked_where_the_question_is_wrong(clip: Path) -> None:
    for asked, remedy in (
        ({"question": "?"}, "give a path or file:// URL"),
        ({"video": str(clip)}, "give what is asked as text"),
        ({"video": str(clip), "question": "?", "start_seconds": 5.0, "stop_seconds": 5.0}, "use 0 <= start < stop"),
        ({"video": str(clip), "question": "?", "start_seconds": 9.0}, "at 8.00 s; give an earlier start"),
        ({"video": str(clip), "question": "?", "option": ["red"]}, "'option'.* not known; did you mean 'options'"),
        ({"video": str(clip), "question": "?", "xyzzy": 1}, "use video, question, options, start_seconds, stop_sec"),
    ):
        model = script()
        graph: Any = build_video_qa_graph(model)
        with pytest.raises(ConfigError, match=remedy):
            graph.invoke(asked)
        assert model.requests == []


def test_a_middleware_that_could_never_ask_again() -> None:
    odd: Any = ({"variations": ()}, {"variations": ({},)}, {"variations": ("x",)}, {"min_value": math.nan})
    for options in odd:
        with pytest.raises(ConfigError, match="give at least one variation"):
            ConfidenceRetryMiddleware(**options)
    refuses(lambda value: ConfidenceRetryMiddleware(signal=value), "can be set for answer_prob", ["zzz", "slope", 7])


def test_numbers_of_other_kinds_are_kept_as_plain_ones(clip: Path) -> None:
    count: Any = np.int64
    graph: Any = build_video_qa_graph(
        script(),
        ladder=Ladder(count(4), count(8)),
        policy=AcceptPolicy(min_entropy_drop=Fraction(1, 2), min_agreeing=count(2), max_retries=count(0)),  # type: ignore[arg-type]
        budget=Budget(max_attempts=count(1), max_seconds=Fraction(100, 3), ask=False),  # type: ignore[arg-type]
    )
    asked = {"video": str(clip), "question": "?", "start_seconds": np.float32(1.5), "stop_seconds": Fraction(7, 2)}
    result = graph.invoke(asked)
    assert json.loads(json.dumps(result)) == result
    assert result["attempts"][0]["sampling"]["part_seconds"] == [1.5, 3.5]
