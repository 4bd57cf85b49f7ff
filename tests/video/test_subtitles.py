"""Subtitles beside a video and in it: true times, plain words, and one error for what cannot be read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vreason_agent.errors import ConfigError, VideoError
from vreason_agent.video import Isolation, ReadOptions
from vreason_agent.video.subtitles import Cue, cues_at, read_subtitles, subtitle_text

SRT = "1\n00:00:00,500 --> 00:00:01,500\nHello <i>there</i>\nfriend\n\n2\n00:00:02,000 --> 00:00:03,000\nBye {now}\n"
VTT = "WEBVTT\n\n00:00.500 --> 00:01.500\nHello <b>there</b> friend\n\n00:02.000 --> 00:03.000\nBye\n"
CUES = (Cue(0.5, 1.5, "Hello there friend"), Cue(2.0, 3.0, "Bye"))


def write_video(path: Path, *, has_subtitles: bool = False) -> Path:
    """Four seconds of grey; with subtitles as a stream of their own."""
    with av.open(str(path), "w") as container, av.open(io.BytesIO(SRT.encode()), format="srt") as texts:
        video = container.add_stream("mpeg4", rate=8)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        written = container.add_stream_from_template(texts.streams.subtitles[0]) if has_subtitles else None
        for number in range(32):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * number, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        packets: Any = texts.demux() if has_subtitles else ()  # type: ignore[union-attr]
        for packet in packets:
            if packet.pts is not None:
                packet.stream = written
                container.mux(packet)
    return path


@pytest.mark.parametrize(("suffix", "text"), [(".srt", SRT), (".vtt", VTT)])
def test_a_file_beside_the_video_is_found_and_read(tmp_path: Path, suffix: str, text: str) -> None:
    video = write_video(tmp_path / "clip.mp4")
    assert read_subtitles(video) == ()
    (tmp_path / f"clip{suffix}").write_text(text)
    assert read_subtitles(video) == CUES
    assert read_subtitles(video, "none") == ()
    assert read_subtitles(tmp_path / "other.mp4", tmp_path / f"clip{suffix}") == CUES


def test_subtitles_in_the_video_are_read(tmp_path: Path) -> None:
    assert read_subtitles(write_video(tmp_path / "clip.mkv", has_subtitles=True)) == CUES


def test_what_is_shown_at_the_frames_goes_into_the_prompt_with_its_time() -> None:
    assert cues_at(CUES, [0.0, 0.5, 1.4, 1.5]) == [CUES[0]]
    assert subtitle_text(CUES) == "Subtitles at these frames:\n0.5 s: Hello there friend\n2.0 s: Bye"
    assert subtitle_text([]) == ""


def test_what_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4")
    with pytest.raises(ConfigError, match=r"give an .srt or .vtt file, 'auto' or 'none'"):
        read_subtitles(video, tmp_path / "notes.txt")
    with pytest.raises(VideoError, match="no such file or folder"):
        read_subtitles(video, tmp_path / "gone.srt")
    with pytest.raises(ConfigError, match="not in isolation; use subtitles='none', or no isolation"):
        read_subtitles(video, "auto", ReadOptions(isolation=Isolation()))
    (tmp_path / "garbage.srt").write_bytes(b"garbage \x00\xff")
    with pytest.raises(VideoError, match=r"garbage\.srt' holds no subtitles that can be read"):
        read_subtitles(video, tmp_path / "garbage.srt")
    (tmp_path / "clip.srt").write_text(SRT)
    with pytest.raises(VideoError, match="outside"):
        read_subtitles(video, "auto", ReadOptions(roots=[str(tmp_path / "elsewhere")]))
