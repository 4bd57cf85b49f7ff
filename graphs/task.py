"""What a graph is asked, checked before a file is opened. This module knows no graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, quote
from ..question import check_question
from ..video import local_path
from .checked import are_texts, as_float, is_number
from .state import Task


def task_of(given: Mapping[str, Any]) -> Task:
    """Return the question and its options.

    Raises:
        ConfigError: If one is missing, of another type, or cannot be asked.
    """
    question, options = given.get("question"), given.get("options")
    options = [] if options is None else options
    if not isinstance(question, str):
        msg = f"question={quote(question)}: give what is asked as text, e.g. {{'question': 'What happens first?', ...}}"
        raise ConfigError(msg)
    if not are_texts(options):
        msg = f"options={quote(options)}: give a list of texts, e.g. ['red', 'blue'], or none for an open question"
        raise ConfigError(msg)
    check_question(question, options)
    return Task(question=question, options=list(options))


def video_of(given: Mapping[str, Any]) -> str:
    """Return the path or URL of the video.

    Raises:
        ConfigError: If it is missing or no path.
    """
    video = given.get("video")
    if not isinstance(video, (str, os.PathLike)) or not isinstance(path := os.fspath(video), str):
        msg = f"video={quote(video)}: give a path or file:// URL, e.g. {{'video': 'clip.mp4', ...}}"
        raise ConfigError(msg)
    return path


def videos_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths or URLs of several videos by name.

    Raises:
        ConfigError: If there is none, a name is no text, or one of them is no path to a local file.
    """
    videos = given.get("videos")
    if not isinstance(videos, Mapping) or not videos or not all(isinstance(name, str) for name in videos):
        msg = (
            f"videos={quote(videos)}: there is nothing to compare; give paths by name, e.g. "
            f"{{'front door': 'door.mp4'}}"
        )
        raise ConfigError(msg)
    paths = {name: video_of({"video": video}) for name, video in videos.items()}
    for path in paths.values():
        local_path(path)
    return paths


def span_of(given: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the beginning and the end of the part that is asked about, in seconds.

    Raises:
        ConfigError: If one is no number.
    """
    for name in ("start_seconds", "stop_seconds"):
        value = given.get(name)
        if value is not None and not is_number(value):
            msg = f"{name}={quote(value)}: give seconds as a number, such as 1.5, or None"
            raise ConfigError(msg)
    return as_float(given.get("start_seconds")), as_float(given.get("stop_seconds"))
