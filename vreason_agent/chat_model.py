"""`ChatVReason`: a local video-language model under V-Reason decoding as a LangChain chat model.

Weights live in the process-wide registry of `vreason_agent.model`, not in the instance: instances are cheap, pickle and
copy, and many share one model. This module knows no graph and no tool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import BeforeValidator, ConfigDict, Field, SecretStr, SkipValidation, ValidationError, model_validator

from vreason_agent import __version__
from vreason_agent.chat.job import Job
from vreason_agent.chat.langchain_errors import as_langchain_errors
from vreason_agent.chat.looking import FrameDefaults
from vreason_agent.chat.reply import PROVIDER
from vreason_agent.chat.streaming import Stopper, aiterate, arun, iterate
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import ConfigError
from vreason_agent.messages import Conversation, read_messages
from vreason_agent.model import (
    GenerationRequest,
    SamplingParams,
    VideoLanguageModel,
    load_model,
)

_FROM_LANGCHAIN = {"stream", "ls_structured_output_format"}
_NOT_IN_OUTPUT = {"api_key", "timeout", "max_retries", "streaming", "stream_usage"}


def _as_config(value: Any) -> VReasonConfig:
    if isinstance(value, VReasonConfig):
        return value
    if isinstance(value, str):
        return VReasonConfig.from_dict({"schedule": value})
    if isinstance(value, Mapping):
        return VReasonConfig.from_dict(value)
    msg = f"vreason={value!r}: give a VReasonConfig, a schedule such as 'switching' or 'off', or a dict of fields"
    raise ConfigError(msg)


class ChatVReason(BaseChatModel):
    """Answers questions about videos, images and text with a local model; nothing leaves the machine.

    Every field can also be given per call (`invoke(..., seed=1)`, `bind(num_frames=8)`). Messages may hold standard
    text, image and video blocks (`vreason_agent.messages.video_question` makes one); the answer is `content`, the
    thinking a `reasoning` block, and `response_metadata` has `confidence`, `vreason` (the trace in short) and `frames`.

    Attributes:
        model: Folder, hub id, or `None` for `VREASON_MODEL`, then the bundled model (it knows its toy world only).
        revision: Revision of a hub model.
        device: `"cpu"`, `"cuda"`, `"mps"`; `None` chooses.
        dtype: Such as `"bfloat16"`; `None` chooses.
        temperature: 0 is greedy; higher is more random.
        top_p: Keep the likeliest tokens up to this probability.
        top_k: Keep this many tokens.
        min_p: Keep tokens with at least this share of the likeliest one's probability.
        repetition_penalty: Above 1 makes repeated tokens less likely.
        max_tokens: Most tokens to generate.
        seed: Of sampling; the same seed on the same machine gives the same tokens.
        stop: Texts that end the answer; never part of it.
        num_frames: Frames to look at where a message does not say; even. More see more and cost more.
        max_frames: Frames of a ladder's last rung: fixes the distance of the two frames of a pair.
        start_seconds: Beginning of the part of a video to look at, where a message does not say.
        stop_seconds: End of it, exclusive.
        vreason: How decoding is steered: a `VReasonConfig`, a schedule's name, or a dict of fields.
        logprobs: Whether to report log-probabilities in OpenAI's shape.
        top_logprobs: Alternatives per token to report; turns `logprobs` on.
        timeout: Seconds after which an unfinished answer is an error.
        streaming: Whether `invoke` streams internally (LangChain's switch).
        stream_usage: Accepted for compatibility; usage is always reported.
        max_retries: Accepted for compatibility; there is no network to retry.
        api_key: Accepted for compatibility; there is no key.

    Raises:
        ConfigError: If a field is unknown or out of its range.
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    dtype: str | None = None
    temperature: float = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    min_p: float | None = Field(default=None, gt=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=1024, ge=1)
    seed: int | None = None
    stop: list[str] | str | None = None
    num_frames: int = Field(default=4, ge=2)
    max_frames: int = Field(default=32, ge=2)
    start_seconds: float | None = Field(default=None, ge=0)
    stop_seconds: float | None = Field(default=None, gt=0)
    vreason: Annotated[SkipValidation[VReasonConfig | str | dict[str, Any]], BeforeValidator(_as_config)] = (
        VReasonConfig()
    )
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0)
    timeout: float | None = Field(default=None, gt=0)
    streaming: bool = False
    stream_usage: bool = True
    max_retries: int | None = None
    api_key: SecretStr | None = Field(default=None, exclude=True)

    if not TYPE_CHECKING:  # type checkers see the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as exc:
                raise ConfigError(_first_error(exc)) from exc

    @model_validator(mode="after")
    def _set_vreason_version(self) -> ChatVReason:
        self._add_version("vreason-agent", __version__)
        return self

    @property
    def engine(self) -> VideoLanguageModel:
        """The loaded model; the first access loads it."""
        with as_langchain_errors():
            return load_model(self.model, revision=self.revision, device=self.device, dtype=self.dtype)

    @property
    def vreason_config(self) -> VReasonConfig:
        """How decoding is steered, whichever way `vreason` was written."""
        return _as_config(self.vreason)

    @property
    def _llm_type(self) -> str:
        return "vreason-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in _own_fields() if name not in _NOT_IN_OUTPUT}
        return {**fields, "vreason": self.vreason_config.to_dict()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        call = self._for_call(stop, kwargs)
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_name=call.model or "tiny",
            ls_model_type="chat",
            ls_temperature=call.temperature,
            ls_max_tokens=call.max_tokens,
        )
        if stops := call._stops():
            params["ls_stop"] = list(stops)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, by the model's own tokenizer."""
        return list(self.engine.tokenizer.encode(text, add_special_tokens=False))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return how many tokens the prompt of these messages has, frames included (they are read for it)."""
        with as_langchain_errors():
            return self.engine.count_tokens(self._conversation(messages).turns)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with as_langchain_errors():
            job = self._for_call(stop, kwargs)._job(messages)
            return job.result(job.run(job.stopper))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with as_langchain_errors():
            job = await asyncio.to_thread(self._for_call(stop, kwargs)._job, messages)
            return job.result(await arun(job.run, job.stopper))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with as_langchain_errors():
            job = self._for_call(stop, kwargs)._job(messages)
            with closing(iterate(job.run, job.stopper)) as items:
                for chunk in chain.from_iterable(map(job.chunks, items)):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with as_langchain_errors():
            job = await asyncio.to_thread(self._for_call(stop, kwargs)._job, messages)
            async with aclosing(aiterate(job.run, job.stopper)) as items:
                async for item in items:
                    for chunk in job.chunks(item):
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def _for_call(self, stop: list[str] | None, kwargs: Mapping[str, Any]) -> ChatVReason:
        """Return this model with the keyword arguments of one call, validated like the constructor's."""
        changes = {name: value for name, value in kwargs.items() if name not in _FROM_LANGCHAIN}
        if stop is not None:
            changes["stop"] = stop
        if not changes:
            return self
        fields = {name: getattr(self, name) for name in _own_fields()}
        with as_langchain_errors():
            return type(self)(**{**fields, **changes})

    def _job(self, messages: Sequence[BaseMessage]) -> Job:
        engine, conversation = self.engine, self._conversation(messages)
        request = GenerationRequest(conversation.turns, self._sampling(), self.vreason_config)
        has_logprobs = bool(self.logprobs or self.top_logprobs)
        return Job(engine, request, conversation, Stopper(self.timeout), has_logprobs=has_logprobs)

    def _conversation(self, messages: Sequence[BaseMessage]) -> Conversation:
        defaults = FrameDefaults(self.num_frames, self.max_frames, self.start_seconds, self.stop_seconds)
        return read_messages(messages, defaults=defaults, wording=self.engine.question_prompt)

    def _sampling(self) -> SamplingParams:
        return SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            max_new_tokens=self.max_tokens,
            seed=self.seed,
            stop=self._stops(),
            num_top_logprobs=self.top_logprobs or 0,
        )

    def _stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


def _own_fields() -> list[str]:
    return [name for name in ChatVReason.model_fields if name not in BaseChatModel.model_fields]


def _first_error(exc: ValidationError) -> str:
    error = exc.errors()[0]
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"ChatVReason has no argument {name!r}; use one of: {', '.join(_own_fields())}"
    if isinstance(cause := error.get("ctx", {}).get("error"), ConfigError):
        return str(cause)
    return f"ChatVReason {name}={error['input']!r}: {error['msg']}"
