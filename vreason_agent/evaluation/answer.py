"""What an answering system gave for one question, as plain data.

This module does not know whether the answer is right, nor how it was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer with what it cost and the signals that came with it.

    Attributes:
        text: Raw output.
        answer: Final answer read from it; `None` when it could not be parsed.
        choice: Option letter, if the system names one.
        reasoning: What came before the answer.
        signals: Raw confidence signals by name; `None` is "not computed".
        num_frames: Frames looked at in all attempts together.
        num_tokens: Tokens generated in all attempts together.
        seconds: Wall time, a batch's time shared equally among its questions.
        decision: What an agent decided (`"accept"`, `"abstain"`); `None` without an agent.
        token_hash: Identifies the generated token sequence, so that runs can be compared token for token.
        error: Why there is no answer; such a row counts as wrong.
        details: Anything else worth keeping (an agent's reasons).
    """

    text: str
    answer: str | None
    choice: str | None = None
    reasoning: str | None = None
    signals: Mapping[str, float | None] = field(default_factory=dict)
    num_frames: int = 0
    num_tokens: int = 0
    seconds: float = 0.0
    decision: str | None = None
    token_hash: str | None = None
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_error(cls, error: Exception) -> Answer:
        """Return the row of a question that raised: no answer, and the error's type and message."""
        return cls(text="", answer=None, error=f"{type(error).__name__}: {error}")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Answer:
        """Read what `to_dict` wrote; keys that a later version added are ignored."""
        names = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in record.items() if key in names})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data without the fields that are empty."""
        return {
            key: value
            for key, value in asdict(self).items()
            if key in ("text", "answer") or value not in (None, {}, "")
        }


def hash_tokens(token_ids: Sequence[int]) -> str:
    """Return twelve hex digits that identify a sequence of token ids."""
    return hashlib.sha256(",".join(str(token) for token in token_ids).encode()).hexdigest()[:12]
