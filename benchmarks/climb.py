"""The agent's ladder over many questions at once: one batch per rung instead of one question at a time.

Given each rung's answers the agent is deterministic, so its own policy, applied to answers that came in batches,
decides what the graph decides (`tests/evaluation/test_climb.py`). This module does not know who answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vreason_agent.evaluation import Answer, Question
from vreason_agent.graphs.budget import NOTHING, Budget, spent_on
from vreason_agent.graphs.policy import AcceptPolicy, Ladder
from vreason_agent.graphs.state import Attempt, Decision, Spent

AskRung = Callable[[Sequence[Question], int, Mapping[str, Any]], Sequence[Answer]]
"""Answers questions from so many frames, with a retry's keyword arguments."""


@dataclass
class Climb:
    """One question on its way up: attempts, decisions, and what they cost."""

    question: Question
    attempts: list[Attempt] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    spent: Spent = field(default_factory=lambda: NOTHING)

    @property
    def action(self) -> str:
        """What was decided last; `more_frames` before the first attempt."""
        return self.decisions[-1]["action"] if self.decisions else "more_frames"

    def next_step(self, policy: AcceptPolicy) -> tuple[int, Mapping[str, Any]]:
        """Return the rung of the next attempt and a retry's keyword arguments."""
        if not self.attempts:
            return 0, {}
        if self.action == "retry":
            return self.attempts[-1]["rung"], policy.variation(self.attempts)
        return self.attempts[-1]["rung"] + 1, {}


def climb(
    questions: Sequence[Question],
    ask: AskRung,
    *,
    ladder: Ladder,
    policy: AcceptPolicy,
    budget: Budget | None = None,
) -> list[Climb]:
    """Take every question up the ladder until its policy accepts or abstains."""
    climbs = [Climb(question) for question in questions]
    active = climbs
    while active:
        for rung, variation, group in _grouped(active, policy):
            _attempt(group, ask, rung, variation, ladder, policy, budget or Budget())
        active = [one for one in active if one.action in ("more_frames", "retry")]
    return climbs


def answer_of(climb: Climb) -> Answer:
    """Return the agent's answer: the best guess where it abstained, with the decision and all costs."""
    best = climb.attempts[climb.decisions[-1]["quotes"]]
    return Answer(
        text=best["text"],
        answer=best["answer"],
        choice=best["choice"],
        signals=best["confidence"].get("signals", {}),
        num_frames=climb.spent["frames_seen"],
        num_tokens=sum(attempt["tokens"]["output"] for attempt in climb.attempts),
        seconds=climb.spent["seconds"],
        decision=climb.action,
        details={
            "frames_shown": climb.spent["frames_shown"],
            "rungs": [attempt["num_frames"] for attempt in climb.attempts],
            "answers": [attempt["answer"] for attempt in climb.attempts],
            "decisions": [{"action": item["action"], "reason": item["reason"]} for item in climb.decisions],
        },
    )


def _grouped(active: Sequence[Climb], policy: AcceptPolicy) -> list[tuple[int, dict[str, Any], list[Climb]]]:
    """Return the climbs whose next attempts are alike, so that each group is one batch."""
    groups: dict[str, tuple[int, dict[str, Any], list[Climb]]] = {}
    for one in active:
        rung, variation = one.next_step(policy)
        groups.setdefault(repr((rung, variation)), (rung, dict(variation), []))[2].append(one)
    return list(groups.values())


def _attempt(
    group: Sequence[Climb],
    ask: AskRung,
    rung: int,
    variation: dict[str, Any],
    ladder: Ladder,
    policy: AcceptPolicy,
    budget: Budget,
) -> None:
    rungs = ladder.rungs()
    answers = ask([one.question for one in group], rungs[rung], variation)
    for one, answer in zip(group, answers, strict=True):
        attempt = _attempt_record(len(one.attempts), rung, variation, answer)
        one.attempts.append(attempt)
        one.spent = spent_on(one.attempts)
        one.decisions.append(policy.judge(one.attempts, rungs=rungs, budget=budget, spent=one.spent))


def _attempt_record(index: int, rung: int, variation: dict[str, Any], answer: Answer) -> Attempt:
    return Attempt(
        attempt=index,
        rung=rung,
        num_frames=answer.num_frames,
        timestamps_seconds=list(answer.details.get("timestamps_seconds", ())),
        variation=variation,
        answer=answer.answer,
        choice=answer.choice,
        text=answer.text,
        reasoning=answer.reasoning or "",
        confidence={
            "signals": dict(answer.signals),
            "probability": answer.details.get("probability"),
            "calibration": answer.details.get("calibration"),
        },
        tokens={"input": int(answer.details.get("prompt_tokens", 0)), "output": answer.num_tokens},
        model=None,
        seconds=answer.seconds,
    )
