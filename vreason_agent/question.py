"""One question about one video as a LangChain message, the hints its blocks carry, and the answer in the reply.

The text is complete in itself, so that any chat model can read it; question and options are kept beside it under
`extras` for a model that has its own wording for them. This module knows no model and opens no file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from vreason_agent.answers import find_answer, option_label, parse_answer, repeated_option
from vreason_agent.confidence import confidence_of
from vreason_agent.errors import ConfigError, is_utf8, quote


def video_question(
    video: str | os.PathLike[str],
    question: str,
    *,
    options: Sequence[str] = (),
    start_seconds: float | None = None,
    stop_seconds: float | None = None,
    num_frames: int | None = None,
    max_frames: int | None = None,
    timestamps_seconds: Sequence[float] | None = None,
    plan: Mapping[str, Any] | None = None,
    expected_seconds: Sequence[float] = (),
) -> HumanMessage:
    """Return the message that asks a question about a video, an image or a folder of frames.

    Args:
        video: Path or `file://` URL; it is not opened here.
        question: What is asked, not empty.
        options: Texts to choose from, at least two, all different; none for an open question.
        start_seconds: Beginning of the part that is asked about.
        stop_seconds: End of it, exclusive.
        num_frames: Frames to look at; more see more and cost more. `None` leaves it to the chat model.
        max_frames: Frames of the last rung of a ladder: fixes the distance of the two frames of a pair.
        timestamps_seconds: The very times to look at, in place of the four above.
        plan: How to choose times in the part that is asked about, in place of the two numbers of frames: the name of a
            rule of `vreason_agent.video.PLANS` and its options, such as `{"name": "fps", "sample_fps": 1.0}`.
        expected_seconds: Times that later questions may ask for: frames that are passed on the way are kept for them.

    Raises:
        ConfigError: If the question is empty, there is one option, an empty one, or one twice, or frames are chosen in
            two ways.
    """
    check_question(question, options)
    if plan is not None and any(given is not None for given in (timestamps_seconds, num_frames, max_frames)):
        msg = "plan and timestamps_seconds, num_frames or max_frames both choose the frames; give the plan alone"
        raise ConfigError(msg)
    hints = {
        "start_seconds": start_seconds,
        "stop_seconds": stop_seconds,
        "num_frames": num_frames,
        "max_frames": max_frames,
        "plan": None if plan is None else dict(plan),
        "timestamps": None if timestamps_seconds is None else [float(second) for second in timestamps_seconds],
        "expected": [float(second) for second in expected_seconds] or None,
    }
    video_block: dict[str, Any] = {"type": "video", "url": os.fspath(video)}
    if given := {name: value for name, value in hints.items() if value is not None}:
        video_block["extras"] = given
    text_block = {
        "type": "text",
        "text": question_text(question, options),
        "extras": {"question": question, "options": list(options)},
    }
    return HumanMessage(content=[video_block, text_block])


def question_text(question: str, options: Sequence[str] = ()) -> str:
    """Return question and options as plain text: each option on a line of its own, after its letter.

    An option with line breaks is written as a JSON string, so that its lines are not taken for options.
    """
    lines = [option if len(option.splitlines()) == 1 else json.dumps(option, ensure_ascii=False) for option in options]
    lettered = [f"{option_label(index)}. {line}" for index, line in enumerate(lines)]
    return "\n".join([question, *(["Options:"] if options else []), *lettered])


def check_question(question: str, options: Sequence[str]) -> None:
    """Refuse a question that cannot be asked.

    Raises:
        ConfigError: If it is empty or not UTF-8, or there is one option, an empty one, or one twice.
    """
    for text in (question, *options):
        if not is_utf8(text):
            msg = f"{quote(text)} holds bytes that are not UTF-8; write it in UTF-8"
            raise ConfigError(msg)
    if not question.strip():
        msg = f"question={quote(question)} is empty; ask something, e.g. 'What happens first?'"
        raise ConfigError(msg)
    if len(options) == 1 or any(not option.strip() for option in options):
        msg = (
            f"options={quote(list(options))}: give at least two texts, none empty, or none at all for an open question"
        )
        raise ConfigError(msg)
    if repeated_option(options) is not None:
        msg = f"options={quote(list(options))}: an option is there twice; make them different"
        raise ConfigError(msg)


def read_answer(message: AIMessage, options: Sequence[str] = ()) -> dict[str, str | None]:
    """Return the answer in a reply, as `text` and option letter `choice`; `None` is "could not be read".

    Args:
        message: A chat model's reply. What the model itself read, in its confidence record, is believed; without one
            it is read as `vreason_agent.answers` says, an open answer of any length.
        options: What there was to choose from.
    """
    if isinstance(message.response_metadata.get("confidence"), Mapping):
        read = confidence_of(message).answer
        return {"text": read.get("text"), "choice": read.get("choice")}
    if not options:
        return {"text": message.text[slice(*find_answer(message.text))] or None, "choice": None}
    parsed = parse_answer(message.text, options)
    return {"text": parsed.answer, "choice": parsed.choice}
