"""The exception tree of the package.

    VReasonError
    ├── ConfigError (ValueError)              a field, argument or combination that is not allowed
    ├── DependencyError (ImportError)         an optional or system library is missing or broken
    ├── VideoError                            anything about a video, image or folder of frames
    │   ├── VideoNotFoundError (FileNotFoundError)
    │   ├── VideoDecodeError                  the file is there, its pictures cannot be had
    │   └── VideoTooLargeError                a limit on bytes, pixels, frames or seconds
    ├── ModelLoadError                        weights, config or device
    ├── GenerationError                       a prompt that does not fit, a failed decode
    └── EvaluationError                       a dataset or result file that cannot be used

Every message says what was given, what is allowed or was found, and what to do next. This module knows nothing else of
the package and imports only the standard library.
"""

from __future__ import annotations


class VReasonError(Exception):
    """Base of every error this package raises on purpose; the command line prints its message without a traceback."""


class ConfigError(VReasonError, ValueError):
    """An argument or configuration field is out of its range, unknown, or contradicts another."""


class DependencyError(VReasonError, ImportError):
    """A library that the call needs is missing or cannot be loaded; the message ends in the install command."""


class VideoError(VReasonError):
    """Base of the errors about a video, an image or a folder of frames."""


class VideoNotFoundError(VideoError, FileNotFoundError):
    """No file or folder at the given path."""

    def __str__(self) -> str:
        """Return the message alone (`FileNotFoundError` would print it as an errno pair)."""
        return str(self.args[0]) if self.args else ""


class VideoDecodeError(VideoError):
    """The file exists but its frames cannot be decoded, or not those that were asked for."""


class VideoTooLargeError(VideoError):
    """The video exceeds a limit on bytes, pixels, frames or seconds."""


class ModelLoadError(VReasonError):
    """A model cannot be found, loaded or placed on the device."""


class GenerationError(VReasonError):
    """A prompt cannot be answered: it exceeds the context, or decoding failed."""


class EvaluationError(VReasonError):
    """A dataset, run file or comparison cannot be used."""


MAX_QUOTED_CHARS = 200
"""An error repeats at most this much of what a user, a file or a model gave."""


def quote(value: object) -> str:
    """Return the `repr` of something given, shortened in the middle to at most `MAX_QUOTED_CHARS`, for a message.

    A value whose `repr` fails, such as an integer of more than 4,300 digits, is named by its type.
    """
    try:
        return shorten(repr(value))
    except Exception:
        return f"<{type(value).__name__}>"


def shorten(text: str) -> str:
    """Return a text with its middle left out where it is longer than `MAX_QUOTED_CHARS`, as `quote` does."""
    if len(text) <= MAX_QUOTED_CHARS:
        return text
    kept = MAX_QUOTED_CHARS - len(" … ")
    return f"{text[: kept - kept // 2]} … {text[-(kept // 2) :]}"


def is_utf8(text: str) -> bool:
    """Return whether a text can be encoded: bytes that are not UTF-8 reach Python as lone surrogates.

    Native libraries crash the process or raise on such a text, so it is refused before they see it.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
