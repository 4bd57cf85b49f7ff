"""`vreason-agent mcp`: video tools for agents of others, over stdio or streamable HTTP.

This module knows the transports' settings and no tool.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from vreason_agent.cli.parser import (
    UsageError,
    add_model_options,
    add_reading_options,
    check_extra,
    check_revision,
    name,
    read_options_of,
    whole_number,
)
from vreason_agent.errors import quote


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "mcp",
        help="serve video tools to agents over the Model Context Protocol",
        description="Serve the tools list_videos, probe, ask_video, decide, sample_frames, zoom and find_scenes over "
        "the Model Context Protocol: on stdin and stdout, which is how most clients start a server, or by streamable "
        "HTTP at http://127.0.0.1:PORT/mcp. Clients reach files inside the --root folders only. Needs the extra mcp.",
    )
    add = parser.add_argument
    add("--root", type=name, action="append", required=True, metavar="DIR", help="folder of videos; repeatable")
    add("--http", type=whole_number, metavar="PORT", help="serve by streamable HTTP on this machine, not by stdio")
    add_model_options(parser)
    add_reading_options(parser)
    parser.set_defaults(run=run, seed=None)


def run(arguments: argparse.Namespace) -> int:
    """Serve until the client leaves, or until interrupted."""
    check_extra("mcp", "mcp")
    check_revision(arguments)
    for root in arguments.root:
        if not os.path.isdir(root):
            raise UsageError(f"--root {quote(root)} is not a folder; give a folder that exists")
    from vreason_agent.cli.ask_model import make_chat_model
    from vreason_agent.mcp_server import create_mcp_server

    roots = tuple(os.path.abspath(root) for root in arguments.root)
    read_options = replace(read_options_of(arguments), roots=roots)
    server = create_mcp_server(lambda: make_chat_model(arguments), read_options)
    if arguments.http is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=arguments.http)
    return 0
