"""The command line: the only part of the package that prints and that turns its exceptions into exit codes.

Exit codes: 0 answered, 1 found on opening, loading or running, 2 wrong arguments (seen without opening a file),
3 abstained, 130 interrupted. Nothing heavy is imported until a command runs. This module knows the commands by name
only.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Sequence

from vreason_agent.cli import (
    ask,
    batch,
    calibrate,
    decide,
    demo_video,
    doctor,
    eval,
    mcp,
    pages,
    probe,
    receipts,
    serve,
    ui,
)
from vreason_agent.cli.parser import Parser, UsageError
from vreason_agent.cli.terminal import native_noise_silenced, replace_unencodable, silence_libraries
from vreason_agent.errors import VReasonError, quote, shorten

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


def build_parser() -> Parser:
    """Return the parser of `vreason-agent` with all its commands."""
    from vreason_agent import __version__

    parser = Parser(
        prog="vreason-agent",
        description="Answer questions about videos with a local video-language model and V-Reason decoding.",
        epilog="Exit codes: 0 answered, 1 failed, 2 wrong arguments, 3 abstained, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"vreason-agent {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in (ask, decide, demo_video, probe, doctor, serve, eval, receipts, pages, batch, mcp, ui, calibrate):
        command.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every error becomes one line on stderr, with `--json` an object too."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        replace_unencodable()
        arguments = _parse(words)
        silence_libraries()
        with native_noise_silenced():
            code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _fail(error, str(error), EXIT_USAGE, words)
    except VReasonError as error:
        return _fail(error, str(error), EXIT_FAILED, words)
    except KeyboardInterrupt as error:
        return _fail(error, "interrupted", EXIT_INTERRUPTED, words)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has gone; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except SystemExit as stop:  # --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        if isinstance(error, OSError) and (remedy := _remedy_of(error)):
            return _fail(error, f"{error}; {remedy}", EXIT_FAILED, words)
        if os.environ.get("VREASON_TRACEBACK") == "1":
            raise
        message = (
            f"unexpected {type(error).__name__}: {error}. This is a bug in vreason-agent. Set VREASON_TRACEBACK=1 to "
            "see the traceback, and please report it."
        )
        return _fail(error, message, EXIT_FAILED, words)


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; those that a command does not know lead to that command's help."""
    arguments, unknown = build_parser().parse_known_args(words)
    if unknown:
        msg = f"unrecognized arguments: {' '.join(map(quote, unknown))}; run: vreason-agent {arguments.command} --help"
        raise UsageError(msg)
    return arguments


def _remedy_of(error: OSError) -> str | None:
    """Return what to do about a machine's failure; `None` where a bug of ours is as likely."""
    if error.errno in NO_SPACE:
        return "free some disk space, or choose another folder (for temporary files by TMPDIR)"
    if "temporary directory" in str(error):
        return "set TMPDIR to a folder that exists and can be written to"
    return "check the permissions, or choose another file or folder" if error.errno in NOT_ALLOWED else None


def _fail(error: BaseException, message: str, code: int, words: Sequence[str]) -> int:
    """Tell why a command failed: one line on stderr, and with `--json` an object on stdout."""
    for word in words:  # argparse repeats a whole argument
        message = message.replace(repr(word), quote(word)).replace(word, shorten(word)) if len(word) > 200 else message
    line = " ".join(message.split())
    print(f"vreason-agent: error: {line}" if code != EXIT_INTERRUPTED else f"vreason-agent: {line}", file=sys.stderr)
    if "--json" in words:
        failure = {"name": type(error).__name__, "message": line, "exit_code": code}
        print(json.dumps({"answer": None, "error": failure}), flush=True)
    return code
