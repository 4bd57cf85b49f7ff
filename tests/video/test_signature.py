"""Whatever is a video passes by its first bytes, cut at its beginning too; text and scripts never do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.video.conftest import numbered, oracle_pictures, oracle_times
from vreason_agent.errors import VideoDecodeError
from vreason_agent.video import probe, read_frames
from vreason_agent.video.signature import has_script_words, is_text, is_video_head

PRINTABLE = bytes(range(32, 127)) + b"\t\n\r"


def encoded(path: Path, *, num_frames: int = 100, movflags: str = "") -> bytes:
    """Return numbered frames at 25 a second in the container that a name tells."""
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream: Any = container.add_stream("mpeg2video", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(index), format="bgr24")))
        container.mux(stream.encode())
    return path.read_bytes()


def lengthened(data: bytes, *, before: int = 0, after: int = 0) -> bytes:
    """Put bytes around each packet of 188, as recorders and receivers do."""
    packets = (data[at : at + 188] for at in range(0, len(data), 188))
    return b"".join(b"\x2a" * before + packet + b"\xa5" * after for packet in packets)


VARIANTS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "TS with time stamps (m2ts)": ("a.ts", lambda data: lengthened(data, before=4)),
    "TS with error correction": ("a.ts", lambda data: lengthened(data, after=16)),
    "TS that begins within a packet": ("a.ts", lambda data: data[100:]),
    "TS that begins within a later packet": ("a.ts", lambda data: data[1000:]),
    "TS with time stamps that begins within a packet": ("a.ts", lambda data: lengthened(data, before=4)[191:]),
    "MPEG-PS that begins within a pack": ("a.mpg", lambda data: data[500:]),
    "MPEG-PS that begins within a later pack": ("a.mpg", lambda data: data[5000:]),
    "a segment of an MP4": ("a.mp4", lambda data: b"\0\0\0\x18stypmsdh\0\0\0\0msdhmsix" + data),
    "an MP4 with free space in front": ("a.mp4", lambda data: b"\0\0\0\x10free" + bytes(8) + data),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_a_container_is_read(tmp_path: Path, variant: str):
    name, change = VARIANTS[variant]
    flags = "frag_keyframe+empty_moov+default_base_moof" if name == "a.mp4" else ""
    path = tmp_path / f"changed-{name}"
    path.write_bytes(change(encoded(tmp_path / name, movflags=flags)))
    info = probe(path)
    assert info.num_frames is not None
    assert 40 <= info.num_frames <= 100  # all from the first keyframe on; a pack of this one holds many
    pictures, end = oracle_pictures(path), oracle_times(path)[-1]
    frames = read_frames(path, [0.0, 1.0, end])
    for image, index in zip(frames.images, frames.frame_indices, strict=True):
        assert np.array_equal(image, pictures[index])
    assert frames.timestamps_seconds[-1] == pytest.approx(end, abs=0.0011)
    assert frames.frame_indices[-1] == len(pictures) - 1  # MPEG-PS may have two frames of one time midway


@pytest.mark.parametrize("stride", [188, 192, 204])
def test_text_whose_letters_stand_like_a_streams_marks_never_passes(stride: int):
    """Every packet's header is as a stream has it, in letters, as far as letters can be."""
    rng = random.Random(stride)
    for _ in range(200):
        text = bytearray(rng.choices(PRINTABLE, k=20 * stride))
        for at in range(rng.randrange(stride), len(text) - 5, stride):
            text[at : at + 5] = b"G" + bytes([*rng.choices(PRINTABLE, k=2), rng.choice(b"0123456789 !"), 45])
        head = bytes(text)
        assert is_text(head)
        assert not is_video_head(head)
        assert not is_video_head(head + bytes([0]))  # one byte that no text has makes no stream of it


def test_random_bytes_do_not_pass():
    rng = random.Random(5)
    heads = [rng.randbytes(4096) for _ in range(300)]
    assert [is_video_head(b"\x01" + head) for head in heads] == [False] * 300


@pytest.mark.parametrize(
    "code", [b"\x00\x00\x01\xf3\x00\x00", b"\x00\x00\x01\xe0\x00\x00", b"\x00\x00\x01\xaf\x00\x04"]
)
def test_numbers_that_look_like_start_codes_make_no_stream(code: bytes):
    """As in compiled Python files: little numbers, of streams that there are not or without content."""
    assert not is_video_head(b"\xa7\x0d\x0d\x0a" + code * 200)


def test_fewer_than_three_packets_in_sequence_make_no_program_stream():
    packet = b"\x00\x00\x01\xe0\x00\x20" + bytes([0x80, 0x80, 5]) + bytes(29)
    assert is_video_head(b"\xa7" * 99 + packet * 3)
    assert not is_video_head(b"\xa7" * 99 + packet * 2)


@pytest.mark.parametrize("change", [{3: 0x00}, {3: 0xD0}, {3: 0x30, 4: 184}, {0: 0x48}])
def test_a_packet_that_is_none_makes_no_stream(change: dict[int, int]):
    """No content, scrambled, a field longer than the packet, no mark."""
    packet = bytearray(b"G\x01\x00\x10" + bytes(184))
    assert is_video_head(bytes(packet) * 3)
    assert not is_video_head(bytes(packet) * 2)
    other = bytearray(packet)
    for at, value in change.items():
        other[at] = value
    assert not is_video_head(bytes(packet * 2 + other + packet * 2))
    assert is_video_head(bytes(packet * 2 + other + packet * 8))  # one that is damaged


SCRIPTS = {
    "HLS": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsibling.mp4\n",
    "concat": b"ffconcat version 1.0\nfile sibling.mp4\n",
    "SDP": b"v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "DASH": b'<MPD profiles="URN:MPEG:DASH:PROFILE:isoff-on-demand:2011"></MPD>\n',
    "SDP behind the mark of a packet": b"Go\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "SDP behind the mark of a box": b"abcdfree\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "SDP behind a tag that FFmpeg skips": b"ID3\x03\0\0\0\0\0\x01\0v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("stream", ["a.ts", "a.mpg"])
def test_a_script_with_a_stream_behind_it_never_reaches_the_decoder(tmp_path: Path, opened, script, stream):
    data = encoded(tmp_path / stream, num_frames=20)
    assert not has_script_words(data)
    for content in (SCRIPTS[script], SCRIPTS[script] + data):
        (tmp_path / "clip.ts").write_bytes(content)
        with pytest.raises(
            VideoDecodeError, match=r"content is (text|another format|a script or playlist)\); give an mp4"
        ):
            probe(tmp_path / "clip.ts")
    assert opened == []


def test_a_script_far_behind_the_first_packets_never_reaches_the_decoder(tmp_path: Path, opened):
    data = encoded(tmp_path / "a.ts", num_frames=20)
    (tmp_path / "clip.ts").write_bytes(data + b"\n" * 500_000 + SCRIPTS["SDP"])
    with pytest.raises(VideoDecodeError, match=r"content is a script or playlist\); give an mp4"):
        probe(tmp_path / "clip.ts")
    assert opened == []


@pytest.mark.parametrize("text", ["the free world", "Go there\n" * 60, "a/b/skip\n", "\u00e4\u00f6free\u00fc" * 40])
def test_prose_that_holds_the_name_of_a_box_is_text(tmp_path: Path, opened, text: str):
    (tmp_path / "a.mp4").write_text(text, encoding="utf-8")
    with pytest.raises(VideoDecodeError, match=r"content is text\); give an mp4"):
        probe(tmp_path / "a.mp4")
    assert opened == []
