"""The arguments that models may give, as Pydantic classes bound to the caller's names and limits.

There is no argument for a path or a limit, and unknown arguments are refused. This module knows nothing about video.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from ..errors import quote

Moment = Annotated[float, Field(ge=0)]


class VideoArguments(BaseModel):
    """Which of the bound videos; the allowed names are added by `bind_arguments`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SpanArguments(VideoArguments):
    """A half-open time range."""

    start_seconds: float | None = Field(
        None, ge=0, description="Beginning of the time range in seconds; the default is the beginning of the video."
    )
    stop_seconds: float | None = Field(
        None, gt=0, description="End of the time range in seconds; the default is the end of the video."
    )


class RangeArguments(SpanArguments):
    """A half-open time range, sampled evenly; `num_frames` is added by `bind_arguments`."""


class QuestionArguments(RangeArguments):
    """A question about what happens in a time range."""

    question: str = Field(
        min_length=1, max_length=2000, description="What to ask about the time range, complete in itself."
    )
    options: list[str] = Field(
        default_factory=list, max_length=20, description="Possible answers, at least two; none for an open question."
    )


class TimesArguments(RangeArguments):
    """A range, or single moments: `timestamps_seconds` is added by `bind_arguments`."""


class RegionArguments(TimesArguments):
    """A rectangle of the picture and the times to look at it."""

    left: float = Field(
        ge=0, le=1, description="Left edge of the region as a fraction of the width: 0 is the left border."
    )
    top: float = Field(ge=0, le=1, description="Top edge as a fraction of the height: 0 is the top border.")
    right: float = Field(ge=0, le=1, description="Right edge as a fraction of the width, greater than left.")
    bottom: float = Field(ge=0, le=1, description="Bottom edge as a fraction of the height, greater than top.")


def bind_arguments(
    base: type[VideoArguments], *, tool_name: str, names: tuple[str, ...], max_frames: int, num_frames: int
) -> type[BaseModel]:
    """Add the arguments whose allowed values the caller decides.

    Args:
        base: The arguments that are the same for every caller.
        tool_name: Name of the class made, which error messages repeat.
        names: The videos that may be named; a single one need not be.
        max_frames: Most frames of one call.
        num_frames: Frames of a range by default; cut to `max_frames`.
    """
    default = names[0] if len(names) == 1 else ...
    fields: dict[str, Any] = {"video": (Literal[names], Field(default, description="Which video to look at."))}
    if issubclass(base, RangeArguments):
        description = f"How many frames to spread evenly over the time range, at most {max_frames}."
        fields["num_frames"] = (int, Field(min(num_frames, max_frames), ge=1, le=max_frames, description=description))
    if issubclass(base, TimesArguments):
        description = f"Single moments in seconds, instead of a time range; at most {max_frames}."
        moments = Field(None, max_length=max_frames, description=description)
        fields["timestamps_seconds"] = (list[Moment] | None, moments)
    bound: type[BaseModel] = create_model(tool_name, __base__=base, **fields)
    return bound


def explain_arguments(error: ValidationError) -> str:
    """Tell the model what is wrong with its arguments and what to do: the tools' `handle_validation_error`."""
    problems = "; ".join(map(_problem, error.errors(include_url=False)))
    remedy = f"Correct this and call {error.title} again; what is too much for one call can be split into several."
    return f"{problems}. {remedy}"


def _problem(detail: ErrorDetails) -> str:
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        return f"there is no argument {quote(name)}: leave it out"
    if detail["type"] == "missing":
        return f"{name} is missing: give it"
    return f"{name}={repr(detail['input'])[:80]}: {detail['msg']}"
