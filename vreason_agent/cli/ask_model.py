"""The model that `ask` uses: checked, made from the arguments, described, and its context compared with the frames.

This module knows nothing of graphs' results and prints nothing.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.parser import read_options_of
from vreason_agent.errors import GenerationError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vreason_agent.model import Turn
    from vreason_agent.video import VideoInfo


def check_model(arguments: argparse.Namespace) -> None:
    """Find and check the model's folder before torch, which takes seconds, is imported.

    Raises:
        ModelLoadError: as `locate_model` and `open_folder` raise.
    """
    from vreason_agent.model.folder import open_folder
    from vreason_agent.model.source import default_model, locate_model

    if "torch" not in sys.modules:  # with torch the loader, which also knows models made in this process, is as fast
        name = arguments.model or default_model()
        open_folder(locate_model(name, revision=arguments.revision), source=name)


def check_memory(arguments: argparse.Namespace, info: VideoInfo, max_frames: int) -> None:
    """Compare what the largest attempt needs with --max-memory, before weights are loaded or a frame is decoded.

    Raises:
        ModelLoadError: if it needs more; the message names what would fit.
    """
    if arguments.max_memory is None:
        return
    from vreason_agent.model.memory_plan import PictureSize, planner_of

    planner = planner_of(arguments.model, revision=arguments.revision, device=arguments.device, dtype=arguments.dtype)
    num_frames = min(max_frames, info.num_frames or max_frames)
    picture = PictureSize(num_frames, info.height_px, info.width_px)
    planner.check(arguments.max_memory, [picture], is_steered=arguments.schedule != "off", is_resized_early=True)


def make_chat_model(arguments: argparse.Namespace) -> BaseChatModel:
    """Return the chat model that the arguments ask for; what is not given keeps its default."""
    from vreason_agent.chat_model import ChatVReason

    steering = _given(schedule=arguments.schedule, seed=arguments.seed)
    return ChatVReason(
        **_given(
            model=arguments.model,
            revision=arguments.revision,
            device=arguments.device,
            dtype=arguments.dtype,
            max_memory=getattr(arguments, "max_memory", None),
            seed=arguments.seed,
            read_options=read_options_of(arguments),
            vreason=steering or None,
            subtitles=getattr(arguments, "subtitles", None),
        )
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def model_facts(chat_model: Any) -> dict[str, Any]:
    """Load the chat model's engine and return what it is, in the words of `describe_model`."""
    from vreason_agent.model import describe_model

    return describe_model(chat_model.engine)


def check_context(chat_model: Any, arguments: argparse.Namespace, info: VideoInfo, rungs: tuple[int, int]) -> None:
    """Count the prompt of the last attempt before the first one is made.

    Raises:
        GenerationError: if the question alone, or an attempt that may be needed, exceeds the model's context.
    """
    context = chat_model.engine.context_length
    words = chat_model.engine.count_tokens([question_turn(arguments)])
    if words >= context:
        msg = (
            f"the question with its options takes {words} tokens without any frame, and the model's context holds "
            f"{context}; shorten it, or use a model with a longer context"
        )
        raise GenerationError(msg)
    sizes = prompt_sizes(chat_model.engine, arguments, info, rungs)
    largest = max(sizes)
    if sizes[largest] < context:
        return
    fitting = [num_frames for num_frames, size in sizes.items() if size < context]
    remedy = f"use --max-frames {max(fitting)}" if fitting else _fewer(sizes, context, words)
    msg = (
        f"{largest} frames take {sizes[largest]} tokens with the question, and the model's context holds {context}; "
        f"{remedy}"
    )
    raise GenerationError(msg)


def _fewer(sizes: dict[int, int], context: int, words: int) -> str:
    """Return what to do if not even the first attempt fits: how many frames would, if all cost alike."""
    first = min(sizes)
    fitting = int((context - words) / ((sizes[first] - words) / first) * 0.98) // 2 * 2
    longer = "or use a model with a longer context"
    return f"use --frames {fitting} --max-frames {fitting}, {longer}" if fitting else f"shorten the question, {longer}"


def prompt_sizes(engine: Any, arguments: argparse.Namespace, info: VideoInfo, rungs: tuple[int, int]) -> dict[int, int]:
    """Return the prompt tokens of each attempt by its number of frames; no frame is read for it."""
    import numpy as np

    from vreason_agent.graphs.frame_policy import clip_rungs, make_clip
    from vreason_agent.graphs.policy import Ladder
    from vreason_agent.model import VideoPart

    clip = make_clip(arguments.video, info, start_seconds=arguments.start, stop_seconds=arguments.stop)
    turn = question_turn(arguments)
    sizes = {}
    for num_frames in clip_rungs(clip, Ladder(num_frames=rungs[0], max_frames=rungs[1])):
        images = np.broadcast_to(np.uint8(0), (num_frames, info.height_px, info.width_px, 3))
        times = tuple(np.linspace(clip["start_seconds"], clip["stop_seconds"], num_frames, endpoint=False).tolist())
        sizes[num_frames] = engine.count_tokens([replace(turn, parts=(VideoPart(images, times), *turn.parts))])
    return sizes


def question_turn(arguments: argparse.Namespace) -> Turn:
    """Return the question with its options as a user's turn without frames."""
    from vreason_agent.model import TextPart, Turn
    from vreason_agent.question import question_text

    return Turn("user", (TextPart(question_text(arguments.question, arguments.option or [])),))
