"""Subtitles of a video, in the file or beside it, read by PyAV: what is said while a model's frames are shown.

This module decodes no frame.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vreason_agent.errors import ConfigError, VideoDecodeError, quote
from vreason_agent.video.decoder import DEMUXERS
from vreason_agent.video.files import DescriptorFile, open_picture, open_source
from vreason_agent.video.pyav_file import load_av
from vreason_agent.video.read_options import DEFAULT_OPTIONS, ReadOptions

AUTO, NONE = "auto", "none"
FORMATS = {".srt": "srt", ".vtt": "webvtt"}
MAX_BYTES = 2**24
_STYLE = re.compile(r"\{[^}]*\}|<[^>]*>")


@dataclass(frozen=True)
class Cue:
    """A subtitle, shown in `[start_seconds, stop_seconds)` from the video's first frame."""

    start_seconds: float
    stop_seconds: float
    text: str


def read_subtitles(
    video: str | os.PathLike[str], source: str | os.PathLike[str] = AUTO, options: ReadOptions = DEFAULT_OPTIONS
) -> tuple[Cue, ...]:
    """Return a video's subtitles in the order of time, without their styles.

    Args:
        video: Path of the video.
        source: An SRT or WebVTT file; or `"auto"`: the file of the video's name that ends in `.srt` or `.vtt`, else the
            first text stream in the video itself, else none. `"none"` reads none.
        options: Allowed folders. Nothing is read in isolation.

    Raises:
        ConfigError: With isolation, or for a file of another kind.
        DependencyError: PyAV cannot be loaded.
        VideoError: If a file is missing, lies outside the roots, or cannot be read.
    """
    if source == NONE:
        return ()
    if options.isolation is not None:
        msg = "subtitles are read in this process, not in isolation; use subtitles='none', or no isolation"
        raise ConfigError(msg)
    if source != AUTO:
        return _of_file(Path(source), options)
    for suffix in FORMATS:
        if (beside := Path(video).with_suffix(suffix)).is_file():
            return _of_file(beside, options)
    return _of_video(video, options)


def cues_at(cues: Sequence[Cue], timestamps_seconds: Sequence[float]) -> list[Cue]:
    """Return the cues that are shown at any of these times, each once."""
    return [cue for cue in cues if any(cue.start_seconds <= second < cue.stop_seconds for second in timestamps_seconds)]


def subtitle_text(cues: Sequence[Cue]) -> str:
    """Return cues as the text that a prompt shows beside the frames; empty for none."""
    lines = [f"{cue.start_seconds:.1f} s: {cue.text}" for cue in cues]
    return "\n".join(["Subtitles at these frames:", *lines]) if lines else ""


def _of_file(path: Path, options: ReadOptions) -> tuple[Cue, ...]:
    if path.suffix.lower() not in FORMATS:
        msg = f"subtitles={quote(str(path))}: give an .srt or .vtt file, 'auto' or 'none'"
        raise ConfigError(msg)
    with open_picture(path, options.roots, "an .srt or .vtt file") as (name, file):
        num_bytes = file.seek(0, os.SEEK_END)
        if num_bytes > MAX_BYTES:
            msg = f"{name} has {num_bytes:,} bytes, more than subtitles have ({MAX_BYTES:,}); give another file"
            raise VideoDecodeError(msg)
        file.seek(0)
        if not (cues := _decoded(file, FORMATS[path.suffix.lower()], name)):
            raise VideoDecodeError(f"{name} holds no subtitles that can be read; give an .srt or .vtt file that does")
        return cues


def _of_video(video: str | os.PathLike[str], options: ReadOptions) -> tuple[Cue, ...]:
    source = open_source(video, options)
    try:
        if source.kind != "video":
            return ()
        return _decoded(DescriptorFile(source.descriptor), None, quote(source.path))
    finally:
        source.close()


def _decoded(file: DescriptorFile, file_format: str | None, name: str) -> tuple[Cue, ...]:
    av = load_av()
    allowed = file_format or DEMUXERS
    options = {"format_whitelist": allowed, "protocol_whitelist": "none"}
    try:
        with av.open(file, format=file_format, options=options, metadata_errors="ignore") as container:
            texts = [stream for stream in container.streams.subtitles if _is_text(stream)]
            if not texts:
                return ()
            starts = [float(one.start_time * one.time_base) for one in container.streams.video if one.start_time]
            cues = _cues(container, texts[0], begin_seconds=min(starts, default=0.0))
            return tuple(sorted(cues, key=lambda cue: cue.start_seconds))
    except (av.error.FFmpegError, UnicodeDecodeError, ValueError) as exc:
        msg = f"the subtitles of {name} cannot be read; repair the file, or leave them out: subtitles='none'"
        raise VideoDecodeError(msg) from exc


def _is_text(stream: Any) -> bool:
    context = stream.codec_context
    return context is not None and context.name in ("srt", "subrip", "webvtt", "mov_text", "ass", "ssa", "text")


def _cues(container: Any, stream: Any, *, begin_seconds: float) -> Iterator[Cue]:
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        start = float(packet.pts * packet.time_base) - begin_seconds
        length = float((packet.duration or 0) * packet.time_base)
        parts = [subtitle.dialogue.decode("utf-8", "replace") for subtitle in packet.decode()]
        if text := " ".join(_STYLE.sub("", " ".join(parts)).split()):
            yield Cue(max(0.0, start), max(0.0, start + length), text)
