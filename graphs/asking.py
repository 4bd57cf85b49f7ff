"""How a look is put to a chat model: as the video and its times, or as the frames themselves, each after its time.

The one form is what this package's own chat model reads, the other what any LangChain chat model reads. Pictures are
made for one call and kept nowhere. This module knows no graph and no policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable

from ..errors import ConfigError, quote
from ..question import check_question, question_text, video_question
from ..tools.arguments import ToolLimits
from ..tools.frame_requests import distinct, label
from ..tools.image_blocks import image_block, text_block
from ..video import Reading, local_path
from .checked import is_one_of

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
    if frames_as is not None and not is_one_of(frames_as, get_args(FramesAs)):
        msg = f"frames_as={quote(frames_as)} is not known; use 'video', 'images', or None to go by the chat model"
        raise ConfigError(msg)
    return frames_as


def check_chat_model(chat_model: Any) -> Any:
    """Return what is to be asked.

    Raises:
        ConfigError: If it cannot be.
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
        expected: Seconds that later looks may ask for, so that the file is walked once.
    """
    return Asked(video_question(path, question, options=options, timestamps_seconds=times, expected_seconds=expected))


def ask_with_images(
    path: str, question: str, options: Sequence[str], times: Sequence[float], *, reading: Reading, limits: ToolLimits
) -> Asked:
    """Return the question after standard base64 JPEG blocks, each after a text with its true time in seconds.

    Args:
        path: Path or `file://` URL of the video or image.
        question: What is asked.
        options: Texts to choose from.
        times: Seconds to look at; a frame that several of them fall on is shown once.
        reading: How the file is read.
        limits: `max_side_px` and `max_image_bytes` bound each picture.

    Raises:
        ConfigError: If the question cannot be asked.
        VideoError: If the file cannot be read there.
    """
    check_question(question, options)
    frames = distinct(reading.frames(local_path(path), times, max_side_px=limits.max_side_px))
    blocks: list[Any] = []
    for position, image in enumerate(frames.images):
        blocks += [] if frames.info.kind == "image" else [text_block(label(frames, position))]
        blocks.append(image_block(image, limits))
    message = HumanMessage(content=[*blocks, text_block(question_text(question, options))])
    return Asked(message, [float(second) for second in frames.timestamps_seconds])
