"""The built sdist and wheel, and the installed command, away from this source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.packaging.environments import borrow_packages, new_environment, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the files under version control: no build may read anything else."""
    folder = tmp_path_factory.mktemp("source")
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, names):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).exists():
            shutil.copyfile(ROOT / name, target)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """Build the sdist, and the wheel from the sdist."""
    log = run(sys.executable, "-m", "build", "--outdir", source / "dist", cwd=source)
    assert "is absent from the `packages` configuration" not in log
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a new environment; its dependencies are borrowed from this one."""
    folder = tmp_path_factory.mktemp("environment")
    python = new_environment(folder)
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=folder)
    borrow_packages(python)
    return python


@pytest.fixture
def folder_with_its_own_tools(tmp_path: Path) -> Path:
    for name in ("tools", "graphs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the user's own package was imported')\n")
    return tmp_path


def test_the_wheel_holds_exactly_the_listed_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packages = {str(Path(name).parent).replace("/", ".") for name in names if name.endswith(".py")}
    assert sorted(packages) == sorted(PACKAGES)
    assert {name.partition("/")[0] for name in names} <= {"vreason_agent"} | {
        name.partition("/")[0] for name in names if ".dist-info/" in name
    }


def test_the_wheel_holds_the_type_marker_and_the_weights_within_their_limit(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    assert {"vreason_agent/py.typed", "vreason_agent/tiny/MODEL_CARD.md"} <= set(sizes)
    weights = {name: size for name, size in sizes.items() if name.startswith("vreason_agent/tiny/weights/")}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {name.rpartition("/")[2] for name in weights}
    assert sum(weights.values()) <= 16 * 2**20


def test_the_sdist_holds_what_builds_the_wheel(wheel: Path) -> None:
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "graphs/__init__.py", "tools/__init__.py"} <= names


def test_the_installed_command_answers_in_a_folder_that_has_its_own_tools(
    clean_python: Path, folder_with_its_own_tools: Path
) -> None:
    folder = folder_with_its_own_tools
    command = clean_python.parent / "vreason-agent"
    environment = {**os.environ, "PYTHONPATH": "", "PYTHONSAFEPATH": ""}
    facts = json.loads(run(command, "demo-video", "clip.mp4", "--json", cwd=folder, env=environment))
    options = [part for option in facts["options"] for part in ("--option", option)]
    question = [facts["path"], facts["question"], *options, "--frames", "4", "--max-frames", "8", "--json"]
    for launcher in ([command], [clean_python, "-m", "vreason_agent"]):
        result = subprocess.run(
            [*map(str, launcher), "ask", *question], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert result.returncode in (0, 3), result.stderr
        assert set(json.loads(result.stdout)) >= {"answer", "choice", "confidence", "decision", "attempts", "frames"}
        assert "bundled model" in result.stderr


def test_the_installed_package_is_not_the_source_tree(clean_python: Path, tmp_path: Path) -> None:
    code = "import vreason_agent, vreason_agent.graphs as g, vreason_agent.tools as t; print(g.__file__, t.__file__)"
    found = run(clean_python, "-c", code, cwd=tmp_path).split()
    assert [Path(name).parent.name for name in found] == ["graphs", "tools"]
    assert all(Path(name).parent.parent.name == "vreason_agent" for name in found)
    assert all(clean_python.parents[1] in Path(name).parents for name in found)
