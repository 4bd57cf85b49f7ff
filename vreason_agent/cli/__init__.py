"""The command line: the only part of the package that prints and that turns its exceptions into exit codes.

Exit codes: 0 answered, 1 found on opening, loading or running, 2 wrong arguments (seen without opening a file),
3 abstained, 130 interrupted. Nothing heavy is imported until a command runs. This module knows the commands by name
only.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from vreason_agent.cli import ask, demo_video, doctor, probe
from vreason_agent.cli.parser import Parser, UsageError
from vreason_agent.cli.terminal import native_noise_silenced, silence_libraries
from vreason_agent.errors import VReasonError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def build_parser() -> Parser:
    """Return the parser of `vreason-agent` with all its commands."""
    from vreason_agent import __version__

    parser = Parser(
        prog="vreason-agent",
        description="Answer questions about videos with a local video-language model under V-Reason decoding.",
        epilog="Exit codes: 0 answered, 1 failed, 2 wrong arguments, 3 abstained, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"vreason-agent {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in (ask, demo_video, probe, doctor):
        command.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every error becomes one line on stderr."""
    try:
        arguments = _parse(argv)
        silence_libraries()
        with native_noise_silenced():
            code: int = arguments.run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    except VReasonError as error:
        return _fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has gone; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except SystemExit as stop:  # --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        if os.environ.get("VREASON_TRACEBACK") == "1":
            raise
        fault = f"unexpected {type(error).__name__}: {error}"
        return _fail(f"{fault}; a fault of the program: set VREASON_TRACEBACK=1 to see where", EXIT_FAILED)
    return code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; those that a command does not know lead to that command's help."""
    arguments, unknown = build_parser().parse_known_args(argv)
    if unknown:
        msg = f"unrecognized arguments: {' '.join(unknown)}; run: vreason-agent {arguments.command} --help"
        raise UsageError(msg)
    return arguments


def _fail(message: str, code: int) -> int:
    """Print the one line a failed command leaves."""
    line = " ".join(message.split())
    print(f"vreason-agent: error: {line}" if code != EXIT_INTERRUPTED else f"vreason-agent: {line}", file=sys.stderr)
    return code
