"""A loaded model as the callable that `run` takes: questions in, answers with their raw signals out.

Frames, prompt, parser and signals are those of the package, so that an answer here is the answer that `ask` gives for
the same frames. This module does not know whether an answer is right.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

from langchain_core.messages import HumanMessage

from vreason_agent.answers import option_label
from vreason_agent.chat.frame_loader import FrameLoader
from vreason_agent.chat.response import Response
from vreason_agent.chat.splitter import split_output
from vreason_agent.decoding import DecodingTrace, Phase, VReasonConfig
from vreason_agent.errors import VideoDecodeError
from vreason_agent.evaluation.answer import Answer, hash_tokens
from vreason_agent.evaluation.dataset import Question, digest_of
from vreason_agent.evaluation.runner import AnswerBatch
from vreason_agent.messages import Conversation, read_messages, video_question
from vreason_agent.model import Generation, GenerationRequest, SamplingParams, VideoLanguageModel, load_model
from vreason_agent.video import pairs_plan, probe


@dataclass(frozen=True)
class Setting:
    """How every question of a run is asked.

    Attributes:
        num_frames: Frames per clip; 0 asks without video.
        max_frames: Last rung of the ladder whose layout the frames have; `None` spreads them evenly.
        vreason: Decoding.
        temperature: 0 is greedy.
        seed: With sampling, or a random schedule, every question draws from this seed and its own digest.
        max_new_tokens: Limit of an answer's length.
        subtitles: Those that the prompt shows beside the frames: `none`, `auto`, or a path.
        is_direct: Answer without reasoning: the option that is most probable right after the prompt. Questions without
            options then have no answer.
    """

    num_frames: int = 8
    max_frames: int | None = None
    vreason: VReasonConfig = field(default_factory=lambda: VReasonConfig(schedule="off"))
    temperature: float = 0.0
    seed: int | None = None
    max_new_tokens: int = 256
    is_direct: bool = False
    subtitles: str = "none"

    @property
    def name(self) -> str:
        """A short name for progress and tables; seeds share it."""
        lite = " lite" if self.vreason.lite else ""
        sampled = f", T {self.temperature:g}" if self.temperature else ""
        frames = f"{self.num_frames} frames" if self.num_frames else "no video"
        said = "" if self.subtitles == "none" else ", subtitles"
        return f"{'direct' if self.is_direct else self.vreason.schedule}{lite}, {frames}{said}{sampled}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything that the answers depend on, as JSON data."""
        rest = {key: value for key, value in vars(self).items() if key != "vreason"}
        if self.subtitles == "none":
            del rest["subtitles"]
        drawn = {"seed": "of the question"} if self.vreason.schedule == "random" else {}
        return {**rest, "vreason": {**self.vreason.to_dict(), **drawn}}

    def seed_for(self, question: Question) -> int | None:
        """Return the seed of one question's sampling, so that no two questions draw the same numbers."""
        return None if self.seed is None else (int(question.digest[:8], 16) + self.seed) % 2**32

    def vreason_for(self, question: Question) -> VReasonConfig:
        """Return the decoding of one question: a random schedule draws for each anew, not one sequence for all."""
        if self.vreason.schedule != "random":
            return self.vreason
        return replace(self.vreason, seed=(int(question.digest[:8], 16) + (self.seed or 0)) % 2**32)


def times_to_see(video: str, setting: Setting) -> tuple[float, ...]:
    """Return the times to look at, in seconds: those of a ladder's rung.

    Raises:
        VideoError: The clip cannot be read, or does not say how long it is.
    """
    duration_seconds = _duration(video)
    plan = pairs_plan(0.0, duration_seconds, num_frames=setting.num_frames, max_frames=setting.max_frames)
    return plan.timestamps_seconds


@lru_cache(maxsize=4096)
def _duration(video: str) -> float:
    duration_seconds = probe(video).duration_seconds
    if duration_seconds is None:
        msg = f"{video!r} does not say how long it is; write it anew with a constant frame rate"
        raise VideoDecodeError(msg)
    return duration_seconds


