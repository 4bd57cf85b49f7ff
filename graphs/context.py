"""What one run is given, checked before a file is opened: its question, and rules in place of the graph's own.

This module knows no node.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from langgraph.config import get_config
from langgraph.constants import START
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict

from ..errors import ConfigError, quote
from ..question import check_question
from ..video import local_path
from .asking import FramesAs, check_frames_as
from .budget import Budget, is_number
from .frame_policy import FramePolicy
from .policy import AcceptPolicy, Ladder
from .state import Task

_KINDS: dict[str, type[Any]] = {
    "ladder": Ladder,
    "policy": AcceptPolicy,
    "budget": Budget,
    "frame_policy": FramePolicy,
}
_NAMES = (*_KINDS, "frames_as")


class VideoQAContext(TypedDict, total=False):
    """Rules of one run: objects, or their fields as plain data, as a server's clients send them."""

    ladder: Ladder | dict[str, Any] | None
    policy: AcceptPolicy | dict[str, Any] | None
    budget: Budget | dict[str, Any] | None
    frame_policy: FramePolicy | dict[str, Any] | None
    frames_as: FramesAs | None


def rules_of(context: VideoQAContext | None, *, is_nested: bool = False) -> dict[str, Any]:
    """Return the rules that are given, as objects by name; those that are `None` are left out.

    Args:
        context: What a run, or its graph, was given.
        is_nested: Whether it is a parent graph's context, which may hold other things; these are left alone.

    Raises:
        ConfigError: If a rule is not known, of another type or out of its range.
    """
    given = _read_context(context, is_nested=is_nested)
    rules = {name: _read_rule(name, kind, given[name]) for name, kind in _KINDS.items() if given.get(name) is not None}
    frames_as = check_frames_as(given.get("frames_as"))
    return rules if frames_as is None else {**rules, "frames_as": frames_as}


def _read_context(context: Any, *, is_nested: bool) -> Mapping[str, Any]:
    if context is None or (is_nested and not isinstance(context, Mapping)):
        return {}
    if not isinstance(context, Mapping):
        msg = f"context={quote(context)} is no mapping; give rules by name: {', '.join(_NAMES)}"
        raise ConfigError(msg)
    if not is_nested:
        check_names("context", context, _NAMES)
    return context


def _read_rule(name: str, kind: type[Any], given: Any) -> Any:
    if isinstance(given, kind):
        return given
    known = [item.name for item in fields(kind)]
    if not isinstance(given, Mapping):
        msg = f"{name}={quote(given)} is no {kind.__name__}; give one, or a mapping of: {', '.join(known)}"
        raise ConfigError(msg)
    check_names(name, given, known)
    return kind(**given)


def check_names(what: str, given: Iterable[Any], known: Sequence[str]) -> None:
    """Refuse names that mean nothing here.

    Raises:
        ConfigError: If one is not among those known; it says which was probably meant.
    """
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    close = get_close_matches(str(unknown[0]), known, n=1)
    remedy = f"did you mean {close[0]!r}? Known are" if close else "use"
    msg = f"{what} has {quote(unknown)}, which is not known; {remedy} {', '.join(known)}"
    raise ConfigError(msg)


def refuse_unknown_input(graph: CompiledStateGraph[Any, Any, Any, Any], known: Sequence[str]) -> None:
    """Let a graph refuse input keys that it does not know: LangGraph drops them before any node sees them.

    LangGraph has no public hook: a pydantic `input_schema` with `extra="forbid"` is validated after it drops the keys.
    Within another graph nothing is refused, because the input there is that graph's whole state.
    """

    def check_input(given: Any) -> Any:
        if isinstance(given, Mapping) and not _is_called_by_a_graph():
            check_names("the input", given, known)
        return given

    graph.nodes[START].mapper = check_input


def _is_called_by_a_graph() -> bool:
    try:
        return bool(get_config()["configurable"].get("checkpoint_ns"))
    except (RuntimeError, KeyError):  # outside of any runnable
        return False


def read_task(given: Mapping[str, Any]) -> Task:
    """Return the question and its options.

    Raises:
        ConfigError: If one is missing, of another type, or cannot be asked.
    """
    question, options = given.get("question"), given.get("options")
    options = [] if options is None else options
    if not isinstance(question, str):
        msg = f"question={quote(question)}: give what is asked as text, e.g. {{'question': 'What happens first?', ...}}"
        raise ConfigError(msg)
    if not _are_texts(options):
        msg = f"options={quote(options)}: give a list of texts, e.g. ['red', 'blue'], or none for an open question"
        raise ConfigError(msg)
    check_question(question, options)
    return Task(question=question, options=list(options))


def read_video(given: Mapping[str, Any]) -> str:
    """Return the path or URL of the video.

    Raises:
        ConfigError: If it is missing or no path.
    """
    video = given.get("video")
    if not isinstance(video, (str, os.PathLike)) or not isinstance(path := os.fspath(video), str):
        msg = f"video={quote(video)}: give a path or file:// URL, e.g. {{'video': 'clip.mp4', ...}}"
        raise ConfigError(msg)
    return path


def read_videos(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths or URLs of several videos by name.

    Raises:
        ConfigError: If there is none, a name is no text, or one of them is no path to a local file.
    """
    videos = given.get("videos")
    if not isinstance(videos, Mapping) or not videos or not all(isinstance(name, str) for name in videos):
        given_videos = f"videos={quote(videos)}: there is nothing to compare"
        msg = f"{given_videos}; give paths by name, e.g. {{'front door': 'door.mp4'}}"
        raise ConfigError(msg)
    paths = {name: read_video({"video": video}) for name, video in videos.items()}
    for path in paths.values():
        local_path(path)
    return paths


def read_span(given: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the beginning and the end of the part that is asked about, in seconds.

    Raises:
        ConfigError: If one is no number.
    """
    for name in ("start_seconds", "stop_seconds"):
        value = given.get(name)
        if value is not None and not is_number(value):
            msg = f"{name}={quote(value)}: give seconds as a number, such as 1.5, or None"
            raise ConfigError(msg)
    start, stop = given.get("start_seconds"), given.get("stop_seconds")
    return None if start is None else float(start), None if stop is None else float(stop)


def _are_texts(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, str) for each in value)
