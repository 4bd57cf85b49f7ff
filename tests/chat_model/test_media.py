from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vreason_agent.chat.frame_loader import FrameLoader
from vreason_agent.chat.media import Media, read_block
from vreason_agent.errors import ConfigError
from vreason_agent.model import VideoPart

DATA = base64.b64encode(b"bytes").decode()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "video", "url": "/clips/a.mp4"},
        {"type": "video", "url": "file:///clips/a.mp4"},
        {"type": "video_url", "video_url": {"url": "file:///clips/a.mp4"}},
        {"type": "video_url", "video_url": "/clips/a.mp4"},
        {"type": "video", "video": "/clips/a.mp4"},
        {"type": "video", "path": "/clips/a.mp4"},
        {"type": "file", "mime_type": "video/mp4", "url": "/clips/a.mp4"},
    ],
)
def test_every_spelling_of_a_video_file_is_the_same_video(block: dict[str, Any]) -> None:
    media = read_block(block)
    assert media is not None
    assert (media.kind, media.path) == ("video", "/clips/a.mp4")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": DATA, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{DATA}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        {"type": "media", "mime_type": "image/png", "data": DATA},
        {"type": "media", "mime_type": "image/png", "data": b"bytes"},
        {"type": "image", "mimeType": "image/png", "data": DATA},
        {"type": "image", "base64": f"data:image/png;base64,{DATA}"},
        {"type": "image", "base64": f" {DATA[:4]}\r\n{DATA[4:].rstrip('=')}\n", "mime_type": "image/png"},
        {"type": "image", "url": f"DATA:image/png;name=a.png;charset=x;BASE64,{DATA.replace('=', '%3D')}"},
        {"type": "image", "url": "data:image/png,%62ytes"},
    ],
)
def test_every_spelling_of_inline_data_is_the_same_image(block: dict[str, Any]) -> None:
    media = read_block(block)
    assert media is not None
    assert (media.kind, media.data, media.suffix) == ("image", b"bytes", ".png")


def test_a_video_in_an_image_block_is_a_video() -> None:
    for block in (
        {"type": "image_url", "image_url": {"url": f"data:video/mp4;codecs=avc1;base64,{DATA}"}},
        {"type": "image", "base64": DATA, "mime_type": "video/mp4"},
        {"type": "image", "source": {"type": "base64", "media_type": "video/mp4", "data": DATA}},
    ):
        media = read_block({**block, "fps": 1.0})
        assert media is not None
        assert (media.kind, media.data, media.suffix, media.hints) == ("video", b"bytes", ".mp4", {"sample_fps": 1.0})


def test_a_list_of_frames_is_a_video_of_images() -> None:
    media = read_block({"type": "video", "video": ["/a.png", f"data:image/png;base64,{DATA}"], "sample_fps": 4.0})
    assert media is not None
    assert [frame.path for frame in media.frames] == ["/a.png", None]
    assert media.hints == {"sample_fps": 4.0}


def test_hints_are_read_from_extras() -> None:
    media = read_block({"type": "video", "url": "/a.mp4", "extras": {"num_frames": 8, "start_seconds": 1.0}})
    assert media is not None
    assert media.hints == {"num_frames": 8, "start_seconds": 1.0}


def test_other_blocks_are_none_of_its_business() -> None:
    assert read_block({"type": "text", "text": "hello"}) is None
    assert read_block({"type": "file", "mime_type": "application/pdf", "url": "/a.pdf"}) is None


@pytest.mark.parametrize(
    ("block", "match"),
    [
        ({"type": "video", "url": "https://example.com/a.mp4"}, "download the file and give its path"),
        ({"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}, "nothing is fetched from a network"),
        ({"type": "video", "video": ["ftp://host/a.png"]}, "nothing is fetched from a network"),
        ({"type": "video"}, "has no source; give 'url'"),
        ({"type": "video", "file_id": "f-1"}, "has no source; give 'url'"),
        ({"type": "video", "base64": DATA}, "give one such as 'video/mp4'"),
        ({"type": "image", "url": "data:image/png"}, "with a comma before the data"),
        ({"type": "image", "base64": "?", "mime_type": "image/png"}, "encode the file with base64.b64encode"),
        ({"type": "video", "url": "/a.mp4", "extras": {"num_frame": 8}}, "use one of: start_seconds, stop_seconds"),
        ({"type": "video", "video": [3]}, "int is no source of image data; give a path"),
    ],
)
def test_a_block_that_cannot_be_read_says_what_to_give(block: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_block(block)


def test_hdr_video_is_read_with_a_warning(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"color_trc": "18"})
        stream.width, stream.height = 64, 48
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    with pytest.warns(UserWarning, match=r"a\.mp4' is HLG video \(HDR\): its frames are not tone-mapped"):
        part, _ = FrameLoader().load(Media(kind="video", path=str(tmp_path / "a.mp4")))
    assert isinstance(part, VideoPart)
    assert len(part.images) == 4
