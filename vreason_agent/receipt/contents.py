"""What a receipt holds, as plain JSON data: question, answer, attempts with their traces, pictures, versions, digests.

A receipt names the video and the weights by SHA-256, so that a later run knows whether it sees the same. This module
knows no HTML.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vreason_agent import __version__
from vreason_agent.errors import ConfigError, quote
from vreason_agent.qa import VideoQuestion
from vreason_agent.tools.image_blocks import encode_jpeg, fit
from vreason_agent.video import DEFAULT_OPTIONS, ReadOptions, local_path, probe, read_frames

SCHEMA = "vreason.receipt/1"
LIBRARIES = ("torch", "transformers", "langchain-core", "langgraph", "numpy", "opencv-python", "av")
MAX_PICTURES = 64
PICTURE_SIDE_PX = 224
PICTURE_BYTES = 12_000
_DATA = re.compile(r'<script type="application/json" id="receipt">(.*?)</script>', re.DOTALL)
_TIME = re.compile(r"(?<![\d.])(?:(\d+):(\d{2})|(\d+(?:\.\d+)?))(?!\d)(?=[ \t]*(?:s\b)?([^\n]*))")


_SAYS_NOTHING = " -:.,\t\u2013\u2014"


@dataclass
class ReceiptMaker:
    """Collects the events of an answer; with the last of them the receipt can be made.

    Attributes:
        question: What is asked.
        model: The model, as `describe_model` tells, with its weights' digest.
        read_options: How the video is read.
    """

    question: VideoQuestion
    model: Mapping[str, Any]
    read_options: ReadOptions = DEFAULT_OPTIONS
    _traces: list[dict[str, Any]] = field(default_factory=list, init=False)
    _ending: dict[str, Any] = field(default_factory=dict, init=False)

    def watch(self, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Pass events on and keep what the receipt needs."""
        for event in events:
            if event["event"] == "trace":
                self._traces.append({name: event[name] for name in ("attempt", "trace", "token_texts")})
            elif event["event"] == "result":
                self._ending = event
            yield event

    def make(self) -> dict[str, Any]:
        """Return the receipt of the finished answer; the frames that it rests on are read once more for it."""
        result = self._ending["result"]
        path = local_path(self.question.video)
        attempt = result["attempts"][result["best_guess"]["attempt"]]
        return {
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "question": self.question.model_dump(),
            "result": result,
            "seconds": self._ending["seconds"],
            "traces": self._traces,
            "pictures": self._pictures(path, result["frames"], f"{attempt['reasoning']}\n{attempt['text']}"),
            "video": {**probe(path, self.read_options).to_dict(), "sha256": digest_of_file(path)},
            "model": dict(self.model),
            "versions": versions(),
        }

    def _pictures(self, path: str, times: Sequence[float], text: str) -> list[dict[str, Any]]:
        """Return the frames that were looked at, small; past the limit those that are cited and evenly chosen ones."""
        cited = cited_times(text, times)
        pairs = [tuple(times[start : start + 2]) for start in range(0, len(times), 2)]  # what the model reads as one
        cited = {time for pair in pairs if cited.intersection(pair) for time in pair}
        chosen = list(times)
        if len(chosen) > MAX_PICTURES:
            step = -(-len(chosen) // MAX_PICTURES)
            chosen = sorted({*chosen[::step], *cited})[: 2 * MAX_PICTURES]
        frames = read_frames(path, chosen or [0.0], options=self.read_options)
        rows = zip(chosen or [0.0], frames.images, strict=True)
        return [{"seconds": second, "is_cited": second in cited, "jpeg": _small_jpeg(image)} for second, image in rows]


def cited_times(text: str, times: Sequence[float]) -> set[float]:
    """Return those frame times (seconds) that a text names and says something about.

    A time is named as `5.4`, `5.4 s` or `0:05`, to the precision written; a line that has nothing but a dash after it
    says nothing.
    """
    cited: set[float] = set()
    for match in _TIME.finditer(text):
        minutes, seconds, plain, rest = match.groups()
        if not rest.strip(_SAYS_NOTHING):
            continue
        named = 60.0 * int(minutes) + int(seconds) if minutes else float(plain)
        places = len(plain.partition(".")[2]) if plain else 0
        distance, nearest = min(((abs(time - named), time) for time in times), default=(1e9, 0.0))
        if (places or minutes) and distance <= 0.5 * 10**-places + 1e-9:
            cited.add(nearest)
    return cited


def digest_of_file(path: str | os.PathLike[str]) -> str | None:
    """Return a file's SHA-256 in hex; of a folder, that of its files' names and contents, in order."""
    digest = hashlib.sha256()
    files = sorted(entry for entry in Path(path).iterdir() if entry.is_file()) if os.path.isdir(path) else [Path(path)]
    for file in files:
        digest.update(file.name.encode() if len(files) > 1 else b"")
        with file.open("rb") as stream:
            while chunk := stream.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what an answer depends on."""
    found = {"vreason-agent": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def read_receipt(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the receipt in an HTML page, or in a JSON file.

    Raises:
        ConfigError: The file is not there, or holds none.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{quote(os.fspath(path))} cannot be read: {exc}; give a receipt of ask --report") from exc
    found = _DATA.search(text)
    try:
        data = json.loads(found[1] if found else text)
    except ValueError:
        data = None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        msg = f"{quote(os.fspath(path))} is no receipt of the form {SCHEMA}; make one with: vreason-agent ask --report"
        raise ConfigError(msg)
    return data


def _small_jpeg(image: Any) -> str:
    return base64.b64encode(encode_jpeg(fit(image, PICTURE_SIDE_PX), max_bytes=PICTURE_BYTES)).decode()
