"""What clients may send: OpenAI's chat completions with videos, and System One's decisions.

Fields of OpenAI that change nothing here are accepted and ignored; those that would change an answer and cannot be
followed are refused. This module knows no server and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from langchain_core.messages import BaseMessage, convert_to_messages
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from vreason_agent.chat.media import is_media, read_block
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import ConfigError, VideoError, quote
from vreason_agent.qa import VideoQuestion
from vreason_agent.video.download import download, is_remote
from vreason_agent.video.files import shown

MAX_CHOICES = 16
_SAME_NAMES = (
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop", "logprobs", "top_logprobs"),
    *("tool_choice", "parallel_tool_calls", "response_format", "num_frames", "vreason", "trace"),
)
_SHORT_HINTS = {"start": "start_seconds", "stop": "stop_seconds"}


def _neutral(value: Any) -> Any:
    if value:
        raise ValueError("is not supported; leave it out, or use repetition_penalty")
    return value


Unsupported = Annotated[Any, AfterValidator(_neutral)]
Ignored = Annotated[JsonValue, Field(description="Accepted and ignored.")]


class FunctionCall(BaseModel):
    """The function that a model called."""

    name: Annotated[str, Field(min_length=1)]
    arguments: str = ""


class ToolCall(BaseModel):
    """One call of an assistant's message."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class Part(BaseModel):
    """A part of a message: `text`, `image_url` or `video_url`, with hints beside it.

    A video takes `max_frames`, `num_frames`, `fps`, `start`, `stop` (seconds) or `timestamps`.
    """

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None
    extras: dict[str, JsonValue] | None = None


class Message(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: Ignored = None
    refusal: Ignored = None


class FunctionDefinition(BaseModel):
    """A function that the model may call, its parameters as a JSON schema."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    description: str | None = None
    parameters: dict[str, JsonValue] = {}
    strict: bool | None = None


class Tool(BaseModel):
    """A tool that the model may call."""

    type: Literal["function"]
    function: FunctionDefinition


class StreamOptions(BaseModel):
    """What a stream holds beside the chunks."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class ChatRequest(BaseModel):
    """The body of `POST /v1/chat/completions`; `extra_body` of OpenAI's client carries what OpenAI does not know."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=1024)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    min_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**62)] | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: str | dict[str, JsonValue] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, JsonValue] | None = None
    num_frames: Annotated[int, Field(ge=2, multiple_of=2)] | None = None
    vreason: str | dict[str, JsonValue] | None = Field(default=None, description="A schedule, or a VReasonConfig.")
    trace: Literal["short", "full"] | None = None
    frequency_penalty: Unsupported = None
    presence_penalty: Unsupported = None
    logit_bias: Unsupported = None
    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None

    @property
    def num_choices(self) -> int:
        """How many answers are asked for."""
        return self.n or 1

    def chat_messages(self, folder: Path, *, allow_download: bool) -> list[BaseMessage]:
        """Return the conversation as LangChain's messages; see `with_media`.

        Raises:
            ConfigError: A message of a tool names no call.
            VideoError: An address is not allowed, or could not be fetched.
        """
        kept = {"role", "content", "name", "tool_calls", "tool_call_id"}
        rows = [{"content": "", **message.model_dump(exclude_none=True, include=kept)} for message in self.messages]
        rows = with_media(rows, folder, allow_download=allow_download)
        try:
            return convert_to_messages(rows)
        except (ValueError, TypeError, KeyError) as exc:
            raise ConfigError(f"the messages cannot be read: {exc}; give them as OpenAI's documentation shows") from exc

    def call_options(self) -> dict[str, Any]:
        """Return the arguments of `ChatVReason` that the request gives."""
        options = {name: value for name in _SAME_NAMES if (value := getattr(self, name)) is not None}
        if self.tools:
            options["tools"] = [tool.model_dump(exclude_none=True) for tool in self.tools]
        if most := self.max_completion_tokens or self.max_tokens:
            options["max_tokens"] = most
        return options


class DecisionRequest(BaseModel):
    """The body of `POST /v1/systemone`: a state, and typed questions about it."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    state: str | dict[str, JsonValue] | Annotated[list[JsonValue], Field(min_length=1)]
    questions: Annotated[dict[str, dict[str, JsonValue]], Field(min_length=1, max_length=64)]
    assets: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict,
        max_length=4,
        description="Media blocks by their placeholders in the state.",
    )


