"""Where a video changes: cuts between shots, and the moments of most motion.

PySceneDetect (extra `scenes`) judges the pictures, this package's reader gives them, so that every time is a frame's
true time. Long parts are looked at in steps: cost is bounded by a number of frames. Knows no model.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from vreason_agent.errors import ConfigError, DependencyError
from vreason_agent.video.files import Identity
from vreason_agent.video.images import load_cv2
from vreason_agent.video.plans import uniform_plan
from vreason_agent.video.read_options import DEFAULT_OPTIONS, ReadOptions
from vreason_agent.video.reader import VideoReader, open_video
from vreason_agent.video.types import Frames, Span, VideoInfo, resolve_span

SCAN_SIDE_PX = 128  # cuts and motion are seen in small pictures
MAX_PEAKS = 8
_BRIGHTNESS_KEY = "delta_lum"  # of a gray or noisy picture hue and saturation jump without any motion
_SMOOTHING_SECONDS, _MIN_SHOT_SECONDS, _PEAK_GAP_SECONDS = 0.5, 0.5, 1.0
_MIN_PEAK_RATIO, _MIN_PEAK_MOTION = 1.5, 0.01


@dataclass(frozen=True)
class Scenes:
    """Shots and motion of a part of a video.

    Attributes:
        start_seconds: Start of the part.
        stop_seconds: Its end, exclusive.
        cuts_seconds: First frame of every new shot, ascending.
        peaks_seconds: Moments of most motion, strongest first, at most 8; none where motion is even throughout.
        peak_motions: The motion at each of them: mean change of brightness from one frame compared
            to the next, over half a second, in [0, 255].
        step_seconds: Time between the frames that were compared; cuts and peaks are known to within it.
        num_frames: How many were compared.
    """

    start_seconds: float
    stop_seconds: float
    cuts_seconds: tuple[float, ...]
    peaks_seconds: tuple[float, ...]
    peak_motions: tuple[float, ...]
    step_seconds: float
    num_frames: int

    @property
    def shots(self) -> tuple[tuple[float, float], ...]:
        """Start and end of every shot, in seconds, in order."""
        return tuple(pairwise((self.start_seconds, *self.cuts_seconds, self.stop_seconds)))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-plain data, with the shots."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {**plain, "shots": [list(shot) for shot in self.shots]}


def find_scenes(
    video: str | os.PathLike[str] | VideoReader,
    *,
    start_seconds: float | None = None,
    stop_seconds: float | None = None,
    max_frames: int = 600,
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Scenes:
    """Find cuts and motion peaks in a part of a video; the result is kept until the file changes.

    Args:
        video: Path of a video, a GIF or a folder of frames, or what `open_video` opened.
        start_seconds: Start of the part; `None` is the beginning.
        stop_seconds: Its end, exclusive; `None` is the end of the video.
        max_frames: Most frames to compare, at least 2, evenly spread. More find shorter shots and cost more.
        options: How a path is read; of an opened video it is as it was opened.

    Raises:
        ConfigError: A still image, `max_frames` below 2, or as `resolve_span` raises.
        DependencyError: PySceneDetect is not installed.
        VideoError: The file cannot be read there, or its length is needed and not known.
    """
    check_scenes_library()
    if max_frames < 2:
        msg = f"max_frames={max_frames!r}: a change needs two frames; use a number from 2, e.g. max_frames=600"
        raise ConfigError(msg)
    if not isinstance(video, VideoReader):
        with open_video(video, options, max_cache_bytes=0) as opened:
            how = {"start_seconds": start_seconds, "stop_seconds": stop_seconds, "max_frames": max_frames}
            return find_scenes(opened, **how)  # type: ignore[arg-type]
    span = _span(video.info, start_seconds, stop_seconds)
    known = _known_scenes(video.info.path, video.identity, span, max_frames)
    if not known:
        known.append(_scan(video, span, max_frames))
    return known[0]


def check_scenes_library() -> None:
    """Check that PySceneDetect can be loaded.

    Raises:
        DependencyError: If it cannot, or OpenCV, which it needs, cannot.
    """
    load_cv2()
    try:
        import scenedetect  # noqa: F401
    except ImportError as exc:
        msg = "finding scenes needs PySceneDetect, which cannot be loaded: pip install 'vreason-agent[scenes]'"
        raise DependencyError(msg) from exc


def _span(info: VideoInfo, start_seconds: float | None, stop_seconds: float | None) -> Span:
    if info.kind == "image":
        msg = f"{info.path!r} is a still image: scenes are found in videos; give a video"
        raise ConfigError(msg)
    return resolve_span(info, start_seconds, stop_seconds)


@lru_cache(maxsize=64)
def _known_scenes(path: str, identity: Identity, span: Span, max_frames: int) -> list[Scenes]:
    """Return where what was found is kept until the file changes."""
    return []


def _scan(video: VideoReader, span: Span, max_frames: int) -> Scenes:
    start, stop = span
    available = video.info.num_frames_in(start, stop) or max_frames
    plan = uniform_plan(start, stop, num_frames=max(2, min(max_frames, available)))
    frames = video.read(plan.timestamps_seconds, max_side_px=SCAN_SIDE_PX)
    shown = frames.timestamps_seconds
    keep = [i for i, time in enumerate(shown) if i == 0 or time != shown[i - 1]]
    times = [shown[i] for i in keep]
    step = (stop - start) / len(keep)
    cuts, motions = _compare(frames, keep, step)
    motions = _smoothed(_without_cuts(motions, cuts), step)
    peaks = _peaks(times, motions)
    return Scenes(
        start_seconds=start,
        stop_seconds=stop,
        cuts_seconds=tuple(times[cut] for cut in cuts if start < times[cut] < stop),
        peaks_seconds=tuple(times[peak] for peak in peaks),
        peak_motions=tuple(round(motions[peak], 4) for peak in peaks),
        step_seconds=step,
        num_frames=len(keep),
    )


def _compare(frames: Frames, keep: Sequence[int], step_seconds: float) -> tuple[list[int], list[float]]:
    """Return the positions in `keep` that begin a shot, and the motion from the frame before to each."""
    from scenedetect import AdaptiveDetector, FrameTimecode, StatsManager

    detector = AdaptiveDetector(min_scene_len=max(1, round(_MIN_SHOT_SECONDS / step_seconds)))
    detector.stats_manager = StatsManager()
    cuts, codes = [], [FrameTimecode(number, fps=1 / step_seconds) for number in range(len(keep))]
    for position, code in zip(keep, codes, strict=True):
        cuts += detector.process_frame(code, frames.images[position, :, :, ::-1])
    cuts += detector.post_process(codes[-1])
    scores = [detector.stats_manager.get_metrics(code, [_BRIGHTNESS_KEY])[0] for code in codes]
    return [cut.frame_num for cut in cuts], [float(score or 0.0) for score in scores]


def _without_cuts(motions: Sequence[float], cuts: Sequence[int]) -> list[float]:
    """Return the motions with each cut's replaced by its calmer neighbor's, since a cut is no motion."""
    calm = list(motions)
    for cut in cuts:
        calm[cut] = min((*motions[cut - 1 : cut], *motions[cut + 1 : cut + 2]), default=0.0)
    return calm


def _smoothed(motions: Sequence[float], step_seconds: float) -> list[float]:
    reach = round(_SMOOTHING_SECONDS / step_seconds / 2)
    return [fmean(motions[max(0, i - reach) : i + reach + 1]) for i in range(len(motions))]


def _peaks(times: Sequence[float], motions: Sequence[float]) -> list[int]:
    """Return the positions whose motion stands out and is the most within a second, strongest first."""
    least = max(_MIN_PEAK_MOTION, _MIN_PEAK_RATIO * median(motions))
    peaks: list[int] = []
    for position in sorted(range(len(motions)), key=lambda i: -motions[i]):
        near = [i for i, time in enumerate(times) if abs(time - times[position]) < _PEAK_GAP_SECONDS]
        is_highest = motions[position] == max(motions[i] for i in near) and not set(near) & set(peaks)
        if motions[position] > least and is_highest:
            peaks.append(position)
    return peaks[:MAX_PEAKS]
