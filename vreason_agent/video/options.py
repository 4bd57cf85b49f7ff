"""How files are read, as one value that goes from a public door down to the decoder. Opens no file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import get_args

from vreason_agent.errors import ConfigError, quote
from vreason_agent.video.backend import Backend
from vreason_agent.video.isolated import Isolation
from vreason_agent.video.limits import DEFAULT_LIMITS, Limits
from vreason_agent.video.source import Roots, check_roots


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    Attributes:
        roots: Folders that files must lie in, links resolved; `None` allows any file that the process can read.
        limits: Upper bounds on files and reads, which no message can raise.
        isolation: Read in a separate process under these limits, so that a decoder that dies or hangs is an error;
            `None` reads in this one.
        backend: What decodes videos and GIFs: `"opencv"`, or `"av"` for what OpenCV cannot, such as AV1.

    Raises:
        ConfigError: If `roots` is no list of paths, or there is no such backend.
    """

    roots: Roots | None = None
    limits: Limits = DEFAULT_LIMITS
    isolation: Isolation | None = None
    backend: Backend = "opencv"

    def __post_init__(self) -> None:
        if self.backend not in get_args(Backend):
            msg = f"backend={quote(self.backend)} is not known; use one of: {', '.join(get_args(Backend))}"
            raise ConfigError(msg)
        if self.roots is not None:
            check_roots(self.roots)
            object.__setattr__(self, "roots", tuple(os.fsdecode(root) for root in self.roots))


DEFAULT_OPTIONS = ReadOptions()
