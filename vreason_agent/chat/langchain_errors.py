"""This package's errors as LangChain's: what `ChatVReason` raises is both, so that either `except` works.

A `ConfigError` from here is also a `ModelInvalidRequestError`, an overflowing prompt a `ContextOverflowError`, and so
on. This module knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelTimeoutError,
)

from vreason_agent.errors import ConfigError, GenerationError, ModelLoadError, VideoError, VReasonError

_PARTNERS: tuple[tuple[type[VReasonError], type[ModelError]], ...] = (
    (ConfigError, ModelInvalidRequestError),
    (VideoError, ModelInvalidRequestError),
    (ModelLoadError, ModelNotFoundError),
    (VReasonError, ModelError),
)
_mixed: dict[type[VReasonError], type[VReasonError]] = {}


class PromptTooLongError(GenerationError, ContextOverflowError):
    """The prompt and its frames do not fit into the model's context."""


class GenerationTimeoutError(GenerationError, ModelTimeoutError):
    """The answer was not finished within `timeout` seconds."""


@contextmanager
def as_langchain_errors() -> Iterator[None]:
    """Raise this package's errors as classes that are LangChain's too, with the same message."""
    try:
        yield
    except ModelError:
        raise
    except VReasonError as exc:
        raise mixed_class(type(exc))(*exc.args) from exc


def mixed_class(error: type[VReasonError]) -> type[VReasonError]:
    """Return the class of the same name that is also the LangChain error with the same meaning."""
    if error not in _mixed:
        partner = next(partner for ours, partner in _PARTNERS if issubclass(error, ours))
        _mixed[error] = type(
            error.__name__, (error, partner), {"__module__": error.__module__, "__doc__": error.__doc__}
        )
    return _mixed[error]
