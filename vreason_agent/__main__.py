"""`python -m vreason_agent`: the command line."""

from vreason_agent.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
