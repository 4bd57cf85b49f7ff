"""Where two receipts of the same question differ, from what was given to what came out.

This module compares plain data and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vreason_agent.errors import quote


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Attributes:
        what: What differs, in words.
        before: Its value in the first receipt.
        after: Its value in the second.
        is_outcome: Whether it belongs to the answer rather than to what the answer depends on.
    """

    what: str
    before: Any
    after: Any
    is_outcome: bool

    def __str__(self) -> str:
        """Return the difference as a line."""
        return f"{self.what}: {quote(self.before)} before, {quote(self.after)} now"


def compare_receipts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return what differs: circumstances first, then the outcome, attempt by attempt, down to the first token."""
    return [*_circumstances(before, after), *_outcome(before, after)]


def _circumstances(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    given = {
        "the video's content (sha256)": ("video", "sha256"),
        "the model": ("model", "name"),
        "the weights": ("model", "weights_digest"),
        "the device": ("model", "device"),
        "the precision": ("model", "dtype"),
    }
    names = [*before["versions"], *(name for name in after["versions"] if name not in before["versions"])]
    given |= {f"version of {name}": ("versions", name) for name in names}
    for what, (part, name) in given.items():
        if before[part].get(name) != after[part].get(name):
            yield Difference(what, before[part].get(name), after[part].get(name), is_outcome=False)


def _outcome(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    first, second = before["result"], after["result"]
    for index, (one, other) in enumerate(zip(first["attempts"], second["attempts"], strict=False)):
        for name in ("timestamps_seconds", "answer"):
            if one[name] != other[name]:
                yield Difference(f"attempt {index + 1}, {name}", one[name], other[name], is_outcome=True)
    if len(first["attempts"]) != len(second["attempts"]):
        num_before, num_after = len(first["attempts"]), len(second["attempts"])
        yield Difference("number of attempts", num_before, num_after, is_outcome=True)
    for index, (one, other) in enumerate(zip(before["traces"], after["traces"], strict=False)):
        tokens, others = one["trace"]["token_ids"], other["trace"]["token_ids"]
        if tokens != others:
            pairs = zip(tokens, others, strict=False)
            step = next((step for step, (a, b) in enumerate(pairs) if a != b), min(len(tokens), len(others)))
            said, says = ((trace["token_texts"][step : step + 1] or ["the end"])[0] for trace in (one, other))
            yield Difference(f"attempt {index + 1}, token {step + 1}", said, says, is_outcome=True)
    for name in ("answer", "choice"):
        if first[name] != second[name]:
            yield Difference(name, first[name], second[name], is_outcome=True)
