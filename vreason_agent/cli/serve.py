"""`vreason-agent serve`: answer HTTP requests in OpenAI's shapes until interrupted.

This module knows the server's settings and nothing of its routes.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
from dataclasses import replace
from typing import Any

from vreason_agent.cli.parser import (
    DEFAULT_MAX_FRAMES,
    UsageError,
    add_model_options,
    add_reading_options,
    check_extra,
    check_revision,
    frame_count,
    name,
    read_options_of,
    whole_number,
)
from vreason_agent.cli.terminal import Progress
from vreason_agent.errors import quote

DEFAULT_PORT = 8000
KEY_VARIABLE = "VREASON_API_KEY"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "serve",
        help="answer HTTP requests in OpenAI's shapes",
        description="Serve the model at http://127.0.0.1:8000/v1 for any OpenAI client: chat completions with videos "
        "and images, streamed or whole, with confidence and V-Reason's trace; decisions at /v1/systemone, metrics at "
        "/metrics. Needs the extra serve. Ctrl-C ends it: running answers are finished first.",
    )
    add = parser.add_argument
    add("--host", type=name, default="127.0.0.1", metavar="H", help="address to bind to (default: 127.0.0.1)")
    add(
        "--port",
        type=whole_number,
        default=DEFAULT_PORT,
        metavar="N",
        help="port; 0 chooses a free one (default: 8000)",
    )
    add("--root", type=name, action="append", metavar="DIR", help="folder whose files requests may name; repeatable")
    add(
        "--api-key",
        type=name,
        metavar="KEY",
        help=f"key that clients must send (default: ${KEY_VARIABLE}; prefer that, as arguments can be seen)",
    )
    add("--allow-download", action="store_true", help="let requests name https URLs of public addresses")
    add("--batch-size", type=whole_number, default=8, metavar="N", help="answers generated together (default: 8)")
    add(
        "--max-waiting",
        type=whole_number,
        default=64,
        metavar="N",
        help="requests that may wait; the next ones get 429 (default: 64)",
    )
    add(
        "--max-frames",
        type=frame_count,
        default=DEFAULT_MAX_FRAMES,
        metavar="N",
        help=f"most frames that a request may ask of a video (default: {DEFAULT_MAX_FRAMES})",
    )
    add_model_options(parser)
    add_reading_options(parser)
    add("--quiet", action="store_true", help="no notes on stderr, only errors")
    parser.set_defaults(run=run, seed=None)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    check_extra("serve", "fastapi", "uvicorn", "prometheus_client")
    check_revision(arguments)
    if arguments.batch_size < 1:
        raise UsageError("--batch-size 0 would write no answer; use at least 1")
    for root in arguments.root or []:
        if not os.path.isdir(root):
            raise UsageError(f"--root {quote(root)} is not a folder; give a folder that exists")
    progress = Progress(quiet=arguments.quiet)
    with listening(arguments.host, arguments.port) as listener:
        progress.line("loading the model ...")
        import uvicorn

        from vreason_agent.cli.ask_model import make_chat_model, model_facts
        from vreason_agent.serve import ServeSettings, create_app

        is_local = is_loopback(arguments.host)
        key = arguments.api_key or os.environ.get(KEY_VARIABLE) or None
        read_options = replace(read_options_of(arguments), roots=tuple(arguments.root or ()))
        chat_model: Any = make_chat_model(arguments)
        chat_model = chat_model.for_call(None, {"read_options": read_options, "max_frames": arguments.max_frames})
        model = model_facts(chat_model)
        settings = ServeSettings(
            api_key=key,
            allow_download=arguments.allow_download,
            local_only=is_local,
            max_rows=arguments.batch_size,
            max_waiting=arguments.max_waiting,
        )
        config = uvicorn.Config(
            create_app(chat_model, settings),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=30,
        )
        if not (is_local or key):
            progress.line(f"warning: {arguments.host} can be reached by others and there is no --api-key")
        host, port = listener.getsockname()[:2]
        progress.line(f"model: {model['name']} on {model['device']}")
        progress.line(f"serving http://{f'[{host}]' if ':' in host else host}:{port}/v1 (Ctrl-C ends)")
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, before anything slow is loaded.

    Raises:
        UsageError: if the address cannot be bound to.
    """
    if port > 65_535:
        raise UsageError(f"--port {port} is not a port; use 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        msg = f"--host {quote(host)} --port {port} cannot be bound to ({exc.strerror or exc}); try --port 0"
        raise UsageError(msg) from exc


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
