"""What a video is: frames, rate, duration, size, codec; from its packets, or by walking it where they lie."""

from __future__ import annotations

import os
from dataclasses import replace

from vreason_agent.video.av_capture import hdr_transfer
from vreason_agent.video.backend import Backend, decoder_of
from vreason_agent.video.folder import check_folder, gap_note
from vreason_agent.video.images import common_size, read_checked_image
from vreason_agent.video.index import FrameIndex
from vreason_agent.video.info import FOLDER_FPS, VideoInfo, VideoStream
from vreason_agent.video.isolated import Isolate, as_isolation, isolated_info
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits, check_length
from vreason_agent.video.source import Roots, Source, open_source
from vreason_agent.video.watch import Watch


def probe(
    video: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    roots: Roots | None = None,
    isolate: Isolate = False,
    backend: Backend = "opencv",
) -> VideoInfo:
    """Return what is known of a video without keeping any frame.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures.
        limits: Upper bounds, checked before the first frame is decoded.
        roots: Folders that the file must lie in, links resolved; `None` allows any file.
        isolate: Look at it in a process of its own, which a hostile file may end but not leave; see `Isolation`.
        backend: What decodes videos and GIFs; see `read_frames`.

    Raises:
        ConfigError: If there is no such backend.
        DependencyError: If its library cannot be loaded.
        VideoError: In one of its kinds, if it cannot be opened or decoded, or exceeds a limit.
    """
    source, isolation = open_source(video, limits=limits, roots=roots), as_isolation(isolate)
    if isolation is not None:
        return isolated_info(source, limits, roots, isolation, backend)
    return describe(source, limits, backend, roots=roots)


def describe(
    source: Source,
    limits: Limits,
    backend: Backend = "opencv",
    watch: Watch | None = None,
    *,
    roots: Roots | None = None,
) -> VideoInfo:
    """Return the facts about a checked source; raises as `probe` does, and where `watch` ends the look."""
    decoder = decoder_of(backend)
    if source.kind == "image":
        height, width = read_checked_image(source, limits=limits).shape[:2]
        return VideoInfo(source.path, "image", None, 1, 0.0, width, height, None, None, is_seekable=True)
    if source.kind == "frames":
        return _describe_folder(source, limits, roots)
    info = describe_index(source, decoder.index(source, limits, watch), backend)
    hdr = hdr_transfer(source)
    told = "" if hdr is None else f"HDR ({hdr}): frames are not tone-mapped, so colors look washed out"
    return replace(info, hdr=hdr, note="; ".join(filter(None, (info.note, told))))


def _describe_folder(source: Source, limits: Limits, roots: Roots | None) -> VideoInfo:
    count = len(source.frame_paths)
    seconds = count / FOLDER_FPS
    check_length(source.path, seconds, limits)
    check_folder(source.path, source.frame_paths)
    height, width = common_size(source.frame_paths, source.path, limits=limits, roots=roots)
    return VideoInfo(
        path=source.path,
        kind="frames",
        video_fps=FOLDER_FPS,
        num_frames=count,
        duration_seconds=seconds,
        width_px=width,
        height_px=height,
        codec=None,
        is_constant_rate=True,
        is_seekable=True,
        note=gap_note(source.frame_paths),
    )


def describe_index(source: Source, index: FrameIndex, backend: Backend) -> VideoInfo:
    """Return the facts about a video or GIF file whose frames are known."""
    count = len(index.timestamps_seconds)
    return VideoInfo(
        path=source.path,
        kind=source.kind,
        video_fps=count / index.readable_seconds,
        num_frames=count,
        duration_seconds=index.duration_seconds,
        width_px=index.width_px,
        height_px=index.height_px,
        codec=index.codec,
        is_constant_rate=index.is_constant_rate,
        promised_frames=index.promised_frames,
        readable_seconds=index.readable_seconds,
        is_seekable=index.is_seekable,
        num_keyframes=len(index.keyframes) or None,
        streams=(VideoStream(index.width_px, index.height_px, index.codec, is_read=True), *index.other_streams),
        backend=backend,
        note="; ".join(_notes(index)),
    )


def _notes(index: FrameIndex) -> list[str]:
    notes, count, promised = [], len(index.timestamps_seconds), index.promised_frames
    if index.other_streams:
        notes.append(f"several video streams: one is read ({index.width_px}x{index.height_px}, {index.codec})")
    if not index.is_seekable:
        notes.append("frames cannot be sought safely: every one is walked, slow and exact")
    if promised is not None and count < promised:
        notes.append(f"{count} of the {promised} frames that the file announces can be decoded")
    return notes
