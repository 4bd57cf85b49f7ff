"""Virtual environments that borrow what they do not replace from the one that runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Return what a command that has to succeed prints; without `env` in this environment, but for `PYTHONPATH`."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([str(part) for part in command], cwd=cwd, env=env or own, capture_output=True, text=True)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def new_environment(folder: Path) -> Path:
    """Make an environment with pip alone; return its Python."""
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    return folder / "bin" / "python"


def borrow_packages(python: Path, *, but: str = "vreason") -> None:
    """Let an environment find this one's packages, after its own; not ours, and none with `but` in its name."""
    folder = python.parents[1]
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    borrowed = folder / "borrowed"
    borrowed.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        is_left_out = "vreason" in entry.name or but in entry.name
        if not is_left_out and entry.suffix != ".pth":  # an editable install's finder stays behind
            (borrowed / entry.name).symlink_to(entry)
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
