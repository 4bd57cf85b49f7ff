"""Whether a file's first bytes are those of a video container, and of nothing that makes FFmpeg open other files.

A stream may be cut before its first bytes, so that MPEG-TS is known by packets in sequence and MPEG-PS by one packet
right behind another. FFmpeg takes text for a script by a word in it, within the first MiB and up to a zero byte. Opens
no file.
"""

from __future__ import annotations

HEAD_BYTES = 1 << 16  # a packet of MPEG-PS is no longer
PROBED_BYTES = 1 << 20  # so much FFmpeg looks at to tell the format
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")  # no text has one
_MP4_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_VIDEO_HEADS = (
    b"\x1a\x45\xdf\xa3",
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
)
_MPEG_HEADS = (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")
_SCRIPT_WORDS = (  # lower case: FFmpeg takes some in any
    b"#extm3u",
    b"ffconcat version",
    b"c=in ip",  # SDP
    b"dash:profile",
    b"<compositionplaylist",
    b"# vobsub index file",
)
_TS_STRIDES = (188, 192, 204)  # bare, with a time stamp (.m2ts), with error correction
_MIN_TS_PACKETS, _MAX_TS_PACKETS = 3, 8  # in sequence: what there are of so many, as few letters may stand so anywhere
_TS_LEAD_BYTES = 2048  # one of the first may be damaged
_MIN_PS_PACKETS = 3
_START_CODE, _PACK, _LAST_STREAM = b"\x00\x00\x01", 0xBA, 0xEF  # what is below are parts of a video stream


def is_video_head(head: bytes) -> bool:
    """Tell whether a file of which `head` is the first `HEAD_BYTES` may be a video."""
    return not is_text(head) and (_has_table(head) or is_mpeg_stream(head))


def is_mpeg_stream(head: bytes) -> bool:
    """Tell whether a file of these first bytes is MPEG-TS or -PS, which list neither frames nor keyframes."""
    if _has_table(head):
        return False
    return head.startswith(_MPEG_HEADS) or _has_ts_packets(head) or _has_streams(head)


def counts_frames(head: bytes) -> bool:
    """Tell whether a file of these first bytes is MP4 or AVI, which count their frames instead of telling a length."""
    return (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or head[4:8] in _MP4_BOXES


def _has_table(head: bytes) -> bool:
    return counts_frames(head) or head.startswith(_VIDEO_HEADS)


def is_text(head: bytes) -> bool:
    """Tell whether bytes hold none that text never has."""
    return _CONTROLS.isdisjoint(head)


def has_script_words(probed: bytes) -> bool:
    """Tell whether FFmpeg may take a file of which these are the first `PROBED_BYTES` for a script or playlist."""
    text = b"" if probed[:1] == b"\x00" else probed.lower()
    return any(word in text for word in _SCRIPT_WORDS)


def _has_ts_packets(head: bytes) -> bool:
    at = head.find(b"G", 0, _TS_LEAD_BYTES)
    while at >= 0:
        if any(_is_ts(head, at, stride) for stride in _TS_STRIDES):
            return True
        at = head.find(b"G", at + 1, _TS_LEAD_BYTES)
    return False


def _is_ts(head: bytes, at: int, stride: int) -> bool:
    """Whether packets follow each other from there on; text may look so but for a byte that it never has."""
    end = min(at + stride * _MAX_TS_PACKETS, len(head) - 187)
    packets = [head[begin : begin + 5] for begin in range(at, end, stride)]
    is_stream = len(packets) >= _MIN_TS_PACKETS and all(map(_is_ts_packet, packets))
    return is_stream and not is_text(b"".join(packet[:4] for packet in packets))


def _is_ts_packet(packet: bytes) -> bool:
    """Whether five bytes begin a packet that is neither scrambled nor without content, as ISO/IEC 13818-1 has it."""
    if packet[0] != 0x47:
        return False
    is_scrambled, has_adaptation, has_payload = packet[3] & 0xC0, packet[3] & 0x20, packet[3] & 0x10
    return not is_scrambled and bool(has_adaptation or has_payload) and (not has_adaptation or packet[4] <= 183)


def _has_streams(head: bytes) -> bool:
    """Whether packs or packets of MPEG-PS are there, right behind each other: a start code may stand in any file."""
    at = head.find(_START_CODE)
    while at >= 0:
        behind: int | None = at
        for _ in range(_MIN_PS_PACKETS):
            behind = None if behind is None else _end_of_stream(head, behind)
        if behind is not None:
            return True
        at = head.find(_START_CODE, at + 1)
    return False


def _end_of_stream(head: bytes, at: int) -> int | None:
    """Return where a packet ends by its length, or a pack's header, of MPEG-2 with stuffing or of MPEG-1."""
    start = head[at : at + 14]
    length = int.from_bytes(start[4:6], "big")
    if len(start) < 14 or start[:3] != _START_CODE or not _PACK <= start[3] <= _LAST_STREAM or length == 0:
        return None
    if start[3] != _PACK:
        return at + 6 + length
    return at + (14 + (start[13] & 7) if start[4] & 0xC0 == 0x40 else 12)
