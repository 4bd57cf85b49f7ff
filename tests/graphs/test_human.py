"""Before a limit is exceeded a human is asked, where a checkpointer keeps the run so that somebody can answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from vreason_agent.errors import ConfigError
from vreason_agent.graphs import AcceptPolicy, Budget, ScriptedChatModel, ScriptedReply, build_video_qa_graph

SURE, UNSURE = {"entropy_drop": 0.9, "final_entropy": 0.1}, {"entropy_drop": 0.1, "final_entropy": 0.1}
THREAD: Any = {"configurable": {"thread_id": "1"}}


def build(model: ScriptedChatModel, *, checkpointer: Any = None, **budget: Any) -> Any:
    policy = AcceptPolicy(min_agreeing=1)
    return build_video_qa_graph(model, policy=policy, budget=Budget(**budget), checkpointer=checkpointer)


def script(*signals: dict[str, float]) -> ScriptedChatModel:
    return ScriptedChatModel(replies=[ScriptedReply("red", each) for each in signals])


def paused(clip: Path, model: ScriptedChatModel, **budget: Any) -> tuple[Any, Any]:
    graph = build(model, checkpointer=InMemorySaver(), **budget)
    result = graph.invoke({"video": str(clip), "question": "?"}, THREAD)
    (waiting,) = result["__interrupt__"]
    return graph, waiting.value


def test_the_question_has_the_reason_and_what_was_spent(clip: Path) -> None:
    _, asked = paused(clip, script(UNSURE), max_total_frames=7)
    assert "bring the total to 8 frames, over max_total_frames=7" in asked["reason"]
    assert (asked["wanted"], asked["spent"]["frames_seen"], asked["best_guess"]) == ("more_frames", 4, "red")
    json.dumps(asked)


def test_a_human_is_asked_before_tokens_or_seconds_are_exceeded_and_not_after(clip: Path) -> None:
    model = script(UNSURE, UNSURE)
    _, asked = paused(clip, model, max_total_tokens=339)
    assert "bring the total to about 340 tokens, over max_total_tokens=339" in asked["reason"]
    assert (asked["spent"]["tokens"], len(model.requests)) == (120, 1)
    _, asked = paused(clip, script(UNSURE), max_seconds=1e-9)
    assert "seconds, over max_seconds=1e-09" in asked["reason"]


def test_go_on_allows_one_more_attempt_and_does_not_repeat_the_last(clip: Path) -> None:
    model = script(UNSURE, SURE)
    graph, _ = paused(clip, model, max_attempts=1)
    result = graph.invoke(Command(resume={"action": "go_on"}), THREAD)
    assert (result["answer"], len(model.requests)) == ("red", 2)
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [4, 8]
    assert result["decisions"][1]["reason"].endswith("over max_attempts=1; a human said go on")


def test_after_that_attempt_a_human_is_asked_again_and_stop_ends_with_the_best_guess(clip: Path) -> None:
    model = script(UNSURE, UNSURE)
    graph, _ = paused(clip, model, max_attempts=1)
    again = graph.invoke(Command(resume={"action": "go_on"}), THREAD)
    assert "bring the total to 3 attempts" in again["__interrupt__"][0].value["reason"]
    assert len(model.requests) == 2
    result = graph.invoke(Command(resume={"action": "stop"}), THREAD)
    assert (result["answer"], result["best_guess"]["answer"]) == (None, "red")
    assert result["decision"]["reason"].endswith("a human said stop")


def test_a_reply_that_is_neither_is_refused_and_can_be_given_again(clip: Path) -> None:
    graph, _ = paused(clip, script(UNSURE), max_attempts=1)
    for given in ("yes", {"action": "perhaps"}, {"action": None}, 7):
        with pytest.raises(ConfigError, match=r"resume=.* is no reply; give Command\(resume=\{'action': 'go_on'\}\)"):
            graph.invoke(Command(resume=given), THREAD)
    assert graph.invoke(Command(resume={"action": "stop"}), THREAD)["decision"]["action"] == "abstain"


def test_nobody_is_asked_where_the_budget_says_so(clip: Path) -> None:
    graph = build(script(UNSURE), checkpointer=InMemorySaver(), max_attempts=1, ask=False)
    assert graph.invoke({"video": str(clip), "question": "?"}, THREAD)["decision"]["action"] == "abstain"


async def test_async_runs_pause_and_go_on_too(clip: Path) -> None:
    graph = build(script(UNSURE, SURE), checkpointer=InMemorySaver(), max_attempts=1)
    assert (await graph.ainvoke({"video": str(clip), "question": "?"}, THREAD))["__interrupt__"]
    assert (await graph.ainvoke(Command(resume={"action": "go_on"}), THREAD))["answer"] == "red"


class Outer(TypedDict, total=False):
    video: str
    question: str
    answer: str | None
    decision: Any


def one_attempt(*, checkpointer: Any = None) -> Any:
    model = ScriptedChatModel(replies=[ScriptedReply("red", {"entropy_drop": 0.1})])
    return build_video_qa_graph(model, budget=Budget(max_attempts=1), checkpointer=checkpointer)


def within(*, checkpointer: Any) -> Any:
    """Return a graph of somebody else's that has the question graph as its only node."""
    builder = StateGraph(Outer)
    builder.add_node("ask", one_attempt())
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=checkpointer)


@pytest.mark.parametrize(
    ("build", "is_kept"),
    [
        (lambda: one_attempt(checkpointer=InMemorySaver()), True),
        (lambda: one_attempt(), False),
        (lambda: within(checkpointer=InMemorySaver()), True),
        (lambda: within(checkpointer=None), False),
    ],
    ids=["own checkpointer", "none", "a parent's", "a parent without"],
)
async def test_a_human_is_asked_where_a_checkpointer_keeps_the_run_and_only_there(
    clip: Path, build: Any, is_kept: bool
) -> None:
    config: Any = {"configurable": {"thread_id": "1"}}
    asked = {"video": str(clip), "question": "?"}
    for graph, result in [((g := build()), g.invoke(asked, config)), ((g := build()), await g.ainvoke(asked, config))]:
        assert ("__interrupt__" in result) == is_kept
        if is_kept:
            result = graph.invoke(Command(resume={"action": "stop"}), config)
        assert ("a human said stop" in result["decision"]["reason"]) == is_kept
        assert (result["decision"]["action"], "over max_attempts=1" in result["decision"]["reason"]) == (
            "abstain",
            True,
        )
