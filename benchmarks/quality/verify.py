"""Does the batched ladder decide what the real graph decides? Asked question by question, from the file on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.quality.agent import run_agent
from benchmarks.quality.bench import Bench
from vreason_agent.chat_model import ChatVReason
from vreason_agent.decoding import VReasonConfig
from vreason_agent.evaluation import Question, Result
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.graphs import build_video_qa_graph
from vreason_agent.graphs.policy import AcceptPolicy, Ladder
from vreason_agent.graphs.state import VideoQAInput


def verify(bench: Bench, policy: AcceptPolicy, ladder: Ladder, vreason: VReasonConfig) -> str:
    """Run the graph over the bench's questions and return every difference from the batched ladder."""
    chat_model = ChatVReason(model=bench.model, vreason=vreason, max_tokens=Setting().max_new_tokens)
    graph = build_video_qa_graph(chat_model, ladder=ladder, policy=policy)
    batched = run_agent(bench, policy, ladder, vreason)
    differences = [line for row in batched for line in _compare(row, graph.invoke(_input(row.question)))]
    verdict = "equal" if not differences else f"{len(differences)} differences"
    return "\n".join([f"{len(batched)} questions, graph against batched ladder: {verdict}", *differences])


def _input(question: Question) -> VideoQAInput:
    return {"video": question.video, "question": question.question, "options": list(question.options)}


def _compare(row: Result, state: Mapping[str, Any]) -> Sequence[str]:
    return [
        f"{row.question.id} {name}: {graph!r} from the graph, {batch!r} in batches"
        for name, graph, batch in _pairs(row, state)
        if graph != batch
    ]


def _pairs(row: Result, state: Mapping[str, Any]) -> list[tuple[str, object, object]]:
    attempts, decisions = state["attempts"], state["decisions"]
    details = row.answer.details
    return [
        ("action", decisions[-1]["action"], row.answer.decision),
        ("rungs", [attempt["num_frames"] for attempt in attempts], details["rungs"]),
        ("answers", [attempt["answer"] for attempt in attempts], details["answers"]),
        ("actions", [item["action"] for item in decisions], [item["action"] for item in details["decisions"]]),
    ]
