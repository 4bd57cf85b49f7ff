"""What a model may give a tool, and what the caller allows: Pydantic arguments made from the caller's names and limits.

No argument is a path or a limit, and unknown ones are refused. Every word here is part of each prompt of an agent, so
descriptions are short: all six tools together take about half of a context of 4,096 tokens. This module knows no video.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ErrorDetails

from ..errors import ConfigError, quote


@dataclass(frozen=True)
class ToolLimits:
    """Bounds of one tool call.

    With the defaults a call puts at most `8 * 100_000` JPEG bytes (1.1 MB as base64) into the conversation, and so into
    every checkpoint of it.

    Attributes:
        max_frames: Most images of one `sample_frames` or `zoom` call, at least 1. Higher shows more, for more context.
        max_sheet_frames: Most frames on one contact sheet, at least 1. Higher makes cells smaller; never more than fit
            with 64 px each.
        max_side_px: Longer side of every image in pixels, at least 64. Higher shows finer detail.
        max_image_bytes: Most bytes of one JPEG before base64, at least 4096. Larger images are compressed harder and
            then made smaller.
        max_asked_frames: Most frames that one `ask_segment` call shows the chat model it asks, at least 2.
        max_scanned_frames: Most frames that one `find_scenes` call compares, at least 2. Higher finds shorter shots in
            long ranges and takes longer.

    Raises:
        ConfigError: A limit is no integer or is below its minimum.
    """

    max_frames: int = 8
    max_sheet_frames: int = 24
    max_side_px: int = 640
    max_image_bytes: int = 100_000
    max_asked_frames: int = 16
    max_scanned_frames: int = 600

    _MINIMA: ClassVar[dict[str, int]] = {
        "max_frames": 1,
        "max_sheet_frames": 1,
        "max_side_px": 64,
        "max_image_bytes": 4096,
        "max_asked_frames": 2,
        "max_scanned_frames": 2,
    }

    def __post_init__(self) -> None:
        """Refuse limits under which no image could be returned."""
        for field, minimum in self._MINIMA.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
                msg = f"{field}={quote(value)} is not an integer of at least {minimum}: pass {field}={minimum} or more"
                raise ConfigError(msg)


Moment = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _nothing() -> Any:
    """Be the default of what may be left out: a factory keeps "or null, by default null" out of the model's schema."""
    return None


class VideoArguments(BaseModel):
    """Which of the bound videos; the allowed names are added by `bind_arguments`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class SpanArguments(VideoArguments):
    """A half-open time range; without one, the whole video."""

    start_seconds: Moment = Field(default_factory=_nothing, description="Start of the range")
    stop_seconds: float = Field(default_factory=_nothing, gt=0, description="End of the range")


class RangeArguments(SpanArguments):
    """A time range that is sampled evenly; `num_frames` is added by `bind_arguments`."""


class QuestionArguments(RangeArguments):
    """A question about what happens in a time range."""

    question: str = Field(min_length=1, max_length=2000, description="Complete in itself")
    options: list[str] = Field(default_factory=list, max_length=20, description="Answers to choose from, at least two")


class TimesArguments(RangeArguments):
    """A range, or single moments: `timestamps_seconds` is added by `bind_arguments`."""


class RegionArguments(TimesArguments):
    """A rectangle of the picture and the times to look at it."""

    left: Fraction = Field(description="Left edge")
    top: Fraction = Field(description="Top edge")
    right: Fraction = Field(description="Right edge")
    bottom: Fraction = Field(description="Bottom edge")


def bind_arguments(
    base: type[VideoArguments], *, tool_name: str, names: tuple[str, ...], max_frames: int, num_frames: int
) -> type[BaseModel]:
    """Add the arguments whose allowed values the caller decides.

    Args:
        base: The arguments that are the same for every caller.
        tool_name: Name of the class made, which error messages repeat.
        names: The videos that may be named. A single one is taken without being named, so the model is not told of it.
        max_frames: Most frames of one call.
        num_frames: Frames of a range by default; cut to `max_frames`.
    """
    known: Any = Literal[names]
    fields: dict[str, Any] = {"video": (known, Field(description="Which video"))}
    if len(names) == 1:
        fields["video"] = (Annotated[known, SkipJsonSchema()], Field(names[0]))  # type: ignore[type-arg]
    if issubclass(base, RangeArguments):
        count = Field(min(num_frames, max_frames), ge=1, le=max_frames, description=f"At most {max_frames}")
        fields["num_frames"] = (int, count)
    if issubclass(base, TimesArguments):
        moments = Field(default_factory=_nothing, max_length=max_frames, description="Instead of a range")
        fields["timestamps_seconds"] = (list[Moment], moments)
    bound: type[BaseModel] = create_model(tool_name, __base__=base, **fields)
    return bound


def explain_arguments(error: ValidationError) -> str:
    """Tell the model what is wrong with its arguments and what to do: the tools' `handle_validation_error`."""
    problems = "; ".join(map(_describe_problem, error.errors(include_url=False)))
    remedy = f"Correct this and call {error.title} again. If it is too much for one call, make several."
    return f"{problems}. {remedy}"


def _describe_problem(detail: ErrorDetails) -> str:
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        return f"there is no argument {quote(name)}: leave it out"
    if detail["type"] == "missing":
        return f"{name} is missing: give it"
    return f"{name}={repr(detail['input'])[:80]}: {detail['msg']}"
