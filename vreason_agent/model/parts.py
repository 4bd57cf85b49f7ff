"""The plain data that goes into a model and comes out of it: parts of a turn, requests, generations, stream events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

from vreason_agent.decoding import DecodingTrace, StepRecord, VReasonConfig
from vreason_agent.errors import ConfigError, quote

__all__ = [
    "FinishReason",
    "Generation",
    "GenerationRequest",
    "ImagePart",
    "Part",
    "Reuse",
    "Role",
    "SamplingParams",
    "StreamEvent",
    "TextPart",
    "ToolCall",
    "Turn",
    "VideoPart",
    "VisionUse",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class TextPart:
    """A piece of text. Names of special tokens in it, such as `<|im_end|>`, stay text and never become tokens."""

    text: str


@dataclass(frozen=True, eq=False)
class ImagePart:
    """One still image, uint8 `(height, width, 3)` RGB.

    Raises:
        ConfigError: the array has another shape or dtype.
    """

    image: np.ndarray

    def __post_init__(self) -> None:
        _check_pictures("image", self.image, ndim=3)


@dataclass(frozen=True, eq=False)
class VideoPart:
    """Frames of one video in the order of time.

    Attributes:
        images: uint8 `(num_frames, height, width, 3)` RGB. An odd number is completed by repeating the last frame.
        timestamps_seconds: presentation time of each frame, s, not decreasing; the first frame need not be at 0.

    Raises:
        ConfigError: wrong shape or dtype, no frame, or timestamps that do not match the frames.
    """

    images: np.ndarray
    timestamps_seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_pictures("video", self.images, ndim=4)
        times = self.timestamps_seconds
        if len(times) != len(self.images) or any(late < early for early, late in pairwise(times)):
            raise ConfigError(
                f"{len(self.images)} frames with timestamps {quote(times)}: give one time per frame, in seconds "
                "and not "
                "decreasing; read_frames(...) returns both together"
            )


Part: TypeAlias = TextPart | ImagePart | VideoPart


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool that an assistant made: the tool's name and JSON-plain arguments."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation; `calls` are the assistant's, a turn of the role `tool` is one result."""

    role: Role
    parts: tuple[Part, ...]
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen, and when to stop.

    These fields alone decide: the `generation_config.json` of a model contributes its end-of-sequence and padding
    tokens and nothing else (published Qwen-VL folders carry temperature 1e-6 and a repetition penalty).

    Attributes:
        temperature: 0 is greedy; above 0 samples, larger is more random.
        top_p: keep the smallest set of tokens with this probability mass, (0, 1]; `None` is off.
        top_k: keep this many tokens, at least 1; `None` is off.
        min_p: keep tokens with at least this share of the best one's probability, (0, 1]; `None` is off.
        repetition_penalty: above 1 makes repeated tokens less likely; 1.0 is off. Applies when greedy too.
        max_new_tokens: most tokens to generate; the context may leave room for fewer, which the result reports.
        seed: of this request's own random generator; `None` draws a fresh one. Without effect when greedy.
        stop: texts that end the answer; they are cut off and never streamed.
        num_top_logprobs: alternatives to record for every token, 0 for none.

    Raises:
        ConfigError: a field is out of its range.
    """

    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    max_new_tokens: int = 1024
    seed: int | None = None
    stop: tuple[str, ...] = ()
    num_top_logprobs: int = 0

    def __post_init__(self) -> None:
        allowed = {
            "temperature": (self.temperature >= 0, "at least 0; pass temperature=0 for greedy"),
            "top_p": (self.top_p is None or 0 < self.top_p <= 1, "in (0, 1]; pass top_p=None to switch it off"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1; pass top_k=None to switch it off"),
            "min_p": (self.min_p is None or 0 < self.min_p <= 1, "in (0, 1]; pass min_p=None to switch it off"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0; pass 1.0 to switch it off"),
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1; pass max_new_tokens=1024 or similar"),
            "stop": (all(self.stop), "made of non-empty texts; pass stop=() for none"),
            "num_top_logprobs": (self.num_top_logprobs >= 0, "at least 0; pass 0 for none"),
        }
        for name, (is_allowed, rule) in allowed.items():
            if not is_allowed:
                raise ConfigError(f"SamplingParams {name}={quote(getattr(self, name))}: must be {rule}")


@dataclass(frozen=True)
class GenerationRequest:
    """One conversation to continue. No system prompt is added beyond what the model's chat template adds itself.

    Attributes:
        turns: the conversation.
        sampling: how tokens are chosen, and when to stop.
        vreason: how decoding is steered.
        tools: definitions of tools in OpenAI's form, for the prompt.
        grammar: what the output must look like, in the words of `VideoLanguageModel.grammar_words`; `None` is free.
        options: what there is to choose from: how likely each is gets measured (`Generation.option_scores`).
        reuse: whether what the model has read before may be used, and what it reads may be kept.
    """

    turns: tuple[Turn, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    vreason: VReasonConfig = field(default_factory=VReasonConfig)
    tools: tuple[Mapping[str, Any], ...] = ()
    grammar: str | None = None
    options: tuple[str, ...] = ()
    reuse: bool = True


@dataclass(frozen=True)
class VisionUse:
    """What one image or video cost.

    Attributes:
        kind: `image` or `video`.
        num_frames: frames looked at, 1 for an image.
        height_px: height of each frame after the resize.
        width_px: width of each frame after the resize.
        tokens_per_pair: tokens of each temporal pair of frames, or of the image.
        num_tokens: tokens in all.
    """

    kind: Literal["image", "video"]
    num_frames: int
    height_px: int
    width_px: int
    tokens_per_pair: int
    num_tokens: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class OptionScores:
    """Log-probability (nats) of writing each option, in the options' order, by the model without steering.

    Attributes:
        before: Right after the prompt, as an answer without reasoning.
        after: Where the answer stands; `None` where there is none.
    """

    before: tuple[float, ...]
    after: tuple[float, ...] | None


@dataclass(frozen=True)
class Reuse:
    """What a generation did not have to read again.

    Attributes:
        cached_tokens: first tokens of the prompt whose keys and values were kept from before.
        reused_patches: temporal patches (pairs of frames, or pictures) whose features were kept from before.
        encoded_patches: those that the vision tower ran on.
        kept_bytes: memory of all that the model keeps for later.
    """

    cached_tokens: int = 0
    reused_patches: int = 0
    encoded_patches: int = 0
    kept_bytes: int = 0

    def to_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Generation:
    """The answer to one request.

    Attributes:
        text: the answer without special tokens, cut before a stop text.
        token_ids: the generated tokens, end-of-sequence included if produced.
        token_texts: what each token added to the text before the stop text was cut off; `""` for special tokens and
            for all but the last token of a character that several tokens spell.
        trace: per-step series of the decoding.
        finish_reason: `stop` (end of sequence or a stop text), `length`, or `cancelled` by the callback.
        prompt_tokens: length of the prompt in tokens, video and image tokens included.
        video_tokens: how many of these are video tokens, the ones that steering acts on.
        top_logprobs: for every token its alternatives as (token id, log-probability), empty unless asked for.
        seconds: wall times: `preprocess`, `vision`, `prefill`, `decode`, `updates`, `total`. Those of a batch are the
            whole batch's.
        vision: what each image and video cost, in the order of the prompt.
        notes: what a user should know about this answer, such as positions that cannot tell frames apart.
        option_scores: how likely each of the request's options is; `None` without any, and where attention or cache
            cannot be read at several places (`decoding.continuations`).
        reuse: what was not read again.
    """

    text: str
    token_ids: tuple[int, ...]
    token_texts: tuple[str, ...]
    trace: DecodingTrace
    finish_reason: FinishReason
    prompt_tokens: int
    video_tokens: int
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    vision: tuple[VisionUse, ...] = ()
    notes: tuple[str, ...] = ()
    option_scores: OptionScores | None = None
    reuse: Reuse = Reuse()

    @property
    def is_cut(self) -> bool:
        """Whether the text ended before the model ended it: at a limit, by the callback or at a stop text."""
        return self.finish_reason != "stop" or self.text != "".join(self.token_texts)


@dataclass(frozen=True)
class StreamEvent:
    """One step of one row while a batch is generated.

    The texts of a row's events, put together, are exactly `Generation.text`.

    Attributes:
        row: index of the request.
        text: text that became certain with this token; `""` while a character is unfinished or a stop text may begin.
        record: the token with its log-probability, entropy, phase and update; `None` in the last event of a row, which
            releases text that was held back.
    """

    row: int
    text: str
    record: StepRecord | None = None


def _check_pictures(kind: str, pictures: np.ndarray, *, ndim: int) -> None:
    if pictures.dtype != np.uint8 or pictures.ndim != ndim or pictures.shape[-1] != 3 or 0 in pictures.shape:
        expected = "(height, width, 3)" if ndim == 3 else "(num_frames, height, width, 3)"
        raise ConfigError(
            f"{kind} of shape {pictures.shape} and dtype {pictures.dtype}: expected uint8 {expected} in RGB; "
            f"{'read_image' if ndim == 3 else 'read_frames'}(...) returns that"
        )
