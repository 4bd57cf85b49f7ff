"""The video question graph: its routes, what it sends, streams and keeps."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from vreason_agent.confidence import Confidence, describe_confidence
from vreason_agent.errors import ConfigError, VideoError, VideoNotFoundError
from vreason_agent.graphs import (
    AcceptPolicy,
    Budget,
    Ladder,
    Sampling,
    ScriptedChatModel,
    ScriptedReply,
    VideoQAState,
    build_video_qa_graph,
)
from vreason_agent.video import Isolation, ReadOptions
from vreason_agent.video.pyav_decoder import PyAVDecoder

SURE, UNSURE = {"entropy_drop": 0.9, "final_entropy": 0.1}, {"entropy_drop": 0.1, "final_entropy": 0.1}
ONE_LOOK = AcceptPolicy(min_agreeing=1)


def script(*replies: tuple[str | None, dict[str, float]]) -> ScriptedChatModel:
    return ScriptedChatModel(replies=[ScriptedReply(answer, signals) for answer, signals in replies])


def ask(clip: Path, model: ScriptedChatModel, **build: Any) -> dict[str, Any]:
    graph = build_video_qa_graph(model, **build)
    return graph.invoke({"video": str(clip), "question": "Which color?", "options": ["red", "blue"]})


class SeenReply(ScriptedReply):
    """A reply of a model that tells which frames it saw."""

    def confidence(self) -> Confidence:
        evidence = {"num_frames": 3, "timestamps_seconds": [0.0, 4.0, 4.25], "rungs": []}
        return replace(super().confidence(), evidence=evidence)


def blocks(model: ScriptedChatModel, index: int) -> Any:
    (message,), _ = model.requests[index]
    return message.content


def actions(result: dict[str, Any]) -> list[str]:
    return [decision["action"] for decision in result["decisions"]]


def test_traces_that_differ_in_entropy_drop_alone_take_different_routes(clip: Path) -> None:
    settled = ask(clip, script(("red", SURE)), policy=ONE_LOOK)
    unsettled = ask(clip, script(("red", UNSURE), ("red", SURE)), policy=ONE_LOOK)
    assert SURE.keys() == UNSURE.keys()
    assert actions(settled) == ["accept"]
    assert settled["best_guess"] == {"answer": "red", "choice": None, "attempt": 0}
    assert actions(unsettled) == ["more_frames", "accept"]
    assert "entropy fell by 10% after its peak (needed: a drop of 70%)" in unsettled["decisions"][0]["reason"]


def test_a_video_outside_the_allowed_folders_is_not_opened(clip: Path, tmp_path: Path) -> None:
    assert ask(clip, script(("red", SURE)), policy=ONE_LOOK, read_options=ReadOptions([clip.parent]))["answer"] == "red"
    with pytest.raises(VideoError, match="outside the allowed folders"):
        ask(clip, script(("red", SURE)), read_options=ReadOptions([tmp_path / "other"]))


@pytest.mark.parametrize("as_data", [False, True])
def test_a_run_brings_its_own_rules(clip: Path, as_data: bool) -> None:
    graph = build_video_qa_graph(script(("red", SURE), ("red", SURE), ("red", SURE)))
    asked: Any = {"video": str(clip), "question": "Which color?"}
    rules: Any = {"ladder": Ladder(2, 4), "policy": ONE_LOOK, "budget": Budget(max_attempts=1)}
    if as_data:
        rules = {"ladder": {"num_frames": 2, "max_frames": 4}, "policy": {"min_agreeing": 1}}
    result = graph.invoke(asked, context=rules)
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [2]
    assert result["decision"]["action"] == "accept"
    assert [attempt["num_frames"] for attempt in graph.invoke(asked)["attempts"]] == [4, 8], "the graph's own again"


def test_a_retry_at_the_last_rung_varies_the_call_and_can_be_accepted(clip: Path) -> None:
    model = script(("red", UNSURE), ("red", SURE))
    result = ask(clip, model, ladder=Ladder(4, 4), policy=ONE_LOOK)
    assert actions(result) == ["retry", "accept"]
    second = result["attempts"][1]
    assert (second["variation"], [kwargs for _, kwargs in model.requests]) == ({"frames": "other"}, [{}, {}])
    assert second["timestamps_seconds"] == [1.0, 3.0, 5.0, 7.0]
    assert result["spent"]["frames_seen"] == 8
    drawn = AcceptPolicy(min_agreeing=1, variations=("new_seed",))
    model = script(("red", UNSURE), ("red", SURE))
    result = ask(clip, model, ladder=Ladder(4, 4), policy=drawn)
    assert [kwargs for _, kwargs in model.requests] == [{}, {"temperature": 0.7, "seed": 1}]
    assert result["spent"]["frames_seen"] == 4


def test_a_retry_can_put_another_prompt_before_the_question(clip: Path) -> None:
    again = "Look again at the very beginning and end."
    policy = AcceptPolicy(min_agreeing=1, variations=({"prompt": again, "seed": 1},))
    for frames_as in ("video", "images"):
        model = script(("red", UNSURE), ("red", SURE))
        result = ask(clip, model, ladder=Ladder(4, 4), policy=policy, frames_as=frames_as)
        assert [kwargs for _, kwargs in model.requests] == [{}, {"seed": 1}]
        texts = [blocks(model, index)[-1]["text"] for index in range(2)]
        assert texts == ["Which color?\nOptions:\nA. red\nB. blue", f"{again}\nWhich color?\nOptions:\nA. red\nB. blue"]
        assert result["attempts"][1]["variation"] == {"prompt": again, "seed": 1}


def test_abstention_gives_no_answer_and_keeps_the_best_guess_apart(clip: Path) -> None:
    result = ask(clip, script(("red", UNSURE), ("red", UNSURE), ("blue", UNSURE)), ladder=Ladder(4, 8))
    assert actions(result) == ["more_frames", "retry", "abstain"]
    assert result["answer"] is None
    assert result["choice"] is None
    assert result["best_guess"] == {"answer": "red", "choice": None, "attempt": 1}
    assert result["confidence"]["decision"]["action"] == "abstain"
    unread = ask(clip, script((None, SURE)), ladder=Ladder(4, 4), policy=AcceptPolicy(max_retries=0))
    assert (actions(unread), unread["best_guess"]["answer"]) == (["abstain"], None)


def test_a_best_guess_that_is_taken_is_never_called_settled(clip: Path) -> None:
    policy = AcceptPolicy(max_retries=0, abstain=False)
    result = ask(clip, script(("red", UNSURE), ("red", UNSURE)), ladder=Ladder(4, 8), policy=policy)
    assert (result["answer"], actions(result)[-1]) == ("red", "accept")
    headline = describe_confidence(Confidence.from_dict(result["confidence"]))[0]
    assert "did not settle" in headline


def test_the_budget_ends_the_ladder(clip: Path) -> None:
    result = ask(clip, script(("red", UNSURE), ("red", UNSURE)), budget=Budget(max_total_frames=8))
    assert actions(result) == ["more_frames", "abstain"]
    assert "over max_total_frames=8" in result["decision"]["reason"]
    assert {**result["spent"], "seconds": 0} == {
        "attempts": 2,
        "frames_seen": 8,
        "frames_shown": 12,
        "tokens": 240,
        "seconds": 0,
    }


def test_a_rung_keeps_every_pair_of_the_rung_before(clip: Path) -> None:
    model = script(*[("red", UNSURE)] * 4)
    times = [
        attempt["timestamps_seconds"] for attempt in ask(clip, model, policy=AcceptPolicy(max_retries=0))["attempts"]
    ]
    pairs = [set(zip(rung[::2], rung[1::2], strict=True)) for rung in times]
    assert pairs[0] < pairs[1] < pairs[2] < pairs[3]
    assert times[0] == [0.0, 0.25, 4.0, 4.25]
    assert times[3] == [0.25 * frame for frame in range(32)]


def test_frames_lie_in_the_part_that_is_asked_about_and_the_ladder_ends_with_the_frames_there_are(
    clip: Path, picture: Path
) -> None:
    graph: Any = build_video_qa_graph(script(*[("red", UNSURE)] * 2), policy=AcceptPolicy(max_retries=0))
    result = graph.invoke({"video": clip, "question": "?", "start_seconds": 2.0, "stop_seconds": 3.0})
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [4, 8]
    assert all(2.0 <= time < 3.0 for attempt in result["attempts"] for time in attempt["timestamps_seconds"])
    image = ask(picture, script(("red", SURE)), policy=AcceptPolicy(max_retries=0))
    assert [attempt["num_frames"] for attempt in image["attempts"]] == [1]


def test_a_file_url_with_quoted_characters_is_opened(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my clips"
    folder.mkdir()
    (folder / "noise.avi").symlink_to(clip)
    model = script(("red", SURE))
    graph = build_video_qa_graph(model, policy=ONE_LOOK)
    assert graph.invoke({"video": (folder / "noise.avi").as_uri(), "question": "Which color?"})["answer"] == "red"


def test_an_answer_that_changes_is_tried_again_though_entropy_fell_and_every_attempt_is_recorded(clip: Path) -> None:
    seen = SeenReply("blue", SURE)
    result = ask(clip, ScriptedChatModel(replies=[seen, ScriptedReply("red", SURE), ScriptedReply("red", SURE)]))
    assert (result["answer"], actions(result)) == ("red", ["more_frames", "more_frames", "accept"])
    assert [attempt["num_frames"] for attempt in result["attempts"]] == [4, 8, 16]
    assert (result["spent"]["frames_seen"], result["spent"]["frames_shown"]) == (16, 28), "4, 8 and 16 frames"
    record = result["confidence"]
    assert record["decision"] == {"action": "accept", "reason": result["decision"]["reason"], "settled": True}
    assert [rung["answer"] for rung in record["evidence"]["rungs"]] == ["blue", "red", "red"]
    assert [rung["num_frames"] for rung in record["evidence"]["rungs"]] == [3, 8, 16], "each frame is counted once"
    assert record["probability"] is None


def test_the_model_is_asked_about_the_file_and_the_times_with_no_pixels(clip: Path) -> None:
    model = script(("red", SURE))
    ask(clip, model, ladder=Ladder(4, 4), policy=AcceptPolicy(max_retries=0))
    video, text = blocks(model, 0)
    assert video == {"type": "video", "url": str(clip), "extras": {"timestamps": [0.0, 2.0, 4.0, 6.0]}}
    assert text["text"] == "Which color?\nOptions:\nA. red\nB. blue"


def test_a_run_stopped_before_the_judge_goes_on_without_asking_the_model_again(clip: Path) -> None:
    model = script(("red", UNSURE), ("red", SURE))
    graph = build_video_qa_graph(model, policy=ONE_LOOK, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"video": str(clip), "question": "?"}, config, interrupt_before=["judge"])
    assert len(model.requests) == 1
    result = graph.invoke(None, config)
    assert len(model.requests) == 2
    assert result["answer"] == "red"


def test_a_second_question_on_the_same_thread_starts_afresh(clip: Path) -> None:
    model = script(("red", SURE), ("two", SURE))
    graph = build_video_qa_graph(model, policy=ONE_LOOK, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"video": str(clip), "question": "Color?", "options": ["red", "blue"], "stop_seconds": 4.0}, config)
    values = graph.get_state(config).values
    assert json.loads(json.dumps(values)) == values
    result = graph.invoke({"video": str(clip), "question": "How many?"}, config)
    assert result["answer"] == "two"
    assert len(result["attempts"]) == len(result["decisions"]) == result["spent"]["attempts"] == 1
    assert result["frames"] == [0.0, 0.25, 4.0, 4.25]
    assert blocks(model, 1)[1]["text"] == "How many?"


async def test_progress_tells_rung_frames_and_entropy_so_far(clip: Path) -> None:
    graph = build_video_qa_graph(script(("red", UNSURE), ("red", SURE)), policy=ONE_LOOK)
    events = list(graph.stream({"video": str(clip), "question": "?"}, stream_mode="custom"))
    steps = [(event["event"], event["rung"]) for event in events]
    assert steps == [(name, rung) for rung in (0, 1) for name in ("sample", "answer", "judge")]
    assert events[1]["entropy"]["entropy_drop"] == 0.1
    assert events[3]["num_frames"] == 8
    assert events[2]["action"] == "more_frames"
    json.dumps(events)
    again = build_video_qa_graph(script(("red", UNSURE), ("red", SURE)), policy=ONE_LOOK)
    told = [event async for event in again.astream({"video": str(clip), "question": "?"}, stream_mode="custom")]
    assert [event["event"] for event in told] == [event["event"] for event in events]


def test_tokens_are_streamed_in_the_messages_mode(clip: Path) -> None:
    model = ScriptedChatModel(replies=[ScriptedReply("a red circle", SURE, reasoning="I see")])
    graph = build_video_qa_graph(model, policy=ONE_LOOK)
    pieces: list[Any] = [
        piece for piece, _ in graph.stream({"video": str(clip), "question": "?"}, stream_mode="messages")
    ]
    assert all(isinstance(piece, AIMessageChunk) for piece in pieces)
    assert [piece.text for piece in pieces if piece.text] == ["a", " red", " circle"]


def test_streamed_or_not_the_result_is_the_same(clip: Path) -> None:
    def final(**stream: Any) -> dict[str, Any]:
        graph = build_video_qa_graph(script(("red", UNSURE), ("red", SURE)), policy=ONE_LOOK)
        parts = list(graph.stream({"video": str(clip), "question": "?"}, stream_mode=["values", "messages"], **stream))
        return next(data for mode, data in reversed(parts) if mode == "values")

    def without_seconds(result: dict[str, Any]) -> Any:
        return json.loads(json.dumps(result), object_hook=lambda item: {**item, "seconds": None})

    plain = build_video_qa_graph(script(("red", UNSURE), ("red", SURE)), policy=ONE_LOOK)
    invoked = plain.invoke({"video": str(clip), "question": "?"})
    assert without_seconds({name: final()[name] for name in invoked}) == without_seconds(invoked)


async def test_async_runs_do_not_block_the_event_loop(clip: Path) -> None:
    release = threading.Event()

    class Waiting(ScriptedChatModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            release.wait(10)
            return super()._generate(*args, **kwargs)

    model = Waiting(replies=[ScriptedReply("red", SURE)])
    graph = build_video_qa_graph(model, policy=ONE_LOOK)
    task = asyncio.create_task(graph.ainvoke({"video": str(clip), "question": "?"}))
    await asyncio.sleep(0.05)
    assert not task.done()
    release.set()
    assert (await task)["answer"] == "red"


async def test_a_cancelled_run_cancels_the_answer_under_way_and_asks_no_more(clip: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    class Endless(ScriptedChatModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            began.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

    model = Endless(replies=[])
    task = asyncio.create_task(build_video_qa_graph(model).ainvoke({"video": str(clip), "question": "?"}))
    await asyncio.wait_for(began.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 10)


async def test_async_and_sync_take_the_same_route(clip: Path) -> None:
    replies = (("red", UNSURE), ("blue", SURE), ("blue", SURE))
    graph = build_video_qa_graph(script(*replies))
    result = await graph.ainvoke({"video": str(clip), "question": "?"})
    assert actions(result) == actions(ask(clip, script(*replies)))


def test_a_model_without_a_confidence_record_is_read_by_its_text_and_must_agree_with_itself(clip: Path) -> None:
    policy = AcceptPolicy(max_retries=0, min_agreeing=3)
    graph = build_video_qa_graph(FakeListChatModel(responses=["Blue."]), policy=policy)
    result = graph.invoke({"video": str(clip), "question": "?", "options": ["red", "blue"]})
    assert actions(result) == ["more_frames"] * 2 + ["accept"]
    assert (result["answer"], result["attempts"][-1]["choice"]) == ("blue", "B")
    assert result["decision"]["reason"].startswith("the server tells no log-probabilities, and three attempts")
    assert result["confidence"]["probability"] is None


def test_a_missing_file_is_an_error_before_the_model_is_asked(tmp_path: Path) -> None:
    model = script(("red", SURE))
    with pytest.raises(VideoNotFoundError):
        ask(tmp_path / "none.mp4", model)
    assert model.requests == []


@pytest.mark.parametrize("context", [{"user": "ann", "policy": {"min_agreeing": 1}}, Sampling])
def test_what_a_parent_graph_keeps_in_its_own_context_is_left_alone(clip: Path, context: Any) -> None:
    builder: Any = StateGraph(VideoQAState)
    builder.add_node("ask", build_video_qa_graph(script(("red", SURE), ("red", SURE))))
    builder.add_edge(START, "ask")
    result = builder.compile().invoke({"video": str(clip), "question": "?"}, context=context)
    assert len(result["attempts"]) == (1 if isinstance(context, dict) else 2)


def test_a_script_that_is_played_out_says_so(clip: Path) -> None:
    with pytest.raises(ConfigError, match=r"all 1 replies of the script are played; add some to ScriptedChatModel"):
        ask(clip, script(("red", UNSURE)))


def test_graphs_import_no_torch() -> None:
    code = "import sys, vreason_agent.graphs; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_isolated_graph_decodes_nothing_in_its_own_process(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("decoded here"))
    isolated = ask(clip, script(("red", SURE)), policy=ONE_LOOK, read_options=ReadOptions(isolation=Isolation()))
    monkeypatch.undo()
    assert isolated["frames"] == ask(clip, script(("red", SURE)), policy=ONE_LOOK)["frames"]