class AskRequest(VideoQuestion):
    """The body of `POST /v1/ask`: a question for a ladder of attempts; its `video` may be a `data:` URL as well."""

    model: str | None = None
    schedule: str | None = None

    def call_options(self, steering: VReasonConfig) -> dict[str, Any]:
        """Return the arguments of `ChatVReason` that the request gives, over the server's own steering."""
        changes = {"schedule": self.schedule, "seed": self.seed}
        given = {name: value for name, value in changes.items() if value is not None}
        seed = {} if self.seed is None else {"seed": self.seed}
        return {"vreason": {**steering.to_dict(), **given}, **seed} if given else {}

    def about(self, video: str) -> VideoQuestion:
        """Return the question, about a video on this machine."""
        return VideoQuestion(**{**self.model_dump(include=set(VideoQuestion.model_fields)), "video": video})


def local_video(video: str, folder: Path, *, allow_download: bool) -> str:
    """Return the path of a video that is named by its path or address, or is in a `data:` URL.

    Args:
        video: What a client sent.
        folder: Where a file of ours is written.
        allow_download: Whether https addresses may be fetched, by the one checked way.

    Raises:
        ConfigError: A `data:` URL cannot be read.
        VideoError: An address is not allowed, or could not be fetched.
    """
    if is_remote(video):
        return _fetched(video, folder, allow_download)
    if video[:5].lower() != "data:":
        return video
    media = read_block({"type": "video", "url": video})
    path = folder / f"video{media.suffix if media else ''}"
    path.write_bytes((media.data if media else None) or b"")
    return str(path)


def with_media(value: Any, folder: Path, *, allow_download: bool) -> Any:
    """Return a JSON value whose media blocks this package reads: short hints renamed, remote files downloaded.

    Args:
        value: Messages or a state.
        folder: Where downloads are written.
        allow_download: Whether https addresses may be fetched, by the one checked way.

    Raises:
        VideoError: An address is not allowed, or could not be fetched.
    """
    if isinstance(value, list):
        return [with_media(item, folder, allow_download=allow_download) for item in value]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("type"), str) and is_media(value):
        return _local(dict(value), folder, allow_download=allow_download)
    return {name: with_media(item, folder, allow_download=allow_download) for name, item in value.items()}


def _local(value: Any, folder: Path, *, allow_download: bool) -> Any:
    """Return a media block, or a part of one, without short hints and remote addresses."""
    if isinstance(value, list):
        return [_local(item, folder, allow_download=allow_download) for item in value]
    if isinstance(value, dict):
        local = {name: _local(item, folder, allow_download=allow_download) for name, item in value.items()}
        return {_SHORT_HINTS.get(name, name): item for name, item in local.items()}
    return _fetched(value, folder, allow_download) if isinstance(value, str) and is_remote(value) else value


def _fetched(url: str, folder: Path, allow_download: bool) -> str:
    if not allow_download:
        msg = (
            f"{quote(shown(url))} is a remote address, and this server fetches none; send the file as a data: URL, or "
            "start the server with --allow-download"
        )
        raise VideoError(msg)
    return str(download(url, folder))


def with_assets(value: Any, assets: Mapping[str, Any]) -> Any:
    """Return a state whose placeholders are replaced by their media blocks."""
    if isinstance(value, str):
        return assets.get(value, value)
    if isinstance(value, list):
        return [with_assets(item, assets) for item in value]
    if isinstance(value, Mapping):
        return {name: with_assets(item, assets) for name, item in value.items()}
    return value
