"""Frames at given times: the ones a player shows then, with their true times, or an error; never another frame.

Constant-rate files are sought and every landing is checked; the first landing that is off makes the rest of the file a
walk. Knows no model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from vreason_agent.errors import VideoTooLargeError
from vreason_agent.video.backend import Backend
from vreason_agent.video.frames import Frames, Progress
from vreason_agent.video.image_size import Size
from vreason_agent.video.images import Picture, read_image
from vreason_agent.video.isolated import Isolate, IsolatedVideo, as_isolation, ask_picture, reading_process
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits, check_expected, check_request, check_side
from vreason_agent.video.opened import OpenVideo, open_for_one_read
from vreason_agent.video.picture_file import Encoded, picture_size
from vreason_agent.video.sizing import Resize
from vreason_agent.video.source import Roots, path_text
from vreason_agent.video.watch import Watch


def read_frames(
    video: str | os.PathLike[str] | OpenVideo | IsolatedVideo,
    timestamps: Sequence[float],
    *,
    max_side_px: int | None = None,
    resize: Resize | None = None,
    limits: Limits = DEFAULT_LIMITS,
    roots: Roots | None = None,
    on_progress: Progress | None = None,
    allow_missing: bool = False,
    expected: Sequence[float] = (),
    isolate: Isolate = False,
    backend: Backend = "opencv",
) -> Frames:
    """Return the frame that a player shows at each of the given times.

    A file that is read by its path is looked at on the way: of an MP4 whose tables prove how long it is, `info` of the
    result is what they say, and its last frame is not decoded to see whether it is damaged, as `probe` does.

    Args:
        video: Path of a video, GIF or image file, or of a folder of pictures (one a second); or what `open_video`
            opened, for several reads.
        timestamps: Times in seconds from the first frame, in any order, each in `[0, duration)`. The frame for a time
            is the last one with a timestamp at or before it; the last frame is shown for one frame's usual time.
        max_side_px: Scale frames down to this longer side while reading; `None` keeps their size.
        resize: Called with each frame as soon as it is decoded, `uint8 (height, width, 3)` in RGB, after `max_side_px`;
            what it returns is kept in its place. Hashable, and the same for all frames.
        limits: Upper bounds; of an opened video those it was opened with.
        roots: Folders that the file must lie in, links resolved; `None` allows any file.
        on_progress: Called with (frames read, frames to read), and while a file is looked at or walked with (steps
            taken, frames announced or steps needed); returning True ends the reading with an error.
        allow_missing: Leave out the times that a cut file lacks, and say in the result which and why, instead of an
            error; at least one has to be there.
        expected: Times that later reads of an opened video will ask for, at this size. A file that has to be walked is
            then walked once: the frames for them that it passes are kept, as far as `max_kept_bytes` goes.
        isolate: Read in a process of its own with limits on memory and time, which a file that kills or hangs its
            decoder takes down alone: True, or an `Isolation`. Of an opened video it is as it was opened.
        backend: What decodes videos and GIFs: `opencv`, or `av` for PyAV (extra `av`), which decodes what OpenCV's
            wheels cannot, such as AV1. Of an opened video it is as it was opened; `info.backend` of the result tells.

    Raises:
        ConfigError: No times, one here or in `expected` that is negative or no finite number, a `max_side_px` that is
            no integer from 1, a `resize` that returns no picture, or no such backend.
        DependencyError: If the backend's library cannot be loaded.
        VideoTooLargeError: More frames than `limits.max_frames`, more of their bytes than `limits.max_result_bytes`, or
            longer than `limits.max_wall_seconds`.
        VideoDecodeError: A time past the end or in the part that a cut file lacks, a frame that cannot be decoded, or
            `on_progress` ended it. Nothing is put in a missing frame's place. Isolated, also if the process died or
            was ended for its time.
        VideoError: As `probe` raises.
    """
    how: dict[str, Any] = {
        "max_side_px": max_side_px,
        "resize": resize,
        "on_progress": on_progress,
        "allow_missing": allow_missing,
        "expected": expected,
    }
    if isinstance(video, OpenVideo | IsolatedVideo):
        return video.read(timestamps, **how)
    check_request(path_text(video), timestamps, limits)
    check_expected(path_text(video), expected, limits)
    check_side(max_side_px)
    opening: dict[str, Any] = {"limits": limits, "roots": roots, "isolate": isolate, "backend": backend}
    with open_for_one_read(video, on_progress=on_progress, **opening) as opened:
        return opened.read(timestamps, **how)


def read_images(
    sources: Sequence[Encoded],
    *,
    limits: Limits = DEFAULT_LIMITS,
    roots: Roots | None = None,
    isolate: Isolate = False,
) -> list[Picture]:
    """Read pictures one after the other; see `read_image`.

    Args:
        sources: Paths of image files, or their encoded bytes.
        limits: Upper bounds on each, and on all together: their number, their pixels' bytes, and time.
        roots: Folders that files must lie in, links resolved; `None` allows any file.
        isolate: Read all in one process of its own; see `Isolation`.

    Raises:
        VideoError: As `read_image` raises; isolated, also if the process dies or takes too long.
        VideoTooLargeError: Also if there are more than `limits.max_frames`, they are more bytes than
            `limits.max_result_bytes`, or take longer than `limits.max_wall_seconds`.
    """
    isolation, watch = as_isolation(isolate), Watch(f"{len(sources)} pictures", limits)
    image_sizes(sources, limits=limits, roots=roots)
    if isolation is None:
        return _read_each(sources, watch, lambda source: read_image(source, limits=limits, roots=roots))
    with reading_process(isolation) as process:
        return _read_each(sources, watch, lambda source: ask_picture(process, source, limits, roots))


def _read_each(sources: Sequence[Encoded], watch: Watch, read: Callable[[Encoded], Picture]) -> list[Picture]:
    images = []
    for count, source in enumerate(sources):
        watch.tell(count, len(sources))
        images.append(read(source))
    return images


def image_sizes(
    sources: Sequence[Encoded], *, limits: Limits = DEFAULT_LIMITS, roots: Roots | None = None
) -> list[Size]:
    """Return the sizes of pictures as their headers tell them; decodes none.

    Raises:
        VideoError: As `read_images` raises before it decodes.
    """
    if len(sources) > limits.max_frames:
        msg = (
            f"{len(sources):,} pictures were asked for, more than max_frames={limits.max_frames:,}; "
            "ask for fewer at a time"
        )
        raise VideoTooLargeError(msg)
    sizes = [picture_size(source, limits, roots) for source in sources]
    num_bytes = sum(size.width * size.height * 3 for size in sizes)
    if num_bytes > limits.max_result_bytes:
        msg = (
            f"{len(sources):,} pictures are {num_bytes:,} bytes when they are decoded, more than "
            f"max_result_bytes={limits.max_result_bytes:,}; give fewer, or smaller ones"
        )
        raise VideoTooLargeError(msg)
    return sizes
