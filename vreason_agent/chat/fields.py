"""The arguments of `ChatVReason`: fields by the names that LangChain's users know, checked, and overridden per call.

This module knows no prompt, no thread and no output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from langchain_core.language_models import BaseChatModel, ModelProfile
from pydantic import BeforeValidator, ConfigDict, Field, SecretStr, SkipValidation, ValidationError, model_validator

from vreason_agent import __version__
from vreason_agent.chat.langchain_errors import as_langchain_errors
from vreason_agent.chat.output_format import OutputFormat, response_schema
from vreason_agent.chat.tool_calls import read_tools, tool_use
from vreason_agent.confidence.shipped import SHIPPED
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import ConfigError, quote
from vreason_agent.model import SamplingParams
from vreason_agent.model.memory_plan import parse_memory
from vreason_agent.model.model_files import optional_json
from vreason_agent.model.placement import named_dtype
from vreason_agent.model.source import default_model, local_folder
from vreason_agent.video import DEFAULT_OPTIONS, ReadOptions

_ABILITIES = ModelProfile(
    open_weights=True,
    text_inputs=True,
    image_inputs=True,
    image_url_inputs=False,  # no address is ever fetched
    pdf_inputs=False,
    audio_inputs=False,
    video_inputs=True,
    image_tool_message=True,
    pdf_tool_message=False,
    reasoning_output=True,
    text_outputs=True,
    image_outputs=False,
    audio_outputs=False,
    video_outputs=False,
    tool_calling=True,
    tool_choice=True,
    tool_call_streaming=True,
    structured_output=True,
    attachment=True,
    temperature=True,
)


def model_profile(model: str | None, revision: str | None) -> ModelProfile:
    """Return the profile of a model; its context is left out where its files are not on this machine yet."""
    name = model or default_model()
    profile = ModelProfile(name=name, **_ABILITIES)
    folder = local_folder(name, revision=revision)
    config = {} if folder is None else optional_json(folder / "config.json")
    text = config.get("text_config") or config
    if isinstance(context := text.get("max_position_embeddings"), int):
        profile["max_input_tokens"] = context
        profile["max_output_tokens"] = context
    return profile


# What LangChain adds to a call for itself, and what says nothing about the output.
_FROM_LANGCHAIN = {"stream", "ls_structured_output_format"}
_NOT_IN_OUTPUT = {"api_key", "max_memory", "timeout", "batch_size", "max_retries", "streaming", "stream_usage", "reuse"}


def _as_config(value: Any) -> VReasonConfig:
    if isinstance(value, VReasonConfig):
        return value
    if isinstance(value, str):
        return VReasonConfig.from_dict({"schedule": value})
    if isinstance(value, Mapping):
        return VReasonConfig.from_dict(value)
    msg = f"vreason={quote(value)}: give a VReasonConfig, a schedule such as 'switching' or 'off', or a dict of fields"
    raise ConfigError(msg)


def _as_dtype(value: Any) -> Any:
    if isinstance(value, str) and value != "auto":
        named_dtype(value)
    return value


def _as_bytes(value: str | int | None) -> int | None:
    return None if value is None else parse_memory(value)


def _as_tools(value: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    return None if value is None else read_tools(value)


class ChatFields(BaseChatModel):
    """The fields, and what they say about one call; see `ChatVReason` for their meaning."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    revision: str | None = None
    device: str | None = None
    dtype: Annotated[str | None, BeforeValidator(_as_dtype)] = None
    enable_thinking: bool | None = None
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    min_p: float | None = Field(default=None, gt=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=1024, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stop: list[str] | str | None = None
    num_frames: int = Field(default=4, ge=2, multiple_of=2)
    max_frames: int = Field(default=32, ge=2, multiple_of=2)
    start_seconds: float | None = Field(default=None, ge=0)
    stop_seconds: float | None = Field(default=None, gt=0)
    read_options: ReadOptions = DEFAULT_OPTIONS
    subtitles: str = "none"
    vreason: Annotated[SkipValidation[VReasonConfig | str | dict[str, Any]], BeforeValidator(_as_config)] = (
        VReasonConfig()
    )
    tools: Annotated[list[dict[str, Any]] | None, BeforeValidator(_as_tools)] = None
    tool_choice: Any = None
    parallel_tool_calls: bool = True
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0)
    calibrator: str | None = SHIPPED
    trace: Literal["short", "full"] = "short"
    reuse: bool = True
    max_memory: Annotated[int | str | None, BeforeValidator(_as_bytes)] = None
    timeout: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=8, ge=1)
    streaming: bool | None = None  # not False, which once copied by configurable_fields turns streaming off
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
    def _set_vreason_version(self) -> Self:
        self._add_version("vreason-agent", __version__)
        return self

    @model_validator(mode="after")
    def _check_part(self) -> Self:
        start, stop = self.start_seconds, self.stop_seconds
        if start is not None and stop is not None and stop <= start:
            msg = f"stop_seconds={stop:g} is not after start_seconds={start:g}; give a later one"
            raise ConfigError(msg)
        return self

    @model_validator(mode="after")
    def _check_logprobs(self) -> Self:
        if self.logprobs is False and self.top_logprobs:
            msg = (
                f"logprobs=False contradicts top_logprobs={self.top_logprobs}, which reports them; leave logprobs out, "
                "or give top_logprobs=None"
            )
            raise ConfigError(msg)
        return self

    @model_validator(mode="after")
    def _check_output_format(self) -> Self:
        _ = self.output_format
        return self

    @property
    def vreason_config(self) -> VReasonConfig:
        """How decoding is steered, whichever way `vreason` was written."""
        return _as_config(self.vreason)

    @property
    def output_format(self) -> OutputFormat:
        """What the answer must look like."""
        use = tool_use(self.tools, self.tool_choice, is_parallel=self.parallel_tool_calls)
        is_in_prompt = (self.response_format or {}).get("type") == "json_schema"
        return OutputFormat(use, response_schema(self.response_format), is_in_prompt)

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """The texts that end the answer, however `stop` was written."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def sampling(self) -> SamplingParams:
        """How tokens are chosen, and when to stop."""
        return SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            max_new_tokens=self.max_tokens,
            seed=self.seed,
            stop=self.stop_texts,
            num_top_logprobs=self.top_logprobs or 0,
        )

    @property
    def _identifying_params(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in own_fields(type(self)) if name not in _NOT_IN_OUTPUT}
        fields |= {"model": self.model or default_model(), "vreason": self.vreason_config.to_dict()}
        roots, backend = self.read_options.roots, self.read_options.backend  # the rest changes no output
        fields["read_options"] = {"roots": None if roots is None else list(roots), "backend": backend}
        fields["stop_texts"] = fields.pop("stop")  # LangChain puts a call's `stop` in the place of that name
        return {**fields, "output_version": self.output_version}

    def for_call(self, stop: list[str] | None, kwargs: Mapping[str, Any]) -> Self:
        """Return this model with the keyword arguments of one call, validated like the constructor's.

        Raises:
            ConfigError: If one is unknown, out of its range, or read by LangChain from the model itself.
        """
        changes = {name: value for name, value in kwargs.items() if name not in _FROM_LANGCHAIN}
        with as_langchain_errors():
            _check_per_call(changes)
        if stop is not None:
            changes["stop"] = stop
        if not changes:
            return self
        fields = {name: getattr(self, name) for name in own_fields(type(self))}
        with as_langchain_errors():
            return type(self)(profile=self.profile, **{**fields, **changes})  # else it would be read from disk again


def own_fields(kind: type[BaseChatModel] = ChatFields) -> list[str]:
    """Return the names of a class's fields that are not every chat model's, those of a subclass included."""
    return [name for name in kind.model_fields if name not in BaseChatModel.model_fields]


def _check_per_call(changes: Mapping[str, Any]) -> None:
    """Refuse what would be without effect: LangChain asks the model for it before the call's arguments are seen."""
    for name in changes:
        if name in BaseChatModel.model_fields:
            msg = (
                f"{name}={quote(changes[name])} cannot be given per call: LangChain reads it from the model. "
                f"Give it to the constructor, ChatVReason({name}=...), or use configurable_fields"
            )
            raise ConfigError(msg)


def _first_error(exc: ValidationError) -> str:
    error = exc.errors()[0]
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"ChatVReason has no argument {quote(name)}; use one of: {', '.join(own_fields())}"
    if isinstance(cause := error.get("ctx", {}).get("error"), ConfigError):
        return str(cause)
    return f"ChatVReason {name}={quote(error['input'])}: {error['msg']}"
