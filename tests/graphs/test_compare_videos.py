"""One question over several videos, with a model that knows what each shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from vreason_agent.confidence import SIGNAL_NAMES
from vreason_agent.confidence.ranking import HIGHER_IS_BETTER, LOWER_IS_BETTER
from vreason_agent.errors import ConfigError, VideoError, VideoNotFoundError
from vreason_agent.graphs import AcceptPolicy, Budget, Ladder, ScriptedChatModel, ScriptedReply, build_video_qa_graph
from vreason_agent.graphs.compare_videos import build_compare_videos_graph

REPLIES = {
    "unsure": ScriptedReply("green", {"entropy_drop": 0.1, "answer_probability": 0.99, "final_entropy": 0.9}),
    "weak": ScriptedReply("red", {"entropy_drop": 0.9, "answer_probability": 0.6, "final_entropy": 0.4}),
    "strong": ScriptedReply("blue", {"entropy_drop": 0.9, "answer_probability": 0.9, "final_entropy": 0.1}),
    "unmeasured": ScriptedReply("red", {"entropy_drop": 0.9}),
}


class Knowing(ScriptedChatModel):
    """Answers by the name of the file, whichever is asked first."""

    def _next_reply(self, messages: Any, kwargs: Any) -> ScriptedReply:
        return REPLIES[Path(messages[0].content[0]["url"]).stem]


@pytest.fixture
def videos(clip: Path, tmp_path: Path) -> dict[str, str]:
    for name in REPLIES:
        (tmp_path / f"{name}.avi").write_bytes(clip.read_bytes())
    return {name: str(tmp_path / f"{name}.avi") for name in REPLIES}


def build(**options: Any) -> Any:
    policy = AcceptPolicy(min_agreeing=1, max_retries=0)
    video_qa = build_video_qa_graph(Knowing(replies=[]), ladder=Ladder(4, 4), policy=policy)
    return build_compare_videos_graph(video_qa, **options)


def test_answers_are_ranked_and_abstentions_come_last(videos: dict[str, str]) -> None:
    result = build().invoke({"videos": videos, "question": "?"})
    assert [item["name"] for item in result["ranking"]] == ["strong", "weak", "unmeasured", "unsure"]
    assert [item["value"] for item in result["ranking"]] == [0.9, 0.6, None, 0.99]
    assert result["ranking"][3]["answer"] is None
    assert result["ranking"][3]["best_guess"]["answer"] == "green"
    assert result["ranked_by"] == "answer_probability"
    json.dumps(result)


def test_a_second_comparison_on_a_thread_starts_afresh(videos: dict[str, str]) -> None:
    graph, config = build(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    graph.invoke({"videos": videos, "question": "?", "options": ["red", "blue"]}, config)
    result = graph.invoke({"videos": {"only": videos["weak"]}, "question": "?"}, config)
    assert [item["name"] for item in result["ranking"]] == ["only"]
    assert [task["options"] for task in graph.get_state(config).values["tasks"]] == [[]]


def test_what_cannot_be_compared_is_refused_before_any_video_is_asked(videos: dict[str, str]) -> None:
    refused: list[tuple[Any, str]] = [
        *(({"videos": given}, "give paths by name") for given in ({}, None, ["a.mp4"], "a.mp4", {1: "a.mp4"})),
        ({"videos": {**videos, "other": 7}}, "give a path or file:// URL"),
        ({"videos": {**videos, "other": "https://x.org/a.mp4"}}, "download the file"),
        ({"videos": videos, "video": "a.mp4"}, "did you mean 'videos'"),
    ]
    for asked, remedy in refused:
        with pytest.raises(ConfigError, match=remedy):
            build().invoke({**asked, "question": "?"})
    for rank_by in ("probability", "num_tokens", "", None, 7):
        with pytest.raises(ConfigError, match=r"use one of answer_probability, entropy_drop, .*answer_entropy"):
            build(rank_by=rank_by)
    for graph in (None, "graph", Knowing(replies=[])):
        with pytest.raises(ConfigError, match=r"give one, e\.g\. build_video_qa_graph\(chat_model\)"):
            build_compare_videos_graph(graph)  # type: ignore[arg-type]


@pytest.fixture
def unreadable(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "text.avi").write_text("no video")
    return {"missing": str(tmp_path / "missing.avi"), "text": str(tmp_path / "text.avi")}


async def answered(way: str, asked: dict[str, Any], **options: Any) -> Any:
    graph = build(**options)
    return await graph.ainvoke(asked) if way == "async" else graph.invoke(asked)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_videos_that_cannot_be_read_come_last_with_their_errors(
    way: str, videos: dict[str, str], unreadable: dict[str, str]
) -> None:
    ranking = (await answered(way, {"videos": {**unreadable, **videos}, "question": "?"}))["ranking"]
    assert [look["name"] for look in ranking] == ["strong", "weak", "unmeasured", "unsure", "missing", "text"]
    assert [look["error"] for look in ranking[:4]] == [None] * 4
    assert [look["error"]["name"] for look in ranking[4:]] == ["VideoNotFoundError", "VideoDecodeError"]
    assert "check the path" in ranking[4]["error"]["message"]
    assert ranking[4]["reason"] == ranking[4]["error"]["message"]
    assert [ranking[4][name] for name in ("answer", "choice", "best_guess", "value", "confidence")] == [None] * 5
    json.dumps(ranking)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_where_no_video_can_be_read_the_error_is_raised(way: str, unreadable: dict[str, str]) -> None:
    with pytest.raises(VideoNotFoundError, match=r"video 'missing': .*; check the path"):
        await answered(way, {"videos": {"missing": unreadable["missing"]}, "question": "?"})
    with pytest.raises(
        VideoError, match=r"video 'missing': .*; check the path.*; video 'text': .*give an mp4"
    ) as caught:
        await answered(way, {"videos": unreadable, "question": "?"})
    assert type(caught.value) is VideoError


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_signals_of_which_less_is_surer_rank_from_the_lowest(way: str, videos: dict[str, str]) -> None:
    result = await answered(way, {"videos": videos, "question": "?"}, rank_by="final_entropy")
    assert [look["name"] for look in result["ranking"]] == ["strong", "weak", "unmeasured", "unsure"]
    assert [look["value"] for look in result["ranking"]] == [0.1, 0.4, None, 0.9]


def test_every_signal_but_a_count_of_tokens_can_rank() -> None:
    assert {*HIGHER_IS_BETTER, *LOWER_IS_BETTER} == {*SIGNAL_NAMES} - {"num_tokens"}


async def events_of(way: str, asked: dict[str, Any]) -> list[Any]:
    if way == "async":
        return [event async for event in build().astream(asked, stream_mode="custom")]
    return list(build().stream(asked, stream_mode="custom"))


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_events_name_their_video(way: str, videos: dict[str, str], unreadable: dict[str, str]) -> None:
    asked = {"videos": {"gone": unreadable["missing"], **videos}, "question": "?"}
    events = await events_of(way, asked)
    told = {name: [event["event"] for event in events if event["name"] == name] for name in asked["videos"]}
    assert told == {"gone": ["failed"], **{name: ["sample", "answer", "judge"] for name in videos}}
    (failed,) = [event for event in events if event["event"] == "failed"]
    assert failed["error"]["name"] == "VideoNotFoundError"
    answers = {event["name"]: event["answer"] for event in events if event["event"] == "answer"}
    assert answers == {"unsure": "green", "weak": "red", "strong": "blue", "unmeasured": "red"}


def test_a_look_that_waits_for_a_human_keeps_what_the_others_gave(
    videos: dict[str, str], unreadable: dict[str, str]
) -> None:
    policy, budget = AcceptPolicy(min_entropy_drop=0.5, min_agreeing=1, max_retries=0), Budget(max_attempts=1)
    video_qa = build_video_qa_graph(Knowing(replies=[]), ladder=Ladder(4, 8), policy=policy, budget=budget)
    graph = build_compare_videos_graph(video_qa, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    paused: Any = graph.invoke({"videos": {**unreadable, **videos}, "question": "?"}, config)
    (asked,) = paused["__interrupt__"]
    assert asked.value["best_guess"] == "green"
    result = graph.invoke(Command(resume={"action": "stop"}), config)
    names = [look["name"] for look in result["ranking"]]
    assert names == ["strong", "weak", "unmeasured", "unsure", "missing", "text"]
