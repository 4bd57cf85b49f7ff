"""Values of a wrong type: each is refused by a typed error that says what to give, at build and per run alike."""

from __future__ import annotations

import json
import math
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
from vreason_agent.graphs.budget import Cost


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return 0


NUMBERS = (True, -1, math.nan, 10**400, -(10**400), 1j, Decimal("0.5"), Decimal("sNaN"))
TEXTS = ("", "x", "4", b"x", "\udc80", Path("x"))
GROUPS: tuple[Any, ...] = ([1], {1: 2}, ("x",), {"x"}, np.array([1, 2]), range(3), iter([1]))
ODD = (*NUMBERS, *TEXTS, *GROUPS, object(), Incomparable(), int)
KINDS: dict[str, Any] = {"ladder": Ladder, "policy": AcceptPolicy, "budget": Budget, "frame_policy": FramePolicy}
FIELDS = [
    ("ladder", "num_frames", "the model reads frames in pairs|use one of "),
    ("ladder", "max_frames", "use one of 4, 8"),
    ("policy", "min_entropy_drop", "use a value such as 0.7"),
    ("policy", "min_answer_probability", "use a value from 0 to 1"),
    ("policy", "max_retries", "use a whole number of at least 0|add some to `variations`"),
    ("policy", "variations", "each must change something"),
    ("budget", "max_seconds", "use None for no limit"),
    ("frame_policy", "rule", "use one of: pairs, scenes, zoom"),
]


def script() -> ScriptedChatModel:
    return ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.6, "answer_probability": 0.6})] * 3)


def is_allowed(field: str, value: Any) -> bool:
    return value == -1 and field == "min_entropy_drop" if isinstance(value, int) else False


@pytest.mark.parametrize(("rule", "field", "remedy"), FIELDS, ids=[field for _, field, _ in FIELDS])
def test_fields_of_rules(rule: str, field: str, remedy: str, clip: Path) -> None:
    graph: Any = build_video_qa_graph(script())
    for value in ODD:
        if not is_allowed(field, value):
            with pytest.raises(ConfigError, match=remedy):
                KINDS[rule](**{field: value})
            with pytest.raises(ConfigError, match=remedy):
                graph.invoke({"video": str(clip), "question": "?"}, context={rule: {field: value}})


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        *[(name, f"give one, or a mapping of: .*|{name} has .*; use ") for name in KINDS],
        ("frames_as", "use 'video', 'images', or None"),
    ],
)
def test_rules_when_built_and_per_run(name: str, remedy: str, clip: Path) -> None:
    graph: Any = build_video_qa_graph(script())
    for value in ODD:
        with pytest.raises(ConfigError, match=remedy):
            build_video_qa_graph(script(), **{name: value})
        with pytest.raises(ConfigError, match=remedy):
            graph.invoke({"video": str(clip), "question": "?"}, context={name: value})


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("chat_model", r"give one, e\.g\. ChatVReason\(\)"),
        ("image_limits", r"give ToolLimits\(max_side_px=640"),
    ],
)
def test_other_arguments_when_built(name: str, remedy: str) -> None:
    for value in ODD:
        arguments: dict[str, Any] = {"chat_model": script(), name: value}
        with pytest.raises(ConfigError, match=remedy):
            build_video_qa_graph(**arguments)


@pytest.mark.parametrize(
    "roots", ["/", "/data", b"/", Path("/"), 7, [7], iter(["/"])], ids=lambda roots: type(roots).__name__
)
def test_allowed_roots_that_are_no_list_of_paths(roots: Any) -> None:
    with pytest.raises(ConfigError, match=r"no list of paths; give one, e\.g\. \['/"):
        build_video_qa_graph(script(), allowed_roots=roots)


@pytest.mark.parametrize(
    ("name", "remedy", "allowed"),
    [
        ("video", "give a path|check the path|is not UTF-8", ()),
        ("question", "give what is asked as text|ask something|write it in UTF-8", ("x", "4")),
        ("options", "give a list of texts|give at least two texts", ()),
        ("start_seconds", "give seconds as a number|start", ()),
        ("stop_seconds", "give seconds as a number|stop", ()),
    ],
)
def test_what_the_graph_is_asked(name: str, remedy: str, allowed: tuple[str, ...], clip: Path) -> None:
    graph: Any = build_video_qa_graph(script())
    for value in ODD:
        if not (isinstance(value, str) and value in allowed):
            with pytest.raises((ConfigError, FileNotFoundError), match=remedy):
                graph.invoke({"video": str(clip), "question": "?", name: value})


def test_options_that_are_false_are_not_taken_for_none(clip: Path) -> None:
    graph: Any = build_video_qa_graph(script())
    nothing: tuple[Any, ...] = (False, 0, "", {}, set())
    for value in nothing:
        with pytest.raises(ConfigError, match="give a list of texts"):
            graph.invoke({"video": str(clip), "question": "?", "options": value})


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


def test_a_limit_of_another_kind_of_number_can_be_told() -> None:
    budget = Budget(max_seconds=Fraction(1, 2))  # type: ignore[arg-type]
    refusal = budget.find_excess({"attempts": 1, "frames": 4, "tokens": 10, "seconds": 1.0}, Cost(4, 10, 1.0))
    assert refusal == "one more attempt would bring the total to about 2 seconds, over max_seconds=0.5"
