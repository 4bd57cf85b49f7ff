"""What the video question graph carries between its nodes: plain data that any checkpointer can store.

Frames are never in it: they are read again from path and times. This module knows no node.
"""

from __future__ import annotations

from operator import add
from typing import Annotated, Any, Literal, NotRequired

from langgraph.channels import EphemeralValue
from typing_extensions import TypedDict

from ..confidence import Action


class Clip(TypedDict):
    """The part of a video that is asked about; with its cuts, or why there are none, where they were looked for."""

    path: str
    kind: str
    start_seconds: float
    stop_seconds: float
    num_frames: int | None
    cuts_seconds: NotRequired[list[float]]
    no_cuts: NotRequired[str]


class Sampling(TypedDict):
    """The rule by which an attempt's frames were chosen, the reason for it, and the part that its new frames lie in."""

    rule: str
    reason: str
    part_seconds: list[float]


class Attempt(TypedDict):
    """One complete answer.

    `num_frames` is how many frames were asked for, `timestamps_seconds` the times of those that differ. `plan` is
    `FramePlan.to_dict()`, `None` for an image; `sampling` says how it was made. `vision` is what each picture cost in
    pixels and tokens; a chat model that does not tell leaves it `None`. `frames_as` is how the frames were sent.
    """

    attempt: int
    rung: int
    num_frames: int
    timestamps_seconds: list[float]
    frames_as: NotRequired[str]
    plan: NotRequired[dict[str, Any] | None]
    sampling: NotRequired[Sampling]
    variation: dict[str, Any]
    answer: str | None
    choice: str | None
    text: str
    reasoning: str
    confidence: dict[str, Any]
    tokens: dict[str, int]
    vision: NotRequired[list[dict[str, Any]] | None]
    model: str | None
    seconds: float


class Decision(TypedDict):
    """What was decided after an attempt, why, and which attempt the answer (or best guess) is quoted from.

    `settled` is whether the policy's conditions were met: a best guess that is accepted all the same is not settled.
    `wanted` is what would have followed had the budget allowed it.
    """

    attempt: int
    action: Action
    reason: str
    numbers: dict[str, Any]
    quotes: int
    settled: bool
    wanted: NotRequired[Action]


class BestGuess(TypedDict):
    """The answer of the attempt that a run ends with, accepted or not; `None` where no answer could be read."""

    answer: str | None
    choice: str | None
    attempt: int


class Spent(TypedDict):
    """What a run has used, over all attempts; `seconds` is the time that answering took.

    `frames_seen` are the different frames, each decoded and encoded once; `frames_shown` counts a frame again in every
    attempt that shows it, as the tokens do.
    """

    attempts: int
    frames_seen: int
    frames_shown: int
    tokens: int
    seconds: float


class Task(TypedDict):
    """The question as asked."""

    question: str
    options: list[str]


class VideoQAInput(TypedDict):
    """What the graph is asked: a video (path or `file://` URL), a question, and what narrows both.

    The channels are ephemeral: a second question on the same thread inherits nothing from the first.
    """

    video: Annotated[str, EphemeralValue]
    question: Annotated[str, EphemeralValue]
    options: NotRequired[Annotated[list[str], EphemeralValue]]
    start_seconds: NotRequired[Annotated[float | None, EphemeralValue]]
    stop_seconds: NotRequired[Annotated[float | None, EphemeralValue]]


class VideoQAOutput(TypedDict):
    """What comes back: the answer, `None` where the graph abstained, and how it was reached.

    `best_guess` is there either way: the accepted answer, or the one that was withheld. `frames` and `confidence`
    belong to its attempt. `warnings` says in sentences what could not be done as asked.
    """

    answer: str | None
    choice: str | None
    best_guess: BestGuess
    confidence: dict[str, Any]
    decision: Decision
    decisions: list[Decision]
    attempts: list[Attempt]
    frames: list[float]
    spent: Spent
    warnings: list[str]


class VideoQAState(VideoQAInput):
    """Everything between the nodes; `attempts` and `decisions` grow, the rest is replaced."""

    task: Task
    clip: Clip
    rung: int
    variation: dict[str, Any]
    timestamps_seconds: list[float]
    plan: dict[str, Any] | None
    sampling: Sampling
    attempts: Annotated[list[Attempt], add]
    decisions: Annotated[list[Decision], add]
    spent: Spent
    answer: str | None
    choice: str | None
    best_guess: BestGuess
    confidence: dict[str, Any]
    decision: Decision
    frames: list[float]
    warnings: list[str]


class HumanReply(TypedDict):
    """The answer to an interrupt before a limit is exceeded: one more attempt, or an end with what there is."""

    action: Literal["go_on", "stop"]
