"""From what a message refers to, to pixels: which frames are looked at, and at what times.

This module knows no LangChain class and no model; it plans times, reads frames and says what it read.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np

from vreason_agent.chat.langchain_errors import PromptTooLongError
from vreason_agent.chat.media import Media
from vreason_agent.chat.video_pool import VIDEO_POOL
from vreason_agent.errors import ConfigError, VideoError, VideoTooLargeError, quote
from vreason_agent.model import ImagePart, Turn, VideoPart
from vreason_agent.video import (
    DEFAULT_OPTIONS,
    FramePlan,
    Limits,
    ReadOptions,
    Resize,
    Size,
    Span,
    VideoInfo,
    VideoReader,
    fps_plan,
    image_sizes,
    make_plan,
    open_video,
    pairs_plan,
    read_frames,
    read_images,
    resolve_span,
    still_size,
    uniform_plan,
)
from vreason_agent.video.subtitles import NONE, cues_at, read_subtitles, subtitle_text


@dataclass
class ContextBudget:
    """The context of one prompt.

    Attributes:
        context_length: Most tokens, prompt and answer together.
        count_tokens: Counts those of turns; of a picture it sees the size alone.
    """

    context_length: int
    count_tokens: Callable[[Sequence[Turn]], int]
    _parts: list[ImagePart | VideoPart] = field(default_factory=list, init=False)

    def add_video(self, timestamps_seconds: Sequence[float], height_px: int, width_px: int) -> None:
        """Take the room that one more video needs, with frames of this size at these times.

        Raises:
            PromptTooLongError: If the pictures so far need more than there is.
        """
        images = np.broadcast_to(np.uint8(0), (len(timestamps_seconds), height_px, width_px, 3))  # one byte of memory
        self._take(VideoPart(images, tuple(timestamps_seconds)))

    def add_image(self, height_px: int, width_px: int) -> None:
        """Take the room that one more image of this size needs; raises as `add_video` does."""
        self._take(ImagePart(np.broadcast_to(np.uint8(0), (height_px, width_px, 3))))

    def _take(self, part: ImagePart | VideoPart) -> None:
        self._parts.append(part)
        num_tokens = self.count_tokens([Turn("user", tuple(self._parts))])
        if num_tokens >= self.context_length:
            words = self._words()
            msg = (
                f"{words} make a prompt of {num_tokens} tokens, and the model's context holds {self.context_length}, "
                f"answer included; use fewer {words.split()[-1]}, or smaller ones "
                "(load_model(..., pixel_budget=PixelBudget(...)))"
            )
            raise PromptTooLongError(msg)

    def _words(self) -> str:
        num_frames = sum(len(part.images) for part in self._parts if isinstance(part, VideoPart))
        num_images = sum(isinstance(part, ImagePart) for part in self._parts)
        counts = {"images": num_images, "frames": num_frames}
        return " and ".join(f"{count} {name}" for name, count in counts.items() if count)


ResizeRule = Callable[[int, int, int], Resize | None]
"""Number of frames, height and width in px to the resize of each."""

QWEN_LIST_FPS = 2.0  # what Qwen's own tools assume of a video given as a list of frames


@dataclass(frozen=True)
class FrameDefaults:
    """Which frames are looked at where a block does not say; what is set here no block exceeds."""

    num_frames: int = 4
    max_frames: int = 32
    start_seconds: float | None = None
    stop_seconds: float | None = None

    @property
    def ceiling(self) -> int:
        """Most frames that a block may ask for."""
        return max(self.num_frames, self.max_frames)

    def check(self, name: str, num_frames: int) -> None:
        """Refuse what a block asks for beyond what the application allows.

        Raises:
            ConfigError: If `num_frames`, which `name` comes to, are more than the ceiling.
        """
        if num_frames > self.ceiling:
            msg = (
                f"{name} of a video block asks for {num_frames:,} frames, more than the max_frames={self.ceiling} of "
                f"the chat model, which no message can raise; ask for fewer, or set ChatVReason(max_frames=...)"
            )
            raise ConfigError(msg)


@dataclass(frozen=True)
class FrameEvidence:
    """What was looked at: the source as named, the true times of its frames (none for an image), and what was said.

    `subtitles` is `None` where none were asked for or the video has none, and empty where these frames have none.
    """

    source: str
    kind: str
    num_frames: int
    timestamps_seconds: tuple[float, ...]
    subtitles: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        times = [float(second) for second in self.timestamps_seconds]
        return {"source": self.source, "kind": self.kind, "num_frames": self.num_frames, "timestamps_seconds": times}


def evidence_of(looks: Sequence[FrameEvidence]) -> dict[str, Any]:
    """Return `num_frames` and `timestamps_seconds` of what was seen: a frame that several times led to counts once."""
    seen = [tuple(dict.fromkeys(look.timestamps_seconds)) for look in looks]
    num_frames = sum(len(times) if times else look.num_frames for look, times in zip(looks, seen, strict=True))
    return {"num_frames": num_frames, "timestamps_seconds": [float(second) for times in seen for second in times]}


@dataclass(frozen=True)
class FrameLoader:
    """Reads the frames that blocks mean.

    Attributes:
        defaults: Frames to look at where a block does not say.
        read_options: How files are read.
        resize_rule: The resize that frames may get while they are read; `None` keeps their size.
        subtitles: Those that go into the prompt beside the frames of a file: `none`, `auto`, or a path.
        budget: What the prompt may still hold, asked before a frame or an image is decoded; `None` does not ask.
    """

    defaults: FrameDefaults = field(default_factory=FrameDefaults)
    read_options: ReadOptions = DEFAULT_OPTIONS
    resize_rule: ResizeRule | None = None
    subtitles: str = NONE
    budget: ContextBudget | None = None

    def load(self, media: Media) -> tuple[ImagePart | VideoPart, FrameEvidence]:
        """Read what one block means.

        Raises:
            ConfigError: If the hints contradict each other, lie outside the video, or ask for too many frames.
            PromptTooLongError: If the pictures do not fit into the model's context; none is decoded then.
            VideoError: If the file is missing, lies outside the roots, or cannot be decoded.
        """
        if media.frames:
            return self._load_list(media)
        if media.data is not None and media.kind == "image":
            self._add_image(image_sizes([media.data], self.read_options)[0])
            (image,) = read_images([media.data], self.read_options)
            return ImagePart(image), FrameEvidence("inline image", "image", 1, ())
        with self._opened(media) as video:
            info = video.info
            name = media.path or f"inline {media.kind}"
            if info.kind == "image":
                return ImagePart(read_frames(video, [0.0]).images[0]), FrameEvidence(name, "image", 1, ())
            if info.hdr is not None:
                told = f"{info.hdr} video (HDR): its frames are not tone-mapped, so colors look washed out"
                warnings.warn(f"{quote(name)} is {told}", stacklevel=2)
            planned = plan_times(info, media.hints, self.defaults)
            if self.budget is not None:
                self.budget.add_video(planned, info.height_px, info.width_px)
            resize, expected = self._resize(info, len(planned)), self._expected(media.hints)
            frames = read_frames(video, planned, resize=resize, expected=expected)
        times = tuple(float(second) for second in frames.timestamps_seconds)
        return VideoPart(frames.images, times), FrameEvidence(
            name, info.kind, len(times), times, self._said(media, times)
        )

    def _said(self, media: Media, times: Sequence[float]) -> str | None:
        """Return the subtitles at these times, as the prompt shows them; `None` for a video without any."""
        if media.path is None or self.subtitles == NONE:
            return None
        cues = read_subtitles(media.path, self.subtitles, self.read_options)
        return subtitle_text(cues_at(cues, times)) if cues else None

    def _expected(self, hints: Mapping[str, Any]) -> Sequence[float]:
        """Return the times that later messages will ask for, as far as they may."""
        expected: Sequence[float] = hints.get("expected", ())
        return expected if len(expected) <= self.defaults.ceiling else ()

    def _resize(self, info: VideoInfo, num_frames: int) -> Resize | None:
        return None if self.resize_rule is None else self.resize_rule(num_frames, info.height_px, info.width_px)

    @contextmanager
    def _opened(self, media: Media) -> Iterator[VideoReader]:
        """Open a block's file; inline bytes go through a file of ours, which lies in nobody's roots."""
        if media.path is not None:
            self._add_image(still_size(media.path, self.read_options))
            with VIDEO_POOL.opened(media.path, self.read_options) as video:
                yield video
            return
        with _as_file(media) as path:
            options = replace(self.read_options, roots=None)
            self._add_image(still_size(path, options))
            with open_video(path, options, max_cache_bytes=0) as video:
                yield video

    def _add_image(self, size: Size | None) -> None:
        """Take the room that a picture needs, if it is one."""
        if self.budget is not None and size is not None:
            self.budget.add_image(size.height, size.width)

    def _load_list(self, media: Media) -> tuple[VideoPart, FrameEvidence]:
        self.defaults.check("the list of frames", len(media.frames))
        times = _list_times(media.hints, len(media.frames), self.read_options.limits)
        sources = [frame.path or frame.data or b"" for frame in media.frames]
        sizes = image_sizes(sources, self.read_options)
        if self.budget is not None:
            largest = max(sizes, key=lambda size: size.width * size.height)
            self.budget.add_video(times, largest.height, largest.width)
        images = read_images(sources, self.read_options)
        if len({image.shape for image in images}) > 1:
            shapes = sorted({f"{image.shape[1]}x{image.shape[0]}" for image in images})
            msg = f"the frames of one video have different sizes ({', '.join(shapes)} px); resize them to one size"
            raise ConfigError(msg)
        return VideoPart(np.stack(images), times), FrameEvidence("list of frames", "frames", len(images), times)


@contextmanager
def _as_file(media: Media) -> Iterator[str]:
    """Keep the content of inline media in a file of ours for the length of a block.

    Raises:
        VideoError: If the folder for temporary files is missing or full.
    """
    data, folder = media.data or b"", None
    try:
        folder = tempfile.TemporaryDirectory(prefix="vreason-")
        path = os.path.join(folder.name, f"clip{media.suffix}")
        with open(path, "wb") as file:
            file.write(data)
    except OSError as exc:
        if folder is not None:
            folder.cleanup()
        msg = (
            f"{len(data):,} bytes of an inline {media.kind} cannot be written to {quote(_temporary_folder())}: "
            f"{exc.strerror}; free some space there, set TMPDIR to another folder, or give the path of a file"
        )
        raise VideoError(msg) from exc
    with folder:
        yield path


def _temporary_folder() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return os.environ.get("TMPDIR", "/tmp")


def _list_times(hints: Mapping[str, Any], num_frames: int, limits: Limits) -> tuple[float, ...]:
    """Return the times of a list of frames in seconds.

    Raises:
        VideoTooLargeError: If they are further apart than a video may be long.
    """
    fps = hints.get("sample_fps", QWEN_LIST_FPS)
    times = hints.get("timestamps") or [index / fps for index in range(num_frames)]
    seconds = tuple(float(second) for second in times)
    length = max(seconds) - min(seconds)
    if length > limits.max_seconds:
        msg = (
            f"the list of {num_frames} frames is {length:,.1f} s long, more than max_seconds={limits.max_seconds:,g}; "
            "give fewer frames, or say with sample_fps or timestamps how close they are"
        )
        raise VideoTooLargeError(msg)
    return seconds


def plan_times(info: VideoInfo, hints: Mapping[str, Any], defaults: FrameDefaults) -> tuple[float, ...]:
    """Return the times to read, in seconds: those a block names or plans, else temporal pairs spread over its part.

    Raises:
        ConfigError: If the hints are not a part of the video, no plan of it, or ask for more frames than `defaults`.
        VideoError: If the file is cut before the part's end, or the end is needed and not known.
    """
    for name in ("num_frames", "max_frames", "min_frames"):
        if name in hints:
            defaults.check(f"{name}={hints[name]}", hints[name])
    times = _times(info, hints, defaults)
    defaults.check(next((name for name in ("timestamps", "plan", "sample_fps") if name in hints), "part"), len(times))
    return times


def _times(info: VideoInfo, hints: Mapping[str, Any], defaults: FrameDefaults) -> tuple[float, ...]:
    if "timestamps" in hints:
        return tuple(hints["timestamps"])
    start = hints.get("start_seconds", defaults.start_seconds)
    stop = hints.get("stop_seconds", defaults.stop_seconds)
    span = resolve_span(info, start, stop)
    if "plan" in hints:
        return _planned(hints["plan"], span).timestamps_seconds
    if "sample_fps" in hints:
        return _times_by_fps(span, hints)
    low, high = hints.get("min_frames", 0), hints.get("max_frames", defaults.ceiling)
    num_frames = hints.get("num_frames", min(max(defaults.num_frames, low), high))
    max_frames = hints.get("max_frames", max(defaults.max_frames, num_frames))
    return tuple(pairs_plan(*span, num_frames=num_frames, max_frames=max_frames).timestamps_seconds)


def _times_by_fps(span: Span, hints: Mapping[str, Any]) -> tuple[float, ...]:
    """Return times at `sample_fps` within `min_frames` and `max_frames`: evenly spread where these say how many."""
    sample_fps, most, least = hints["sample_fps"], hints.get("max_frames", inf), hints.get("min_frames", 0)
    wanted = (span[1] - span[0]) * sample_fps
    if least <= wanted <= most:
        return tuple(fps_plan(*span, sample_fps=sample_fps).timestamps_seconds)
    num_frames = most - most % 2 or 1 if wanted > most else least + least % 2  # the model reads frames in pairs
    return tuple(uniform_plan(*span, num_frames=num_frames).timestamps_seconds)


def _planned(plan: Any, span: Span) -> FramePlan:
    if not isinstance(plan, Mapping) or not {"start_seconds", "stop_seconds"}.isdisjoint(plan):
        msg = (
            f"plan={quote(plan)}: give its name and options, such as {{'name': 'fps', 'sample_fps': 1.0}}, and no part"
        )
        raise ConfigError(msg)
    options = {str(name): value for name, value in plan.items() if name != "name"}
    return make_plan(str(plan.get("name")), *span, **options)
