"""`python -m vreason_agent`: the command line."""

from vreason_agent.cli import main

raise SystemExit(main())
