"""The batched ladder against the real graph: scripted answers, every route."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks.climb import answer_of, climb
from vreason_agent.evaluation import Answer, Question
from vreason_agent.graphs import build_video_qa_graph
from vreason_agent.graphs.budget import Budget
from vreason_agent.graphs.policy import AcceptPolicy, Ladder
from vreason_agent.graphs.scripted_model import ScriptedChatModel, ScriptedReply
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip
from vreason_agent.video import pairs_plan

LADDER = Ladder(num_frames=4, max_frames=16)
RUNGS = LADDER.rungs()
RETRIES = ("other_frames", "new_seed")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ladder") / "clip.mp4"
    write_clip(path, make_clip(0, "dev"))
    return str(path)


def scripts(count: int) -> list[list[ScriptedReply]]:
    """For each question its replies at 4, 8 and 16 frames and in two retries."""
    rng = random.Random(0)

    def reply() -> ScriptedReply:
        drop = rng.choice([None, 0.1, 0.4, 0.6, 0.9])
        return ScriptedReply(
            rng.choice(["red", "blue", "blue", None]), {"entropy_drop": drop}, output_tokens=rng.randint(9, 40)
        )

    return [[reply() for _ in range(5)] for _ in range(count)]


def asking(plays: dict[str, list[ScriptedReply]], batches: list[int] | None = None):
    def ask(questions, num_frames, variation):
        if batches is not None:
            batches.append(len(questions))
        retry = {"frames": 3, "seed": 4}  # the strategies, in turn
        index = retry[next(name for name in retry if name in variation)] if variation else RUNGS.index(num_frames)
        return [answer(plays[question.id][index], num_frames, index) for question in questions]

    def answer(reply: ScriptedReply, num_frames: int, index: int) -> Answer:
        times = pairs_plan(0.0, 4.0, num_frames=num_frames, max_frames=RUNGS[-1]).timestamps_seconds
        times = times if index != 3 else tuple(time + 0.01 for time in times)
        return Answer(
            text=reply.answer or "",
            answer=reply.answer,
            signals=dict(reply.signals),
            num_frames=num_frames,
            num_tokens=reply.output_tokens,
            details={"prompt_tokens": 100, "timestamps_seconds": times},
        )

    return ask


@pytest.mark.parametrize(
    ("policy", "budget"),
    [
        (AcceptPolicy(), Budget()),
        (AcceptPolicy(min_agreeing=1, max_retries=0), Budget()),
        (AcceptPolicy(max_retries=2, abstain=False, variations=RETRIES), Budget()),
        (
            AcceptPolicy(min_entropy_drop=-9.0, min_agreeing=3, max_retries=2, variations=RETRIES),
            Budget(max_total_frames=20),
        ),
        (AcceptPolicy(), Budget(max_total_tokens=260)),
        (AcceptPolicy(), Budget(max_attempts=2)),
    ],
)
def test_batched_ladder_decides_what_the_graph_decides(video, policy, budget):
    plays = {f"q{index}": script for index, script in enumerate(scripts(25))}
    questions = [Question(id=name, video=video, question="What color?", answer="red") for name in plays]
    climbs = climb(questions, asking(plays), ladder=LADDER, policy=policy, budget=budget)
    for one in climbs:
        replies = plays[one.question.id]
        order = [*replies[:3], *replies[3:]]
        graph = build_video_qa_graph(ScriptedChatModel(replies=order), ladder=LADDER, policy=policy, budget=budget)
        state = graph.invoke({"video": video, "question": "What color?"})
        assert [item["action"] for item in one.decisions] == [item["action"] for item in state["decisions"]]
        assert [item["reason"] for item in one.decisions] == [item["reason"] for item in state["decisions"]]
        assert [item["num_frames"] for item in one.attempts] == [item["num_frames"] for item in state["attempts"]]
        assert [item["variation"] for item in one.attempts] == [item["variation"] for item in state["attempts"]]
        best = state["best_guess"]["answer"] if state["best_guess"] else state["answer"]
        assert answer_of(one).answer == best
        assert answer_of(one).num_frames == state["spent"]["frames_seen"]


def test_the_routes_above_are_all_taken(video):
    plays = {f"q{index}": script for index, script in enumerate(scripts(25))}
    questions = [Question(id=name, video=video, question="What color?", answer="red") for name in plays]
    climbs = climb(questions, asking(plays), ladder=LADDER, policy=AcceptPolicy())
    routes = Counter(tuple(item["action"] for item in one.decisions) for one in climbs)
    assert {route[-1] for route in routes} == {"accept", "abstain"}
    assert {"more_frames", "retry"} <= {action for route in routes for action in route}


def test_each_rung_is_one_batch(video):
    plays = {f"q{index}": script for index, script in enumerate(scripts(25))}
    questions = [Question(id=name, video=video, question="?", answer="red") for name in plays]
    batches: list[int] = []
    climb(questions, asking(plays, batches), ladder=LADDER, policy=AcceptPolicy(min_entropy_drop=0.5))
    assert len(batches) == 4
    assert batches[:2] == [25, 25]
    assert batches[1] > batches[2] > batches[3]


def test_answer_sums_up_what_all_attempts_cost(video):
    settled = ScriptedReply("red", {"entropy_drop": 0.9}, output_tokens=10)
    question = Question(id="q", video=video, question="?", answer="red")
    (one,) = climb([question], asking({"q": [settled] * 5}), ladder=LADDER, policy=AcceptPolicy())
    answer = answer_of(one)
    assert (answer.answer, answer.decision, answer.num_frames, answer.num_tokens) == ("red", "accept", 8, 20)
    assert answer.details["rungs"] == [4, 8]
