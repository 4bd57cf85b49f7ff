"""Reading the small files of a model folder: a damaged one raises a `ModelLoadError` that names it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vreason_agent.errors import ConfigError, ModelLoadError, quote

__all__ = ["AGAIN", "check_readable", "optional_json", "read_json", "read_text", "values_of"]

AGAIN = "Download the file again: hf download REPO --local-dir FOLDER"
"""What to do about a damaged file."""


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text.

    Raises:
        ModelLoadError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise ModelLoadError(f"{quote(str(path))} is not UTF-8 text ({exc}). {AGAIN}") from exc
    except OSError as exc:
        raise ModelLoadError(f"{quote(str(path))} cannot be read ({exc}). Check its permissions: ls -l") from exc


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        ModelLoadError: it cannot be read, is not JSON, or is something else than an object.
    """
    try:
        data = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as exc:
        raise ModelLoadError(f"{quote(str(path))} is not valid JSON ({exc}). {AGAIN}") from exc
    if not isinstance(data, dict):
        raise ModelLoadError(f"{quote(str(path))} holds a JSON {type(data).__name__}, not an object. {AGAIN}")
    return data


def optional_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object; `{}` where there is none."""
    return read_json(path) if path.is_file() else {}


def check_readable(folder: Path, names: Iterable[str]) -> None:
    """Read those of the files that are there, `.json` files as objects.

    Raises:
        ModelLoadError: names the first that is damaged.
    """
    for path in (folder / name for name in names):
        if path.is_file():
            read_json(path) if path.suffix == ".json" else read_text(path)


@contextmanager
def values_of(files: str, source: str, *, remedy: str = AGAIN) -> Iterator[None]:
    """Raise what values of a wrong kind or size lead to as a `ModelLoadError` that names the files they come from."""
    try:
        yield
    except (ConfigError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
        found = " ".join(str(exc).split())[:300] or type(exc).__name__
        raise ModelLoadError(
            f"{files} of model {quote(source)} holds values that cannot be used ({found}). {remedy}"
        ) from exc
