"""`VReasonDecisionModel`: questions with fixed alternatives, answered with a probability for each of them.

LangChain's decision models are new in langchain-core 1.8. The model thinks and answers once, as a chat model does; one
more forward pass reads how likely each alternative is where the answer stands. This module knows no graph and no tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import Field, model_validator

from vreason_agent.answers import same_answer
from vreason_agent.chat.streaming import run
from vreason_agent.chat_model import ChatVReason
from vreason_agent.confidence import Confidence, confidence_of
from vreason_agent.errors import ConfigError, DependencyError, GenerationError
from vreason_agent.model.prompts import QuestionPrompt
from vreason_agent.model.source import default_model

try:
    from langchain_core.decisions import (
        Answer,
        BaseDecisionModel,
        Choice,
        ChoiceAnswer,
        ClassifierResponse,
        Noul,
        NoulAnswer,
        Question,
        Score,
        ScoreAnswer,
        State,
    )
except ImportError as exc:
    msg = "decision models are new in langchain-core 1.8; run: pip install 'langchain-core>=1.8'"
    raise DependencyError(msg) from exc

__all__ = ["Choice", "Decision", "Noul", "Question", "VReasonDecisionModel"]
_MEDIA = ("image", "image_url", "video", "video_url")


@dataclass(frozen=True)
class Decision:
    """One question's answer and how far it can be trusted.

    Attributes:
        answer: In LangChain's form.
        probabilities: Of each alternative, in [0, 1], among the alternatives.
        confidence: The chat model's record of the answer, with its calibrated probability where a calibrator fits.
        abstained_because: Why the answer should not be used; `None` where it may.
        usage: Tokens read and written.
    """

    answer: Answer
    probabilities: dict[str, float]
    confidence: Confidence
    abstained_because: str | None
    usage: UsageMetadata


class VReasonDecisionModel(BaseDecisionModel):
    """Answers `Choice`, `Noul` and `Score` questions about videos, images and text.

    The model thinks and answers once, greedily. Then one forward pass reads the log-probability, of the raw logits, of
    writing each alternative where the answer stands; `probabilities` are these, normalized over the alternatives, and
    the likeliest one is chosen. `confidence` is LangChain's (p_max - 1/n) / (1 - 1/n): 0 where all are alike, 1 where
    one has everything. It is not calibrated; the share of such answers that is right is that of `decide`, where a
    calibrator fits the setup.

    Attributes:
        model: Folder or hub id; that of `chat_model` if left out.
        chat_model: Reads the state and holds the other settings: frames, schedule, device, calibrator, `max_tokens` for
            thinking and answer.
        min_probability: Least calibrated probability of being right that an answer is given with, in [0, 1]: a question
            below it, or without one, is left out of `answers`. `None` answers all.

    Raises:
        ConfigError: If a question is a `Box`.
        GenerationError: If no answer was reached within `max_tokens`.
    """

    model: str = ""
    chat_model: ChatVReason = Field(default_factory=ChatVReason)
    min_probability: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _name_the_model(cls, values: Any) -> Any:
        chat_model = values.get("chat_model")
        named = values.get("model") or (chat_model and chat_model.model) or default_model()
        return {**values, "model": named}

    @property
    def _provider(self) -> str:
        return "vreason"

    def decide(self, state: State, question: Question) -> Decision:
        """Answer one question.

        Args:
            state: What it is about: text, messages, or JSON data with image and video blocks.
            question: A `Choice`, `Noul` or `Score`.
        """
        asked = self.chat_model.for_call(None, {"model": self.model, "temperature": 0.0})
        labels = _labels(question)
        call = asked.prepared(_messages(state, question, asked.engine.question_prompt))
        call.request = replace(call.request, options=tuple(labels))
        call.conversation = replace(call.conversation, options=tuple(labels))
        message = call.result(run(call.run, call.stopper)).generations[0].message
        confidence = confidence_of(message)
        probabilities = (confidence.options or {}).get("after")
        usage: UsageMetadata = message.usage_metadata  # type: ignore[attr-defined]
        if confidence.options is None:
            msg = "this model keeps a window or a state of what it has read, so that options cannot be read beside it"
            raise GenerationError(f"{msg}; decide with another family, such as Qwen/Qwen2.5-VL-3B-Instruct")
        if probabilities is None:
            msg = (
                f"the answer was not reached after {usage['output_tokens']} tokens; raise chat_model's max_tokens, "
                "or ask a model that ends its thinking"
            )
            raise GenerationError(msg)
        answer = _answer(question, probabilities)
        return Decision(answer, probabilities, confidence, self._doubt(confidence, probabilities), usage)

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        decisions = {name: self.decide(state, question) for name, question in questions.items()}
        answers = {name: one.answer for name, one in decisions.items() if one.abstained_because is None}
        used = [one.usage for one in decisions.values()]
        num_read, num_written = (sum(one[key] for one in used) for key in ("input_tokens", "output_tokens"))
        usage = UsageMetadata(input_tokens=num_read, output_tokens=num_written, total_tokens=num_read + num_written)
        return ClassifierResponse(model=self.model, answers=answers, usage=usage)

    def _doubt(self, confidence: Confidence, probabilities: dict[str, float]) -> str | None:
        """Return why an answer is not to be used, `None` where it may."""
        least, known = self.min_probability, confidence.probability
        if least is None:
            return None
        likeliest = max(probabilities, key=lambda label: probabilities[label])
        if not same_answer(confidence.answer, {"text": likeliest}):
            return "what the model wrote is not the likeliest alternative"
        if known is None:
            return "no calibrator gives this answer a probability of being right"
        return f"{known:.0%} of such answers are right, fewer than {least:.0%}" if known < least else None


def _labels(question: Question) -> list[str]:
    if isinstance(question, Noul):
        return ["yes", "no"]
    if isinstance(question, Choice):
        return list(question.criteria)
    if isinstance(question, Score):
        return [str(level) for level in range(len(question.criteria))]
    msg = "a Box question cannot be answered: the model locates nothing; ask a Choice, a Noul or a Score"
    raise ConfigError(msg)


def _descriptions(question: Question) -> Iterator[tuple[str, Any]]:
    if isinstance(question, Choice):
        yield from question.criteria.items()
    elif isinstance(question, Score):
        yield from ((str(level), text) for level, text in enumerate(question.criteria))
    elif isinstance(question, Noul) and question.criteria:
        yield from (("yes", question.criteria.true), ("no", question.criteria.false))


def _messages(state: State, question: Question, wording: QuestionPrompt) -> list[BaseMessage]:
    content = _content(question.instructions)
    for label, description in _descriptions(question):
        if description is not None:
            content += [_text(f"{label}:"), *_content(description)]
    content.append(_text(wording("", _labels(question)).strip()))
    messages = [state] if isinstance(state, BaseMessage) else state
    if isinstance(messages, Sequence) and messages and all(isinstance(each, BaseMessage) for each in messages):
        return [*messages, HumanMessage(content)]  # type: ignore[list-item]
    return [HumanMessage([*_content(state), *content])]


def _content(value: Any) -> list[Any]:
    """Return a JSON value as content blocks: its media, in the order they stand in, then the rest as text."""
    media: list[Any] = []
    rest = _without_media(value, media)
    if len(media) == 1 and rest == "<1>":
        return media
    return [*media, _text(rest if isinstance(rest, str) else json.dumps(rest, ensure_ascii=False))]


def _without_media(value: Any, media: list[Any]) -> Any:
    if isinstance(value, BaseMessage):
        return {"role": value.type, "content": _without_media(value.content, media)}
    if isinstance(value, Mapping):
        if value.get("type") in _MEDIA:
            media.append(dict(value))
            return f"<{len(media)}>"
        return {name: _without_media(item, media) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_media(item, media) for item in value]
    return value


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _answer(question: Question, probabilities: dict[str, float]) -> Answer:
    if isinstance(question, Noul):
        return NoulAnswer(type="noul", noul=probabilities["yes"])
    confidence = _certainty(list(probabilities.values()))
    if isinstance(question, Score):
        levels = dict(enumerate(probabilities.values()))
        score = sum(level * chance for level, chance in levels.items())
        legend = dict(enumerate(question.criteria))
        return ScoreAnswer(type="score", score=score, legend=legend, probabilities=levels, confidence=confidence)
    choice = max(probabilities, key=lambda label: probabilities[label])
    return ChoiceAnswer(type="choice", choice=choice, probabilities=probabilities, confidence=confidence)


def _certainty(chances: Sequence[float]) -> float:
    """LangChain's confidence of a choice among `n`: (p_max - 1/n) / (1 - 1/n)."""
    even = 1 / len(chances)
    return 1.0 if len(chances) == 1 else min(1.0, max(0.0, (max(chances) - even) / (1 - even)))
