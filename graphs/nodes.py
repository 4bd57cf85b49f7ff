"""The steps of the video question graph: open, sample, answer, judge, and the two endings.

A node takes state and returns what changes; it holds no state of its own. The chat model is any LangChain chat model
whose messages carry `response_metadata["confidence"]`; without it every rung counts as unsettled. No torch here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config, get_stream_writer
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.runtime import Runtime
from langgraph.types import Overwrite, interrupt

from ..confidence import Confidence, confidence_of
from ..question import check_question, read_answer, video_question
from ..video import Reading, local_path, make_plan
from .budget import NOTHING, Budget, add_spent
from .context import VideoQAContext, rules_of
from .frame_policy import FramePolicy
from .policy import AcceptPolicy, Ladder
from .sampling import clip_of, clip_rungs, with_cuts
from .state import Attempt, Decision, HumanReply, Sampling, Task, VideoQAState


@dataclass(frozen=True)
class VideoQANodes:
    """The nodes, with what they share: the chat model and the rules."""

    chat_model: BaseChatModel
    ladder: Ladder
    policy: AcceptPolicy
    budget: Budget
    frame_policy: FramePolicy
    reading: Reading

    def open(self, state: VideoQAState, runtime: Runtime[VideoQAContext]) -> dict[str, Any]:
        """Check the question, probe the video, and forget what an earlier question on this thread left."""
        task = Task(question=state["question"], options=list(state.get("options") or []))
        check_question(task["question"], task["options"])
        start, stop = state.get("start_seconds"), state.get("stop_seconds")
        info = self.reading.probe(local_path(state["video"]))
        clip = clip_of(state["video"], info, start_seconds=start, stop_seconds=stop)
        frames = self.under(runtime.context).frame_policy
        if frames.rule == "scenes":
            clip = with_cuts(clip, self.reading, max_frames=frames.max_scanned_frames)
        empty = {"attempts": Overwrite([]), "decisions": Overwrite([])}
        return {**empty, "task": task, "clip": clip, "rung": 0, "variation": {}, "spent": NOTHING}

    def under(self, context: VideoQAContext | None) -> VideoQANodes:
        """Return the nodes with the rules that one run brings along.

        Raises:
            ConfigError: If a rule is out of its range.
        """
        return replace(self, **rules_of(context))

    def sample(self, state: VideoQAState, runtime: Runtime[VideoQAContext]) -> dict[str, Any]:
        """Choose the times that this rung looks at; a retry looks at those of the attempt before."""
        plan, sampling = self.under(runtime.context)._planned(state)
        times = [0.0] if plan is None else plan["timestamps_seconds"]
        look = {"timestamps_seconds": times, "plan": plan, "sampling": sampling}
        _report("sample", state, num_frames=len(times), **look)
        return look

    def answer(self, state: VideoQAState, config: RunnableConfig) -> dict[str, Any]:
        """Ask the chat model."""
        began = time.monotonic()
        message = self.chat_model.invoke([self._question(state)], config, **state["variation"])
        return self._answered(state, message, time.monotonic() - began)

    async def aanswer(self, state: VideoQAState, config: RunnableConfig) -> dict[str, Any]:
        """Ask the chat model without blocking the event loop."""
        began = time.monotonic()
        message = await self.chat_model.ainvoke([self._question(state)], config, **state["variation"])
        return self._answered(state, message, time.monotonic() - began)

    def judge(self, state: VideoQAState, runtime: Runtime[VideoQAContext]) -> dict[str, Any]:
        """Decide what follows and prepare it."""
        ruled = self.under(runtime.context)
        rungs = clip_rungs(state["clip"], ruled.ladder)
        decision = ruled.policy.judge(state["attempts"], rungs=rungs, budget=ruled.budget, spent=state["spent"])
        return ruled._decided(state, decision)

    def route_judged(
        self, state: VideoQAState, runtime: Runtime[VideoQAContext]
    ) -> Literal["sample", "accept", "abstain", "ask_human"]:
        """Return the node that follows the judge."""
        may_ask = self.under(runtime.context).budget.ask
        return "ask_human" if may_ask and "wanted" in state["decision"] else route(state)

    def ask_human(self, state: VideoQAState, runtime: Runtime[VideoQAContext]) -> dict[str, Any]:
        """Ask whether a limit may be exceeded by one more attempt; where nobody can be asked, leave it as judged."""
        ruled = self.under(runtime.context)
        decision = state["decision"]
        if not _is_kept():
            return {"decision": decision}
        reply: HumanReply = interrupt(
            {
                "question": "The budget does not allow another attempt. Go on all the same?",
                "reason": decision["reason"],
                "wanted": decision["wanted"],
                "spent": state["spent"],
                "best_guess": state["attempts"][decision["quotes"]]["answer"],
            },
            response_schema=HumanReply,
        )
        if reply["action"] == "stop":
            return ruled._decided(state, {**decision, "reason": f"{decision['reason']}; a human said stop"})
        reason = f"{decision['reason']}; a human said go on"
        return ruled._decided(state, {**decision, "action": decision["wanted"], "reason": reason, "settled": False})

    def accept(self, state: VideoQAState) -> dict[str, Any]:
        """Give the answer."""
        best = state["attempts"][state["decision"]["quotes"]]
        return {"answer": best["answer"], "choice": best["choice"], "best_guess": None, **_ending(state, best)}

    def abstain(self, state: VideoQAState) -> dict[str, Any]:
        """Give no answer; keep the best guess apart."""
        best = state["attempts"][state["decision"]["quotes"]]
        guess = {"answer": best["answer"], "choice": best["choice"], "attempt": best["attempt"]}
        return {"answer": None, "choice": None, "best_guess": guess, **_ending(state, best)}

    def _decided(self, state: VideoQAState, decision: Decision) -> dict[str, Any]:
        """Tell and record a decision, and prepare what it asks for."""
        _report("judge", state, action=decision["action"], reason=decision["reason"], numbers=decision["numbers"])
        changes: dict[str, Any] = {"decisions": [decision], "decision": decision}
        if decision["action"] == "more_frames":
            changes["rung"] = state["rung"] + 1
        if decision["action"] == "retry":
            changes["variation"] = self.policy.variation(state["attempts"])
        return changes

    def _planned(self, state: VideoQAState) -> tuple[dict[str, Any] | None, Sampling]:
        clip, attempts = state["clip"], state["attempts"]
        if attempts and attempts[-1]["rung"] == state["rung"]:
            return attempts[-1]["plan"], attempts[-1]["sampling"]
        if clip["kind"] == "image":
            return None, Sampling(rule="image", reason="an image has one frame", part_seconds=[0.0, 0.0])
        num_frames = clip_rungs(clip, self.ladder)[state["rung"]]
        plan, sampling = self.frame_policy.plan(clip, num_frames, self.ladder, attempts)
        return plan.to_dict(), sampling

    def _question(self, state: VideoQAState) -> HumanMessage:
        task = state["task"]
        return video_question(
            state["clip"]["path"],
            task["question"],
            options=task["options"],
            timestamps_seconds=state["timestamps_seconds"],
            expected_seconds=_last_look(state["plan"]),
        )

    def _answered(self, state: VideoQAState, message: AIMessage, seconds: float) -> dict[str, Any]:
        attempt = _read_attempt(state, message, seconds)
        tokens = sum(attempt["tokens"].values())
        spent = add_spent(state["spent"], frames=attempt["num_frames"], tokens=tokens, seconds=seconds)
        signals = attempt["confidence"]["signals"]
        entropy = {name: signals.get(name) for name in ("peak_entropy", "final_entropy", "entropy_drop")}
        _report(
            "answer", state, num_frames=attempt["num_frames"], answer=attempt["answer"], entropy=entropy, spent=spent
        )
        return {"attempts": [attempt], "spent": spent}


def route(state: VideoQAState) -> Literal["sample", "accept", "abstain"]:
    """Return the node that carries out the decision."""
    action = state["decision"]["action"]
    return "sample" if action == "more_frames" or action == "retry" else action


def _last_look(plan: Mapping[str, Any] | None) -> tuple[float, ...]:
    """Return the times of the ladder's last rung where a plan is a part of it, and not that rung itself."""
    options = {} if plan is None else plan["options"]
    last = options.get("max_frames")
    if plan is None or not last or options["num_frames"] >= last:
        return ()
    whole = {**options, "num_frames": last}
    return make_plan(plan["name"], plan["start_seconds"], plan["stop_seconds"], **whole).timestamps_seconds


