"""Read mutants whose paths come on standard input; a line per mutant says how it ended. A program of its own.

It runs under a limit on memory, so that a decoder that dies or grows ends this process and no other.
"""

from __future__ import annotations

import resource
import sys
import time

from vreason_agent.errors import VideoError
from vreason_agent.video import Limits, ReadOptions, read_frames

MAX_BYTES = 3 * 2**30  # address space: the decoder and its threads map about one
OPTIONS = ReadOptions(limits=Limits(max_bytes=2**20, max_pixels=2**20, max_decoded_frames=500, max_seconds=600.0))


def ending(path: str) -> str:
    """Return `frames`, or the kind of the typed error; anything else ends the process."""
    try:
        frames = read_frames(path, [0.0, 0.5], options=OPTIONS)
    except VideoError as error:
        if "0x" in str(error):
            raise RuntimeError(path) from error
        return type(error).__name__
    return "frames" if frames.images.shape[0] == 2 else "short"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    for line in sys.stdin:
        start = time.monotonic()
        how = ending(line.rstrip("\n"))
        sys.stdout.write(f"{how} {time.monotonic() - start:.3f}\n")
        sys.stdout.flush()
