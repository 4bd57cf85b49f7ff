"""A chat model's message as an attempt, and the confidence that a run ends with.

This module knows no node and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage

from ..confidence import Confidence, confidence_of
from ..question import read_answer
from .asking import Asked
from .state import Attempt, VideoQAState


def read_attempt(state: VideoQAState, asked: Asked, message: AIMessage, seconds: float) -> Attempt:
    """Return what a message says, beside what it was asked and the time that it took."""
    confidence = confidence_of(message)
    seen = asked.seen_seconds or confidence.evidence.get("timestamps_seconds") or state["timestamps_seconds"]
    answer = read_answer(message, state["task"]["options"])
    if "from_logprobs" in confidence.warnings:  # which know no options
        kind = "choice" if answer["choice"] else confidence.answer["kind"]
        confidence = replace(confidence, answer={**answer, "kind": kind})
    return Attempt(
        attempt=len(state["attempts"]),
        rung=state["rung"],
        num_frames=len(state["timestamps_seconds"]),
        timestamps_seconds=list(seen),
        frames_as="video" if asked.seen_seconds is None else "images",
        plan=state["plan"],
        sampling=state["sampling"],
        variation=dict(state["variation"]),
        answer=answer["text"],
        choice=answer["choice"],
        text=message.text,
        reasoning=_reasoning(message),
        confidence=confidence.to_dict(),
        tokens=_tokens(message),
        vision=message.response_metadata.get("vision"),
        model=message.response_metadata.get("model_name"),
        seconds=seconds,
    )


def ending(state: VideoQAState, best: Attempt) -> dict[str, Any]:
    """Return the confidence and the frames of the attempt that a run ends with, under the last decision."""
    decision = state["decision"]
    rungs = [_rung(attempt) for attempt in state["attempts"]]
    judged = Confidence.from_dict(best["confidence"])
    confidence = judged.decided(decision["action"], decision["reason"], rungs, settled=decision["settled"])
    return {"confidence": confidence.to_dict(), "frames": best["timestamps_seconds"]}


def _reasoning(message: AIMessage) -> str:
    blocks = [block for block in message.content_blocks if block["type"] == "reasoning"]
    return "".join(block.get("reasoning", "") for block in blocks)


def _tokens(message: AIMessage) -> dict[str, int]:
    usage = message.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    return {"input": usage["input_tokens"], "output": usage["output_tokens"]}


def _rung(attempt: Attempt) -> dict[str, Any]:
    signals: Mapping[str, Any] = attempt["confidence"].get("signals", {})
    names = ("entropy_drop", "final_entropy", "answer_probability")
    kept = {name: attempt[name] for name in ("attempt", "rung", "answer", "choice")}
    kept["num_frames"] = len(attempt["timestamps_seconds"])
    return {**kept, **{name: signals.get(name) for name in names}}
