from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

import vreason_agent

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["setuptools"]["packages"]
HEAVY = {"torch", "transformers", "cv2", "langgraph", "langchain_core", "numpy", "pydantic"}


def modules_loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the top-level names it imported."""
    script = f"{code}\nimport sys\nprint('LOADED', *sorted({{name.partition('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.rpartition("LOADED ")[2].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules_loaded_by("import vreason_agent") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["--version"], ["ask", "no-such-file.mp4", ""]])
def test_help_and_wrong_arguments_load_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
from vreason_agent.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
"""
    assert not modules_loaded_by(code) & HEAVY


def test_importing_errors_loads_nothing_heavy() -> None:
    assert not modules_loaded_by("import vreason_agent.errors") & HEAVY


def test_listed_packages_are_the_folders_with_code() -> None:
    folders = {"vreason_agent"}
    for parent in ("vreason_agent", "vreason_agent/graphs", "vreason_agent/tools"):
        folders |= {
            str(path.parent.relative_to(ROOT)).replace("/", ".")
            for path in (ROOT / parent).glob("**/*.py")
            if "__pycache__" not in path.parts
        }
    assert sorted(PACKAGES) == sorted(folders)


def test_graphs_and_tools_are_links_to_the_top_level_folders() -> None:
    for name in ("graphs", "tools"):
        link = ROOT / "vreason_agent" / name
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{name}"


def test_graphs_and_tools_are_not_importable_by_their_bare_names() -> None:
    code = "import importlib.util as u; print('FOUND', u.find_spec('graphs'), u.find_spec('tools'))"
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "FOUND None None"


@pytest.mark.parametrize("name", vreason_agent.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(vreason_agent, name) is not None


def test_the_public_list_names_what_can_be_loaded_and_nothing_else() -> None:
    assert set(vreason_agent.__all__) == {"__version__", *vreason_agent._PUBLIC}


def test_an_unknown_public_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="ChatVReason"):
        vreason_agent.__getattr__("no_such_name")


def test_public_names_are_shown_by_dir() -> None:
    assert set(vreason_agent.__all__) <= set(dir(vreason_agent))


def test_version_is_the_same_in_code_pyproject_and_changelog() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert vreason_agent.__version__ == PYPROJECT["project"]["version"] == newest[1]


def test_changelog_entries_have_at_most_25_words() -> None:
    entries = re.findall(r"^- (.*(?:\n  .*)*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert entries
    assert [entry for entry in entries if len(entry.split()) > 25] == []


def test_every_dependency_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = PYPROJECT["project"]
    requirements = [*project["dependencies"], *chain(*project.get("optional-dependencies", {}).values())]
    lines = [next(line for line in text.splitlines() if f'"{name}"' in line) for name in requirements]
    assert [line for line in lines if "#" not in line] == []


def test_the_tested_versions_lie_within_the_stated_ranges() -> None:
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    groups = chain(*PYPROJECT["dependency-groups"].values())
    stated = [*PYPROJECT["project"]["dependencies"], *(item for item in groups if isinstance(item, str))]
    requirements = [Requirement(text) for text in stated]
    assert [r.name for r in requirements if not r.specifier.contains(pins[r.name])] == []


@pytest.mark.slow
def test_the_graph_named_for_langgraph_servers_is_made_without_loading_weights() -> None:
    code = f"""
import asyncio, json
from importlib import import_module
for target in json.load(open({str(ROOT / "langgraph.json")!r}))["graphs"].values():
    module, _, name = target.partition(":")
    graph = asyncio.run(getattr(import_module(module), name)())
    print(sorted(graph.nodes), graph.checkpointer)
from vreason_agent.model import loaded_models
print(loaded_models())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    graph, models = result.stdout.splitlines()
    assert "'judge'" in graph
    assert graph.endswith("None")
    assert models in ("[]", "()", "{}")