@dataclass(frozen=True)
class Engine:
    """A loaded model and the fingerprint of its weights."""

    model: VideoLanguageModel
    fingerprint: str

    @classmethod
    def load(cls, name: str, **options: Any) -> Engine:
        """Load a model (see `load_model` for the options) and identify it."""
        return cls.of(load_model(name, **options))

    @classmethod
    def of(cls, model: VideoLanguageModel) -> Engine:
        """Identify a model by a few of its weights, so that a new checkpoint is never taken for the old."""
        digest = sha256(model.name.encode())
        for weight_name, weight in model.hf_model.named_parameters():
            digest.update(weight_name.encode())
            digest.update(weight.detach().flatten()[:64].float().cpu().numpy().tobytes())
        return cls(model, digest.hexdigest()[:12])

    @property
    def identity(self) -> dict[str, str]:
        """What answers depend on beside question and setting: weights, chat template, wording of the prompt."""
        template = str(getattr(self.model.tokenizer, "chat_template", ""))
        wording = self.model.question_prompt("question", ("first", "second"))
        return {"weights": self.fingerprint, "prompt": digest_of([template, wording])}

    def answering(self, setting: Setting) -> AnswerBatch:
        """Return the callable that `evaluation.run` takes."""
        return partial(self._answer, setting)

    def _answer(self, setting: Setting, questions: Sequence[Question]) -> list[Answer]:
        started = time.monotonic()
        conversations = [self._read(question, setting) for question in questions]
        requests = [
            GenerationRequest(
                one.turns, _sampling(setting, question), setting.vreason_for(question), options=one.options
            )
            for question, one in zip(questions, conversations, strict=True)
        ]
        generations = self.model.generate(requests)
        seconds = (time.monotonic() - started) / len(questions)
        rows = zip(conversations, requests, generations, strict=True)
        answers = [self._answer_of(*row, seconds=seconds) for row in rows]
        return [direct_answer(one) for one in answers] if setting.is_direct else answers

    def _read(self, question: Question, setting: Setting) -> Conversation:
        """Return what `ChatVReason` makes of the same question, without its video where no frame is to be seen."""
        times = times_to_see(question.video, setting) if setting.num_frames else None
        message = video_question(question.video, question.question, options=question.options, timestamps_seconds=times)
        if not setting.num_frames:
            message = HumanMessage(content=[block for block in message.content if _type_of(block) == "text"])
        loader = FrameLoader(subtitles=setting.subtitles)
        return read_messages([message], wording=self.model.question_prompt, loader=loader)

    def _answer_of(
        self, conversation: Conversation, request: GenerationRequest, generation: Generation, *, seconds: float
    ) -> Answer:
        reply = Response(self.model, request, conversation, generation, split_output(generation.text))
        evidence = conversation.evidence
        confidence, trace, span = reply.confidence(), generation.trace, reply.answer_span
        return Answer(
            text=generation.text,
            answer=confidence.answer["text"],
            choice=confidence.answer["choice"],
            signals=confidence.signals,
            num_frames=sum(one.num_frames for one in evidence),
            num_tokens=len(generation.token_ids),
            seconds=seconds,
            token_hash=hash_tokens(generation.token_ids),
            details={
                "finish_reason": generation.finish_reason,
                "prompt_tokens": generation.prompt_tokens,
                "timestamps_seconds": [second for one in evidence for second in one.timestamps_seconds],
                "entropy": [round(float(value), 5) for value in trace.entropy],
                "answer_stop": span[1] if span else None,
                "peak_position": peak_position(trace, span[1] if span else None),
                "num_updates": trace.num_updates,
                "share_differs_from_minimize": trace.share_differs_from_minimize,
                "options": confidence.options,
                "frame_statistics": reply.frame_statistics,
                "setup": reply.setup,
                "exploitation_share": trace.phase_shares.get(Phase.EXPLOITATION.value),
            },
        )


def direct_answer(answer: Answer) -> Answer:
    """Return what the model would have answered before its first token: the most probable option, if there were some.

    Its signals say nothing about that answer but its probability among the options, `option_probability_before`.
    """
    options = (answer.details.get("options") or {}).get("before")
    if not options:
        return replace(answer, text="", answer=None, choice=None, signals={}, num_tokens=0)
    best = max(options, key=options.__getitem__)
    choice = option_label(list(options).index(best))
    signals = {"option_probability_before": options[best]}
    return replace(answer, text=best, answer=best, choice=choice, signals=signals, num_tokens=0)


def peak_position(trace: DecodingTrace, stop: int | None) -> float | None:
    """Return where the entropy's moving average peaks, from 0 (the first token) to 1 (the end of the answer)."""
    peak, length = trace.peak(stop), len(trace.entropy) if stop is None else stop
    return None if peak is None else peak[0] / max(length - 1, 1)


def _sampling(setting: Setting, question: Question) -> SamplingParams:
    seed = setting.seed_for(question) if setting.temperature else None
    most = 1 if setting.is_direct else setting.max_new_tokens  # options are scored where something was generated
    return SamplingParams(temperature=setting.temperature, seed=seed, max_new_tokens=most)


def _type_of(block: Any) -> str | None:
    return block.get("type") if isinstance(block, dict) else None
