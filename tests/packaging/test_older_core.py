"""The oldest langchain-core that `pyproject.toml` allows: the chat model's tests pass on it too.

The tested set pins the newest core that installs, 1.8.3; this environment has the other end, 1.7.2. All else is
borrowed, langchain and langgraph included: the pinned ones accept that core.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.packaging.environments import borrow_packages, new_environment, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
CORE = "langchain-core"


def oldest_allowed() -> str:
    """Return the lower bound of core in `pyproject.toml`."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = [re.match(rf"{CORE}>=([\d.]+),", dependency) for dependency in dependencies]
    (found,) = [bound[1] for bound in bounds if bound]
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with that core, or a skip where no index has it."""
    folder = tmp_path_factory.mktemp("environment")
    python = new_environment(folder)
    wanted = f"{CORE}=={oldest_allowed()}"
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", wanted]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip().rpartition("\n")[2]
        pytest.skip(f"{wanted} cannot be installed here: {reason}")
    borrow_packages(python, but="langchain_core")
    return python


def test_the_chat_models_tests_pass_on_the_oldest_core_that_is_allowed(python: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**inherited, "PYTHONPATH": str(ROOT)}
    shown = run(python, "-c", "import langchain_core as c; print(c.__version__)", cwd=ROOT, env=environment)
    assert shown.strip() == oldest_allowed()
    chosen = [
        "tests/chat_model",
        "-m",
        "not gpu",
        "--deselect",
        "tests/chat_model/test_standard_scripted.py::TestScriptedV1",
    ]
    pytest_command = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", *chosen]
    said = run(*pytest_command, cwd=ROOT, env=environment)
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) > 200
