"""`VReasonDecisionModel`: questions with fixed alternatives, answered with a probability for each of them.

LangChain's decision models are new in langchain-core 1.8. Each alternative is written out by the same engine after its
own thinking, and what the raw logits say of its tokens is compared. This module knows no graph and no tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import exp, log
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import Field, model_validator

from vreason_agent.chat.output_format import answer_grammar
from vreason_agent.chat_model import ChatVReason
from vreason_agent.confidence import token_span
from vreason_agent.errors import ConfigError, DependencyError, GenerationError
from vreason_agent.model import Generation, plain_prompt
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

__all__ = ["VReasonDecisionModel"]
_MEDIA = ("image", "image_url", "video", "video_url")


class VReasonDecisionModel(BaseDecisionModel):
    """Answers `Choice`, `Noul` and `Score` questions about videos, images and text.

    The model thinks once per alternative, greedily, so that the thinking is the same; then the alternative is written
    for it, and the log-probabilities of its tokens, of the raw logits, are added up. `probabilities` are these scores
    normalized over the alternatives. `confidence` is one minus their entropy divided by that of an even distribution:
    0 where all are alike, 1 where one has everything. Neither is calibrated: what share of such answers is right has
    to be measured on questions like yours.

    Attributes:
        model: Folder or hub id; that of `chat_model` if left out.
        chat_model: Reads the state and holds the other settings: frames, schedule, device, `max_tokens` for thinking
            and answer, `batch_size` for how many alternatives are written side by side.

    Raises:
        ConfigError: If a question is a `Box`.
        GenerationError: If the thinking did not end within `max_tokens`.
    """

    model: str = ""
    chat_model: ChatVReason = Field(default_factory=ChatVReason)

    @model_validator(mode="before")
    @classmethod
    def _name_the_model(cls, values: Any) -> Any:
        chat_model = values.get("chat_model")
        named = values.get("model") or (chat_model and chat_model.model) or default_model()
        return {**values, "model": named}

    @property
    def _provider(self) -> str:
        return "vreason"

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        asked = self.chat_model.for_call(None, {"model": self.model, "temperature": 0.0})
        answers, generations = {}, []
        for name, question in questions.items():
            written = _generations(asked, _messages(state, question), _labels(question))
            answers[name] = _answer(question, _probabilities(written, _labels(question)))
            generations += written
        return ClassifierResponse(model=asked.engine.name, answers=answers, usage=_usage(generations))


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


def _messages(state: State, question: Question) -> list[BaseMessage]:
    content = _content(question.instructions)
    for label, description in _descriptions(question):
        if description is not None:
            content += [_text(f"{label}:"), *_content(description)]
    content.append(_text(plain_prompt("", _labels(question)).strip()))
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


def _generations(asked: ChatVReason, messages: Sequence[BaseMessage], labels: Sequence[str]) -> list[Generation]:
    """Write each label after the thinking, as many as `batch_size` side by side."""
    job = asked.prepared(messages)
    words, in_reasoning = job.engine.grammar_words, job.starts_in_reasoning
    grammars = [answer_grammar(words, label, starts_in_reasoning=in_reasoning) for label in labels]
    requests = [replace(job.request, grammar=grammar) for grammar in grammars]
    size = asked.batch_size
    parts = [requests[start : start + size] for start in range(0, len(requests), size)]
    with ThreadPoolExecutor(1) as worker:  # as `ChatVReason` does, see `chat.streaming.run`
        return [generation for part in parts for generation in worker.submit(job.engine.generate, part).result()]


def _probabilities(generations: Sequence[Generation], labels: Sequence[str]) -> dict[str, float]:
    scores = [_score(generation, label) for generation, label in zip(generations, labels, strict=True)]
    weights = [exp(score - max(scores)) for score in scores]
    return {label: weight / sum(weights) for label, weight in zip(labels, weights, strict=True)}


def _score(generation: Generation, label: str) -> float:
    """Log-probability (nats) of writing the label and closing the answer."""
    text = generation.text
    start = text.rfind(f"<answer>{label}</answer>")
    span = token_span(generation.token_texts, (start + len("<answer>"), len(text))) if start >= 0 else None
    if span is None:
        msg = (
            f"the answer was not reached after {len(generation.token_ids)} tokens; raise chat_model's max_tokens, "
            "or ask a model that ends its thinking"
        )
        raise GenerationError(msg)
    return sum(generation.trace.logprobs[slice(*span)])


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
    if len(chances) == 1:
        return 1.0
    entropy = -sum(chance * log(chance) for chance in chances if chance > 0)
    return min(1.0, max(0.0, 1 - entropy / log(len(chances))))


def _usage(generations: Sequence[Generation]) -> UsageMetadata:
    num_read = sum(generation.prompt_tokens for generation in generations)
    num_written = sum(len(generation.token_ids) for generation in generations)
    return UsageMetadata(input_tokens=num_read, output_tokens=num_written, total_tokens=num_read + num_written)
