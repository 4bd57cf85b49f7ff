"""A local HTTP server in OpenAI's shapes: chat completions with videos, decisions, metrics; needs the extra `serve`.

`app` has the routes, `gate` the key, limits and errors, `requests` what clients send, `completion` what they get
back; generations share forward passes in a `SharedQueue`. This package knows no command line.
"""

from __future__ import annotations

from vreason_agent.errors import DependencyError

try:
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as exc:
    msg = f"the server needs {exc.name}; run: pip install 'vreason-agent[serve]'"
    raise DependencyError(msg) from exc

from vreason_agent.serve.app import ServeSettings, create_app

__all__ = ["ServeSettings", "create_app"]
