"""Three probes of whether an answer rests on its video: no video, another video, the same frames degraded.

Each asks the same question once more, so that it costs a generation: a short prompt without video, a whole one
otherwise. The protocol is that of "Chains That See, Answers That Don't" (arXiv 2606.22862). This module knows no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.messages import BaseMessage

from vreason_agent.chat.model import ChatVReason
from vreason_agent.chat.streaming import run
from vreason_agent.confidence import Confidence, confidence_of
from vreason_agent.confidence.probes import probe_gain
from vreason_agent.model import VideoPart

PROBE_SIGNALS = ("no_video_gain", "other_video_gain", "degraded_gain")
BLOCK_PX = 16
Change = Callable[[VideoPart], VideoPart | None]


def probe_evidence(
    chat_model: ChatVReason, messages: Sequence[BaseMessage], *, other: Sequence[BaseMessage] | None = None
) -> dict[str, float | None]:
    """Ask a question as it is and with other evidence, and return what the video adds to the answer.

    Args:
        chat_model: Asked three times, four with `other`; greedily, unless it says otherwise.
        messages: With a question that has options, and at least one video.
        other: Messages with another video, whose frames take the place of this one's.

    Returns:
        `no_video_gain`, `other_video_gain` and `degraded_gain`, nats (see `probe_gain`): near 0, the video did not
        matter. `None` where it was not measured: without `other`, or where the answer is no option.
    """
    answered = _ask(chat_model, messages)
    changes: dict[str, Change | None] = {
        "no_video_gain": lambda _: None,
        "other_video_gain": _replacement(chat_model, other) if other else None,
        "degraded_gain": lambda part: replace(part, images=pixelate(part.images)),
    }
    return {
        name: None if change is None else probe_gain(answered, _ask(chat_model, messages, change))
        for name, change in changes.items()
    }


def pixelate(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return frames `(num_frames, height, width, 3)` whose blocks of 16 px have the color of their corner."""
    height, width = images.shape[1:3]
    coarse = images[:, ::BLOCK_PX, ::BLOCK_PX]
    return coarse.repeat(BLOCK_PX, axis=1).repeat(BLOCK_PX, axis=2)[:, :height, :width]


def _replacement(chat_model: ChatVReason, other: Sequence[BaseMessage]) -> Change:
    """Return the change to the first video of other messages, at the times of the one it replaces."""
    found: Any = next(
        part for turn in chat_model.prepared(other).request.turns for part in turn.parts if _is_video(part)
    )

    def change(part: VideoPart) -> VideoPart:
        rows = np.arange(len(part.images)) % len(found.images)
        return replace(part, images=found.images[rows])

    return change


def _ask(chat_model: ChatVReason, messages: Sequence[BaseMessage], change: Change | None = None) -> Confidence:
    call = chat_model.prepared(messages)
    if change is not None:
        turns = [replace(turn, parts=tuple(_changed(turn.parts, change))) for turn in call.request.turns]
        call.request = replace(call.request, turns=tuple(turns))
    return confidence_of(call.result(run(call.run, call.stopper)).generations[0].message)


def _changed(parts: Sequence[Any], change: Change) -> list[Any]:
    changed = [change(part) if _is_video(part) else part for part in parts]
    return [part for part in changed if part is not None]


def _is_video(part: Any) -> bool:
    return isinstance(part, VideoPart)
