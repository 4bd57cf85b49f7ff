"""One rule says which part of a video is meant, for the command, the graph and the chat model alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vreason_agent.chat.frame_loader import FrameDefaults, plan_times
from vreason_agent.errors import ConfigError, VideoDecodeError, VideoError
from vreason_agent.video import VideoInfo, resolve_span

WHOLE = VideoInfo("/v.mp4", "video", 25.0, 200, 8.0, 64, 48, "h264", True, 200, 8.0)
CUT = replace(WHOLE, num_frames=120, readable_seconds=4.8)
ENDLESS = replace(WHOLE, duration_seconds=None, readable_seconds=None)
IMAGE = replace(WHOLE, kind="image", video_fps=None, num_frames=1, duration_seconds=0.0, readable_seconds=None)


def test_what_is_left_out_is_filled_in_and_what_is_past_the_end_ends_there():
    for info, start, stop, span in [
        (WHOLE, None, None, (0.0, 8.0)),
        (WHOLE, 2.0, None, (2.0, 8.0)),
        (WHOLE, None, 3.0, (0.0, 3.0)),
        (WHOLE, 1.0, 99.0, (1.0, 8.0)),
        (CUT, 1.0, 4.0, (1.0, 4.0)),
        (ENDLESS, 5.0, 60.0, (5.0, 60.0)),
        (IMAGE, None, None, (0.0, 0.0)),
    ]:
        assert resolve_span(info, start, stop) == span


def test_what_is_no_readable_part_is_an_error():
    for info, start, stop, error, match in [
        (WHOLE, 8.0, None, ConfigError, r"start 8 s is not before the end of '/v.mp4' at 8\.00 s; give an earlier"),
        (WHOLE, 3.0, 2.0, ConfigError, r"start 3 s, stop 2 s: no part of '/v.mp4'; use 0 <= start < stop"),
        (WHOLE, -1.0, 2.0, ConfigError, "use 0 <= start < stop"),
        (WHOLE, float("nan"), None, ConfigError, "use 0 <= start < stop"),
        (IMAGE, 5.0, None, ConfigError, "is an image and has no times; leave start and stop out"),
        (IMAGE, None, 9.0, ConfigError, "is an image and has no times; leave start and stop out"),
        (CUT, None, None, VideoDecodeError, "truncated or damaged: 120 of 200 frames .* get the whole file"),
        (CUT, 0.0, 5.0, VideoDecodeError, r"ask for a part that ends there \(stop_seconds=4\.800\)"),
        (ENDLESS, 5.0, None, VideoError, "does not say how long it is; give the end"),
    ]:
        with pytest.raises(error, match=match):
            resolve_span(info, start, stop)


def test_a_chat_model_asked_about_a_cut_file_fails_before_any_frame_is_read():
    with pytest.raises(VideoDecodeError, match="get the whole file"):
        plan_times(CUT, {}, FrameDefaults())
    assert plan_times(CUT, {"stop_seconds": 4.0, "num_frames": 2}, FrameDefaults(max_frames=2)) == (0.0, 2.0)


def test_a_part_holds_its_share_of_the_frames() -> None:
    assert [WHOLE.num_frames_in(4.0, stop) for stop in (8.0, 5.0, 4.01)] == [100, 25, 0]
    assert ENDLESS.num_frames_in(0.0, 1.0) is None
