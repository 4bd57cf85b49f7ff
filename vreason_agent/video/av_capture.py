"""PyAV behind one door: importing it, opening a checked file with it, its packets' times and its frames.

The only module of the reading path that names PyAV (extra `av`). Knows no plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np

from vreason_agent.errors import DependencyError, VideoDecodeError, VideoTooLargeError
from vreason_agent.video.announced import Announced
from vreason_agent.video.capture import MAX_FAILED_GRABS
from vreason_agent.video.edit_list import shown_seconds
from vreason_agent.video.fragments import is_fragmented
from vreason_agent.video.images import Picture, on_white
from vreason_agent.video.info import VideoStream
from vreason_agent.video.limits import Limits, check_pixels
from vreason_agent.video.pinned import pinned_name
from vreason_agent.video.source import Source

_FROM_ZERO = ("matroska", "asf", "flv")  # their length counts from 0 s, be the first frame later
_HDR_TRANSFERS: dict[int, Literal["PQ", "HLG"]] = {16: "PQ", 18: "HLG"}  # AVColorTransferCharacteristic
_STILL_CODECS = {"mjpeg", "png", "bmp", "webp", "tiff"}


def load_av() -> ModuleType:
    """Return PyAV.

    Raises:
        DependencyError: If it cannot be loaded.
    """
    try:
        import av
    except ImportError as exc:
        msg = "backend='av' needs PyAV, which cannot be loaded: pip install 'vreason-agent[av]'"
        raise DependencyError(msg) from exc
    return av


class AvCapture:
    """A file that PyAV has open, at its first video stream that is no cover picture; use as a context manager.

    A stream of a codec for pictures is read where there is no other.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        """Open a checked file; no other one is opened, whatever has come into its place.

        Raises:
            VideoDecodeError: If no video stream can be opened, or the file has changed.
            VideoTooLargeError: If its frames exceed `limits.max_pixels`.
        """
        self._av, self._source, self._path = load_av(), source, source.path
        try:
            with pinned_name(source) as name:
                self._container = self._av.open(name, options={"protocol_whitelist": "file"}, metadata_errors="ignore")
        except self._av.error.FFmpegError as exc:  # its text is native and stays out of the message
            raise VideoDecodeError(_unopened(self._path)) from exc
        streams = self._container.streams.video
        shown = [stream for stream in streams if not stream.disposition & self._av.stream.Disposition.attached_pic]
        if all(stream.codec_context is None for stream in shown):
            self._container.close()
            raise VideoDecodeError(_unopened(self._path))
        self._stream = next((stream for stream in shown if not _is_still(stream)), shown[0])
        self._decoder = _alpha_decoder(self._av, self._stream, limits)
        self._stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}  # a stream may grow midway
        self._stream.thread_type = "AUTO"
        self.streams = tuple(_described(stream, is_read=stream is self._stream) for stream in shown)
        self._rotation = 0
        self._check_size(limits)

    def __enter__(self) -> AvCapture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def upright_size(self) -> tuple[int, int]:
        """Return width and height in pixels, turned as the frames that were decoded so far are."""
        width, height = self._stream.width, self._stream.height
        return (height, width) if self._rotation % 180 else (width, height)

    def announced_frames(self, first_seconds: float | None = None) -> tuple[int, ...]:
        """Return how many frames the container announces, or what its length can mean; nothing where it tells neither.

        Args:
            first_seconds: When the first frame is shown, where that is known: a length may count from the first packet,
                which cannot always be decoded, or in some containers from 0 s.
        """
        if self._stream.frames and not is_fragmented(self._source):
            return (int(self._stream.frames),)
        rate, container = self.announced_fps(), self._container
        if not rate or not container.duration or container.duration < 0:
            return ()
        begin = 0 if container.format.name.startswith(_FROM_ZERO) else container.start_time or 0
        lead = 0 if first_seconds is None else first_seconds - begin / self._av.time_base
        seconds = container.duration / self._av.time_base
        return tuple(round(rate * length) for length in (seconds, seconds - max(0.0, lead)) if length > 0)

    def announced_fps(self) -> float:
        """Return the mean rate that the container announces; 0 where it announces none."""
        return float(self._stream.average_rate or 0)

    def announced(self, first_seconds: float) -> Announced:
        """Return what the container announces, where its first frame is shown then."""
        frames, is_counted = self.announced_frames(first_seconds), bool(self._stream.frames)
        return Announced(frames, self.announced_fps(), is_counted, self.shown_seconds())

    def shown_seconds(self) -> float | None:
        """Return how long an MP4 announces to show the stream, without what an edit list hides; else `None`."""
        if not self._container.format.name.startswith("mov"):
            return None
        duration = self._stream.duration
        return shown_seconds(self._source) or (float(duration * self._stream.time_base) if duration else None)

    @property
    def is_order_told(self) -> bool:
        """Whether packets tell when frames are shown: those of an AVI are numbered as they are decoded."""
        return not (self._container.format.name == "avi" and self._stream.codec_context.has_b_frames)

    def packet_times(self) -> Iterator[tuple[float | None, bool]]:
        """Step through the packets that are shown, in their order in the file.

        Yields presentation time in seconds, `None` where one has none, and whether it is decoded without others.
        """
        for packet in self._packets():
            if packet.size and not packet.is_discard:
                yield None if packet.pts is None else self._seconds(packet.pts), packet.is_keyframe

    def frames(self) -> Iterator[tuple[float, Any]]:
        """Decode from where the file stands, over damaged places; yields presentation time in seconds and frame.

        The frame is `None` from a damaged place to the next keyframe: the decoder conceals what it lacks, and frames
        refer to frames. A codec without checksums, such as VP8, may conceal damage and not tell.
        """
        num_failed, is_damaged = 0, False
        for packet in self._packets():
            try:
                decoded = (
                    packet.decode() if self._decoder is None else self._decoder.decode(packet if packet.size else None)
                )
            except self._av.error.FFmpegError as exc:
                num_failed, is_damaged = num_failed + 1, True
                if num_failed > MAX_FAILED_GRABS:
                    raise VideoDecodeError(_damaged(self._path)) from exc
                continue
            for frame in decoded:
                num_failed, self._rotation = 0, frame.rotation
                if frame.pts is None:
                    msg = f"{self._path!r} has frames without a time, which backend='av' cannot read; use 'opencv'"
                    raise VideoDecodeError(msg)
                is_damaged = frame.is_corrupt or (is_damaged and not frame.key_frame)
                yield self._seconds(frame.pts), None if is_damaged else frame

    def seek(self, seconds: float) -> None:
        """Jump to the keyframe at or before a presentation time; what `frames` gives next tells where that was."""
        try:
            self._container.seek(round(seconds / self._stream.time_base), stream=self._stream)
            if self._decoder is not None:
                self._decoder.flush_buffers()
        except self._av.error.FFmpegError as exc:
            raise VideoDecodeError(_damaged(self._path)) from exc

    def _decoded(self, packet: Any) -> Sequence[Any]:
        """Decode a packet, or what is left where it is the empty one at the end."""
        if self._decoder is None:
            return cast(Sequence[Any], packet.decode())
        return cast(Sequence[Any], self._decoder.decode(packet if packet.size else None))

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.error.FFmpegError:  # the end of a file that is cut
                return
            if packet is None:
                return
            yield packet

    def _seconds(self, pts: int) -> float:
        return float(pts * self._stream.time_base)

    def _check_size(self, limits: Limits) -> None:
        try:
            check_pixels(repr(self._path), self._stream.width, self._stream.height, limits)
        except VideoTooLargeError:
            self.close()
            raise


