"""How an attempt is put to a chat model, and how its reply is read.

Frames are sent as the video's path and times, which this package's chat model reads, or as the pictures themselves,
each after its time, which any LangChain chat model reads. Pictures are made for one call and kept nowhere. This module
knows no node and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable

from ..confidence import Confidence, confidence_of
from ..errors import ConfigError, quote
from ..question import check_question, question_text, read_answer, video_question
from ..tools.arguments import ToolLimits
from ..tools.frame_requests import distinct, label
from ..tools.image_blocks import image_block, text_block
from ..video import ReadOptions, local_path, read_frames
from .state import Attempt, VideoQAState

FramesAs = Literal["video", "images"]
_TYPES_THAT_READ_VIDEO = ("vreason-chat",)


@dataclass(frozen=True)
class Asked:
    """A message, and the times of the pictures in it: `None` where the chat model reads the video itself."""

    message: HumanMessage
    seen_seconds: list[float] | None = None


def check_frames_as(frames_as: FramesAs | None) -> FramesAs | None:
    """Return how frames are to be sent, `None` for as the chat model reads them.

    Raises:
        ConfigError: If there is no such form.
    """
    if frames_as is not None and (not isinstance(frames_as, str) or frames_as not in get_args(FramesAs)):
        msg = f"frames_as={quote(frames_as)} is not known; use 'video', 'images', or None to go by the chat model"
        raise ConfigError(msg)
    return frames_as


def check_chat_model(chat_model: Any) -> Any:
    """Return the chat model.

    Raises:
        ConfigError: If it is none.
    """
    if not isinstance(chat_model, Runnable):
        msg = f"chat_model={quote(chat_model)} is no LangChain chat model; give one, e.g. ChatVReason()"
        raise ConfigError(msg)
    return chat_model


def check_image_limits(limits: Any) -> ToolLimits:
    """Return the bounds of a picture that is sent, `None` for the default ones.

    Raises:
        ConfigError: If they are none.
    """
    if limits is not None and not isinstance(limits, ToolLimits):
        msg = f"image_limits={quote(limits)}: give ToolLimits(max_side_px=640, max_image_bytes=100_000) or None"
        raise ConfigError(msg)
    return limits or ToolLimits()


def frames_for(chat_model: Any) -> FramesAs:
    """Return how frames are sent where nobody says: as `video` to a chat model that reads that block, else `images`.

    A chat model says that it does by a true attribute `reads_video_blocks`; `ChatVReason` is known by its `_llm_type`.
    Bound arguments, a retry and the like are looked through.
    """
    while (bound := getattr(chat_model, "bound", None)) is not None:
        chat_model = bound
    reads = getattr(chat_model, "reads_video_blocks", False)
    return "video" if reads or getattr(chat_model, "_llm_type", "") in _TYPES_THAT_READ_VIDEO else "images"


def ask_with_video(
    path: str, question: str, options: Sequence[str], times: Sequence[float], *, expected: Sequence[float] = ()
) -> Asked:
    """Return the question with the video's path and the times to look at; no file is opened.

    Args:
        path: Path or `file://` URL of the video or image.
        question: What is asked.
        options: Texts to choose from.
        times: Seconds to look at.
        expected: Seconds that later attempts may ask for, so that the file is read once.
    """
    return Asked(video_question(path, question, options=options, timestamps_seconds=times, expected_seconds=expected))


def ask_with_images(
    path: str,
    question: str,
    options: Sequence[str],
    times: Sequence[float],
    *,
    read_options: ReadOptions,
    limits: ToolLimits,
) -> Asked:
    """Return the question after standard base64 JPEG blocks, each after a text with its true time in seconds.

    Args:
        path: Path or `file://` URL of the video or image.
        question: What is asked.
        options: Texts to choose from.
        times: Seconds to look at; a frame that several of them fall on is shown once.
        read_options: How the file is read.
        limits: `max_side_px` and `max_image_bytes` bound each picture.

    Raises:
        ConfigError: If the question cannot be asked.
        VideoError: If the file cannot be read there.
    """
    check_question(question, options)
    read = read_frames(local_path(path), times, max_side_px=limits.max_side_px, options=read_options)
    frames = distinct(read)
    blocks: list[Any] = []
    for position, image in enumerate(frames.images):
        blocks += [] if frames.info.kind == "image" else [text_block(label(frames, position))]
        blocks.append(image_block(image, limits))
    message = HumanMessage(content=[*blocks, text_block(question_text(question, options))])
    return Asked(message, [float(second) for second in frames.timestamps_seconds])


def read_attempt(state: VideoQAState, asked: Asked, message: AIMessage, seconds: float) -> Attempt:
    """Return what a message says, beside what it was asked and the time that it took."""
    confidence = confidence_of(message)
    seen = asked.seen_seconds or confidence.evidence.get("timestamps_seconds") or state["timestamps_seconds"]
    answer = read_answer(message, state["task"]["options"])
    if "from_logprobs" in confidence.warnings:  # which know no options
        kind = "choice" if answer["choice"] else confidence.answer["kind"]
        confidence = replace(confidence, answer={**answer, "kind": kind})
    return Attempt(
        attempt=len(state["attempts"]),
        rung=state["rung"],
        num_frames=len(state["timestamps_seconds"]),
        timestamps_seconds=list(seen),
        frames_as="video" if asked.seen_seconds is None else "images",
        plan=state["plan"],
        sampling=state["sampling"],
        variation=dict(state["variation"]),
        answer=answer["text"],
        choice=answer["choice"],
        text=message.text,
        reasoning=_join_reasoning(message),
        confidence=confidence.to_dict(),
        tokens=_count_tokens(message),
        vision=message.response_metadata.get("vision"),
        model=message.response_metadata.get("model_name"),
        seconds=seconds,
    )


def read_ending(state: VideoQAState, best: Attempt) -> dict[str, Any]:
    """Return the confidence and the frames of the attempt that a run ends with, under the last decision."""
    decision = state["decision"]
    rungs = [_summarize(attempt) for attempt in state["attempts"]]
    judged = Confidence.from_dict(best["confidence"])
    confidence = judged.decided(decision["action"], decision["reason"], rungs, settled=decision["settled"])
    return {"confidence": confidence.to_dict(), "frames": best["timestamps_seconds"]}


def _join_reasoning(message: AIMessage) -> str:
    blocks = [block for block in message.content_blocks if block["type"] == "reasoning"]
    return "".join(block.get("reasoning", "") for block in blocks)


def _count_tokens(message: AIMessage) -> dict[str, int]:
    usage = message.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    return {"input": usage["input_tokens"], "output": usage["output_tokens"]}


def _summarize(attempt: Attempt) -> dict[str, Any]:
    signals: Mapping[str, Any] = attempt["confidence"].get("signals", {})
    names = ("entropy_drop", "final_entropy", "answer_probability")
    facts = {name: attempt[name] for name in ("attempt", "rung", "answer", "choice")}
    facts["num_frames"] = len(attempt["timestamps_seconds"])
    return {**facts, **{name: signals.get(name) for name in names}}
