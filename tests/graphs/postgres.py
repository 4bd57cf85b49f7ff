"""A PostgreSQL server of a test's own: Debian's, on loopback, in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def why_not() -> str | None:
    """Return why no server can be started or talked to here, with what to install; `None` if it can."""
    missing = [name for name in ("langgraph.checkpoint.postgres", "psycopg") if find_spec(name) is None]
    if missing:
        return f"{missing} not installed: pip install langgraph-checkpoint-postgres 'psycopg[binary]'"
    if _program("pg_ctl") is None:
        return "no PostgreSQL server: apt-get install postgresql"
    if os.geteuid() == 0 and _owner() is None:
        return "the server refuses to run as root, and there is no user 'postgres': apt-get install postgresql"
    return None


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server for the length of a block; give the connection string of its empty database."""
    with tempfile.TemporaryDirectory(prefix="vreason-pg-", dir="/tmp") as folder:  # a socket's path must be short
        if (owner := _owner()) is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data, port = f"{folder}/data", _free_port()
        _run("initdb", "-D", data, "-U", "vreason", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync")
        settings = f"-h 127.0.0.1 -p {port} -k {folder} -F"
        _run("pg_ctl", "-D", data, "-l", f"{folder}/log", "-o", settings, "-w", "start")
        try:
            yield f"postgresql://vreason@127.0.0.1:{port}/postgres"
        finally:
            _run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _owner() -> pwd.struct_passwd | None:
    """Return the user to run as: the server refuses root."""
    if os.geteuid() != 0:
        return None
    return next((user for user in pwd.getpwall() if user.pw_name == "postgres"), None)


def _program(name: str) -> str | None:
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))


def _run(name: str, *arguments: str) -> None:
    owner = _owner()
    user: dict[str, Any] = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    command = [str(_program(name)), *arguments]
    subprocess.run(command, check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **user)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
