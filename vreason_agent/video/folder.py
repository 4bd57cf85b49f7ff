"""A folder of pictures as the frames of one video: whether one is missing among them. Decodes nothing."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from vreason_agent.errors import VideoError
from vreason_agent.video.source import IMAGE_SUFFIXES

_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9]*)")


def check_folder(folder: str, frame_paths: Sequence[str]) -> None:
    """Refuse a folder with an entry that is named as a picture and is none that can be opened.

    Args:
        folder: Its absolute path.
        frame_paths: The pictures that can be.

    Raises:
        VideoError: If there is one, such as a link to a picture that was moved: left out, it would move those behind it
            to earlier times.
    """
    known = {os.path.basename(path) for path in frame_paths}
    with os.scandir(folder) as entries:
        named = {entry.name for entry in entries if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.is_dir()}
    if odd := sorted(named - known):
        msg = (
            f"{odd[0]!r} in the folder {folder!r} is a link that leads nowhere, or no regular file; put the picture "
            f"there, or remove it for a video without that frame, e.g. with: rm {odd[0]}"
        )
        raise VideoError(msg)


def gap_note(frame_paths: Sequence[str]) -> str:
    """Say which numbers are left out of names that otherwise count on evenly; empty for none, and for other names.

    Args:
        frame_paths: The pictures in natural order.
    """
    numbers = _numbers(frame_paths)
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps:
        return ""
    step, count = Counter(steps).most_common(1)[0]
    gaps = [place for place, width in enumerate(steps) if width != step]
    if not gaps or step < 1 or 2 * count <= len(steps):
        return ""
    before, after = (os.path.basename(frame_paths[gaps[0] + more]) for more in (0, 1))
    others = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
    return f"a gap in the numbers of the pictures ({before!r} to {after!r}{others}): times count those that are there"


def _numbers(frame_paths: Sequence[str]) -> list[int]:
    """Return the last number of each name, if the names differ in nothing else."""
    stems = [os.path.splitext(os.path.basename(path))[0] for path in frame_paths]
    matches = [match for match in map(_NUMBERED.fullmatch, stems) if match is not None]
    is_one_series = len(matches) == len(stems) and len({match.group(1, 3) for match in matches}) == 1
    return [int(match[2]) for match in matches] if is_one_series else []