def _is_kept() -> bool:
    """Tell whether somebody can answer later: a checkpointer keeps the run, the graph's own, a parent's or a server's.

    LangGraph does not say so by another way: `interrupt` raises with or without one, a graph cannot see which saver its
    parent or a server lends it, and `Runtime.execution_info.thread_id` is what the caller gave. The constant is what
    LangGraph exports for its own server; `tests/graphs/test_kept.py` fails where it ceases to tell.
    """
    return get_config()["configurable"].get(CONFIG_KEY_CHECKPOINTER) is not None


def _read_attempt(state: VideoQAState, message: AIMessage, seconds: float) -> Attempt:
    confidence = confidence_of(message)
    answer = read_answer(message, state["task"]["options"])
    usage = message.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    reasoning = [
        block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning" and "reasoning" in block
    ]
    return Attempt(
        attempt=len(state["attempts"]),
        rung=state["rung"],
        num_frames=len(state["timestamps_seconds"]),
        timestamps_seconds=list(confidence.evidence.get("timestamps_seconds") or state["timestamps_seconds"]),
        plan=state["plan"],
        sampling=state["sampling"],
        variation=dict(state["variation"]),
        answer=answer["text"],
        choice=answer["choice"],
        text=message.text,
        reasoning="".join(reasoning),
        confidence=confidence.to_dict(),
        tokens={"input": usage["input_tokens"], "output": usage["output_tokens"]},
        vision=message.response_metadata.get("vision"),
        model=message.response_metadata.get("model_name"),
        seconds=seconds,
    )


def _ending(state: VideoQAState, best: Attempt) -> dict[str, Any]:
    decision = state["decision"]
    rungs = [_rung(attempt) for attempt in state["attempts"]]
    judged = Confidence.from_dict(best["confidence"])
    confidence = judged.decided(decision["action"], decision["reason"], rungs, settled=decision["settled"])
    return {"confidence": confidence.to_dict(), "frames": best["timestamps_seconds"]}


def _rung(attempt: Attempt) -> dict[str, Any]:
    signals: Mapping[str, Any] = attempt["confidence"].get("signals", {})
    names = ("entropy_drop", "final_entropy", "answer_probability")
    kept = {name: attempt[name] for name in ("attempt", "rung", "answer", "choice")}
    kept["num_frames"] = len(attempt["timestamps_seconds"])
    return {**kept, **{name: signals.get(name) for name in names}}


def _report(event: str, state: VideoQAState, **data: Any) -> None:
    """Tell listeners of the `custom` stream mode where the ladder stands."""
    get_stream_writer()({"event": event, "rung": state["rung"], "attempt": len(state["attempts"]), **data})
