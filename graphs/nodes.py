"""The steps of the video question graph: open, sample, answer, judge, and the two endings.

A node takes state and returns what changes; it holds no state of its own. The chat model is any LangChain chat model
that reads pictures and whose messages carry `response_metadata["confidence"]` or `logprobs`; without either the answers
of several attempts must agree. No torch here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import run_in_executor
from langgraph.config import get_config, get_stream_writer
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.runtime import Runtime, get_runtime
from langgraph.types import Overwrite, interrupt
from pydantic import ValidationError

from ..errors import ConfigError, quote
from ..telemetry import look_span
from ..tools.arguments import ToolLimits
from ..video import ReadOptions, local_path, probe
from .asking import Asked, FramesAs, ask_with_images, ask_with_video, frames_for, read_attempt, read_ending
from .budget import NOTHING, Budget, spent_on
from .context import VideoQAContext, read_span, read_task, read_video, rules_of
from .frame_policy import FramePolicy, add_cuts, clip_rungs, final_times, make_clip, plan_retry
from .policy import AcceptPolicy, Ladder
from .state import BestGuess, Decision, HumanReply, Sampling, VideoQAState


@dataclass(frozen=True)
class VideoQANodes:
    """The nodes, with what they share: the chat model and the rules; `frames_as=None` goes by the chat model."""

    chat_model: BaseChatModel
    read_options: ReadOptions
    image_limits: ToolLimits
    ladder: Ladder = field(default_factory=Ladder)
    policy: AcceptPolicy = field(default_factory=AcceptPolicy)
    budget: Budget = field(default_factory=Budget)
    frame_policy: FramePolicy = field(default_factory=FramePolicy)
    frames_as: FramesAs | None = None

    def open(self, state: VideoQAState, runtime: Runtime[VideoQAContext]) -> dict[str, Any]:
        """Check the question, probe the video, and forget what an earlier question on this thread left."""
        task, video, (start, stop) = read_task(state), read_video(state), read_span(state)
        frames = self.under(runtime.context).frame_policy
        warnings: list[str] = []
        clip = make_clip(video, probe(local_path(video), self.read_options), start_seconds=start, stop_seconds=stop)
        if frames.rule == "scenes":
            clip, warnings = add_cuts(clip, self.read_options, max_frames=frames.max_scanned_frames)
        empty = {"attempts": Overwrite([]), "decisions": Overwrite([]), "rung": 0, "variation": {}, "spent": NOTHING}
        return {**empty, "task": task, "clip": clip, "warnings": warnings}

    def under(self, context: VideoQAContext | None) -> VideoQANodes:
        """Return the nodes with the rules that one run brings along.

        Raises:
            ConfigError: If a rule is not known, of another type or out of its range.
        """
        return replace(self, **rules_of(context, is_nested=is_nested()))

    def sample(self, state: VideoQAState, runtime: Runtime[VideoQAContext]) -> dict[str, Any]:
        """Choose the times that this attempt looks at."""
        plan, sampling = self.under(runtime.context)._plan_frames(state)
        times = [0.0] if plan is None else plan["timestamps_seconds"]
        chosen = {"timestamps_seconds": times, "plan": plan, "sampling": sampling}
        _report("sample", state, num_frames=len(times), **chosen)
        return chosen

    def answer(self, state: VideoQAState, config: RunnableConfig) -> dict[str, Any]:
        """Ask the chat model."""
        began = time.monotonic()
        asked = self._under_run()._make_question(state)
        with look_span(len(state.get("attempts", ())), len(state["timestamps_seconds"])):
            message = self.chat_model.invoke([asked.message], config, **_arguments(state))
        return self._record_answer(state, asked, message, time.monotonic() - began)

    async def aanswer(self, state: VideoQAState, config: RunnableConfig) -> dict[str, Any]:
        """Ask the chat model without blocking the event loop."""
        began = time.monotonic()
        asked = await run_in_executor(None, self._under_run()._make_question, state)
        with look_span(len(state.get("attempts", ())), len(state["timestamps_seconds"])):
            message = await self.chat_model.ainvoke([asked.message], config, **_arguments(state))
        return self._record_answer(state, asked, message, time.monotonic() - began)

    def judge(self, state: VideoQAState, runtime: Runtime[VideoQAContext]) -> dict[str, Any]:
        """Decide what follows and prepare it."""
        ruled = self.under(runtime.context)
        rungs = clip_rungs(state["clip"], ruled.ladder)
        decision = ruled.policy.judge(state["attempts"], rungs=rungs, budget=ruled.budget, spent=state["spent"])
        return ruled._record_decision(state, decision)

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
        reply = _interrupt(state)
        if reply["action"] == "stop":
            return ruled._record_decision(state, {**decision, "reason": f"{decision['reason']}; a human said stop"})
        reason = f"{decision['reason']}; a human said go on"
        return ruled._record_decision(state, {**decision, "action": decision["wanted"], "reason": reason})

    def accept(self, state: VideoQAState) -> dict[str, Any]:
        """Give the answer."""
        ending = _end(state)
        return {**ending, "answer": ending["best_guess"]["answer"], "choice": ending["best_guess"]["choice"]}

    def abstain(self, state: VideoQAState) -> dict[str, Any]:
        """Give no answer but the best guess."""
        return {**_end(state), "answer": None, "choice": None}

    def _record_decision(self, state: VideoQAState, decision: Decision) -> dict[str, Any]:
        """Report and record a decision, and prepare what it asks for."""
        _report("judge", state, action=decision["action"], reason=decision["reason"], numbers=decision["numbers"])
        changes: dict[str, Any] = {"decisions": [decision], "decision": decision}
        if decision["action"] == "more_frames":
            changes["rung"] = state["rung"] + 1
        if decision["action"] == "retry":
            changes["variation"] = self.policy.variation(state["attempts"])
        return changes

    def _plan_frames(self, state: VideoQAState) -> tuple[dict[str, Any] | None, Sampling]:
        clip, attempts = state["clip"], state["attempts"]
        if clip["kind"] == "image":
            return None, Sampling(rule="image", reason="an image has one frame", part_seconds=[0.0, 0.0])
        if attempts and attempts[-1]["rung"] == state["rung"]:
            return plan_retry(clip, attempts, state["variation"].get("frames"))
        num_frames = clip_rungs(clip, self.ladder)[state["rung"]]
        plan, sampling = self.frame_policy.plan(clip, num_frames, self.ladder, attempts)
        return plan.to_dict(), sampling

    def _under_run(self) -> VideoQANodes:
        """Return the nodes with the rules of the run under way, where a node is not handed its runtime."""
        return self.under(get_runtime(VideoQAContext).context)

    def _make_question(self, state: VideoQAState) -> Asked:
        """Return the message to send; as images, the frames are read here."""
        task, path, times = state["task"], state["clip"]["path"], state["timestamps_seconds"]
        question = "\n".join(text for text in (state["variation"].get("prompt"), task["question"]) if text)
        asked = (path, question, task["options"], times)
        if (self.frames_as or frames_for(self.chat_model)) == "video":
            return ask_with_video(*asked, expected=final_times(state["plan"]))
        return ask_with_images(*asked, read_options=self.read_options, limits=self.image_limits)

    def _record_answer(self, state: VideoQAState, asked: Asked, message: AIMessage, seconds: float) -> dict[str, Any]:
        attempt = read_attempt(state, asked, message, seconds)
        spent = spent_on([*state["attempts"], attempt])
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


def _end(state: VideoQAState) -> dict[str, Any]:
    best = state["attempts"][state["decision"]["quotes"]]
    guess = BestGuess(answer=best["answer"], choice=best["choice"], attempt=best["attempt"])
    return {"best_guess": guess, **read_ending(state, best)}


def _interrupt(state: VideoQAState) -> HumanReply:
    """Pause the run until somebody says how it goes on.

    Raises:
        ConfigError: If what was said is no such reply; the run is left paused.
    """
    decision = state["decision"]
    asked = {
        "question": "The budget does not allow another attempt. Go on all the same?",
        "reason": decision["reason"],
        "wanted": decision["wanted"],
        "spent": state["spent"],
        "best_guess": state["attempts"][decision["quotes"]]["answer"],
    }
    try:
        reply: HumanReply = interrupt(asked, response_schema=HumanReply)
    except ValidationError as exc:
        given = quote(exc.errors()[0]["input"])
        msg = f"resume={given} is no reply; give Command(resume={{'action': 'go_on'}}) or {{'action': 'stop'}}"
        raise ConfigError(msg) from exc
    return reply


def _arguments(state: VideoQAState) -> dict[str, Any]:
    """Return the chat model's keyword arguments: the variation but for its text and its frames."""
    return {name: value for name, value in state["variation"].items() if name not in ("prompt", "frames")}


def is_nested() -> bool:
    """Tell whether the node that is running belongs to a graph within another one, whose context it is lent."""
    return "|" in get_config()["configurable"].get("checkpoint_ns", "")  # `node:id`, after `|` a graph's within it


def _is_kept() -> bool:
    """Tell whether somebody can answer later: a checkpointer keeps the run, the graph's own, a parent's or a server's.

    LangGraph does not say so by another way: `interrupt` raises with or without one, a graph cannot see which saver its
    parent or a server lends it, and `Runtime.execution_info.thread_id` is what the caller gave. The constant is what
    LangGraph exports for its own server; `tests/graphs/test_human.py` fails where it ceases to tell.
    """
    return get_config()["configurable"].get(CONFIG_KEY_CHECKPOINTER) is not None


def _report(event: str, state: VideoQAState, **data: Any) -> None:
    """Tell listeners of the `custom` stream mode where the ladder stands."""
    get_stream_writer()({"event": event, "rung": state["rung"], "attempt": len(state["attempts"]), **data})
