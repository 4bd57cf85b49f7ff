"""The `vreason-agent` command, also run by `python -m vreason_agent`.

Ctrl-C while modules load ends it without a traceback. This module knows one function of the command line.
"""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from vreason_agent.cli import main
    except KeyboardInterrupt:
        print("vreason-agent: interrupted", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    raise SystemExit(main())