def picture_of(frame: Any) -> Picture | None:
    """Return a frame as a player shows it, `uint8 (height, width, 3)` in RGB, upright; `None` if it cannot be had."""
    has_alpha = any(component.is_alpha for component in frame.format.components) or frame.format.has_palette
    try:
        picture = frame.to_ndarray(format="rgba" if has_alpha else "rgb24")
    except (load_av().error.FFmpegError, ValueError):  # a pixel format that cannot be converted; its text is native
        return None
    if has_alpha:
        picture = on_white(picture[..., :3], picture[..., 3:])
    return np.ascontiguousarray(np.rot90(picture, frame.rotation // 90 % 4))


def hdr_transfer(source: Source) -> Literal["PQ", "HLG"] | None:
    """Return a file's HDR transfer where its header tells one and PyAV is installed; OpenCV does not tell."""
    try:
        av = load_av()
    except DependencyError:
        return None
    try:
        with pinned_name(source) as name, av.open(name, options={"protocol_whitelist": "file"}) as container:
            contexts = [stream.codec_context for stream in container.streams.video]
            names = [_HDR_TRANSFERS.get(int(context.color_trc or 0)) for context in contexts if context is not None]
    except (av.error.FFmpegError, UnicodeDecodeError):
        return None
    return next(filter(None, names), None)


def _alpha_decoder(av: Any, stream: Any, limits: Limits) -> Any:
    """Return what decodes a WebM's transparency, which FFmpeg's own decoders leave out; `None` for any other stream."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.codec.canonical_name, "")
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    decoder = av.CodecContext.create(name, "r")
    decoder.options = {"max_pixels": str(limits.max_pixels)}
    return decoder


def _is_still(stream: Any) -> bool:
    """Whether a stream may be a cover: some containers do not mark one."""
    context = stream.codec_context
    return context is None or context.codec.canonical_name in _STILL_CODECS


def _described(stream: Any, *, is_read: bool) -> VideoStream:
    context = stream.codec_context
    codec = None if context is None else context.codec.canonical_name
    return VideoStream(stream.width, stream.height, codec, is_read)


def _unopened(path: str) -> str:
    return (
        f"no video stream of {path!r} can be opened: the file is truncated, damaged or holds only audio; "
        f"try to repair it: ffmpeg -i {os.path.basename(path)} -c copy repaired.mp4"
    )


def _damaged(path: str) -> str:
    return (
        f"{path!r} cannot be decoded there; ask for other times, or re-encode it: ffmpeg -i INPUT -c:v libx264 OUT.mp4"
    )
