"""Which library decodes: OpenCV, or PyAV where the caller asks for it; never one in the other's place.

Knows no plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from vreason_agent.errors import ConfigError
from vreason_agent.video.cv_reading import begin_reading, index_frames, walk_frames
from vreason_agent.video.images import Picture
from vreason_agent.video.index import FrameIndex
from vreason_agent.video.limits import Limits
from vreason_agent.video.opencv import load_cv2
from vreason_agent.video.source import Source
from vreason_agent.video.stepping import Stepper
from vreason_agent.video.watch import Find, OnStep, Watch, unwatched

Backend = Literal["opencv", "av"]


class FrameStepper(Protocol):
    """Moves an open file to frames by number; see `Stepper`."""

    @property
    def index(self) -> FrameIndex:
        """The frames."""

    def confirm(self, watch: Watch, *, by_tables: bool = False) -> None:
        """See whether what the index says is so; see `Stepper.confirm`."""

    def picture(self, target: int, on_step: OnStep = unwatched) -> Picture:
        """Return frame `target`, `uint8 (height, width, 3)` in RGB, at full size."""

    def close(self) -> None:
        """Release the file."""


@dataclass(frozen=True)
class Decoder:
    """What a backend does for a video or GIF file.

    Attributes:
        index: Finds every frame's time; watched, where a watch is given.
        walk: Finds them by decoding all, likewise.
        begin: Opens the file for its frames and finds their times on the way.
        stepper: Opens the file for frames that are known.
    """

    index: Find[FrameIndex]
    walk: Find[FrameIndex]
    begin: Callable[[Source, Limits, Watch], FrameStepper]
    stepper: Callable[[Source, FrameIndex, Limits], FrameStepper]


def decoder_of(backend: Backend) -> Decoder:
    """Return the functions of a backend, loaded.

    Raises:
        ConfigError: If there is no such backend.
        DependencyError: If its library cannot be loaded.
    """
    if backend not in get_args(Backend):
        msg = f"backend={backend!r} is not known; use 'opencv', or 'av' for what OpenCV cannot decode, such as AV1"
        raise ConfigError(msg)
    load_cv2()  # scales pictures for both
    if backend == "opencv":
        return Decoder(index_frames, walk_frames, begin_reading, lambda source, index, limits: Stepper(source, index))
    from vreason_agent.video import av_capture, av_reading

    av_capture.load_av()
    return Decoder(av_reading.index_frames, av_reading.walk_frames, av_reading.begin_reading, av_reading.AvStepper)
