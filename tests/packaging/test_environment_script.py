"""The script behind `make`: what it checks, and which builds of torch and OpenCV it chooses."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Runs:
    """Stands in for `subprocess.run`: records commands, answers those that contain a word with a result."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.answers: list[tuple[str, subprocess.CompletedProcess[str]]] = []

    def answer(self, word: str, returncode: int = 0, stdout: str = "", stderr: str = "") -> None:
        self.answers.append((word, subprocess.CompletedProcess([], returncode, stdout, stderr)))

    def __call__(self, command: list[Any], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(" ".join(map(str, command)))
        for position, (word, result) in enumerate(self.answers):
            if word in self.commands[-1]:
                del self.answers[position]
                return result
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(subprocess, "run", runs)
    monkeypatch.setattr(sys, "platform", "linux")
    return runs


def pip_report(*names: str) -> str:
    return json.dumps({"install": [{"metadata": {"name": name}} for name in names]})


def test_an_old_python_is_told_what_to_install(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"3\.11 or newer is needed.* is 3\.9\.2.*apt-get install python3\.11"):
        script.check_base_python((3, 9, 2))


def test_a_missing_venv_module_is_told_what_to_install(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match=r"no venv module.*apt-get install python3\.12-venv"):
        script.check_base_python((3, 12, 1))


def test_a_machine_with_a_gpu_gets_the_default_torch(
    script: ModuleType, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert script.torch_options("python") == []
    assert runs.commands == ["/usr/bin/nvidia-smi -L"]


def test_a_cpu_build_that_pip_finds_by_itself_is_taken(
    script: ModuleType, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    monkeypatch.setattr(script, "is_reachable", lambda url: pytest.fail("asked another index"))
    runs.answer("--dry-run", stdout=pip_report("torch", "sympy"))
    assert script.torch_options("python") == []


@pytest.mark.parametrize("reachable", [True, False])
def test_a_cuda_build_is_avoided_where_the_cpu_index_answers(
    script: ModuleType, runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reachable: bool
) -> None:
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    monkeypatch.setattr(script, "is_reachable", lambda url: reachable)
    runs.answer("--dry-run", stdout=pip_report("torch", "nvidia-cublas"))
    options = script.torch_options("python")
    assert options == (["--extra-index-url", script.TORCH_CPU_INDEX] if reachable else [])
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert ("CPU build" in said) == reachable


def test_an_index_that_does_not_answer_is_not_reachable(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, timeout: float) -> None:
        assert timeout <= 5
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert script.is_reachable("https://index.invalid") is False


def test_opencv_that_loads_is_left_alone(script: ModuleType, runs: Runs) -> None:
    script.fix_opencv("python")
    assert runs.commands == ["python -c import cv2"]


def test_without_libgl_the_headless_opencv_is_swapped_in_with_one_line(
    script: ModuleType, runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.answer("import cv2", 1, stderr="Traceback\nImportError: libGL.so.1: cannot open shared object file")
    script.fix_opencv("python")
    asked, removed, installed, _ = runs.commands[1:]
    assert asked.endswith("pip show opencv-python")
    assert "uninstall --quiet --yes opencv-python" in removed
    assert installed.endswith("opencv-python-headless")
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "libGL.so.1" in said


def test_a_failed_installation_ends_in_the_command_to_repeat(script: ModuleType, runs: Runs) -> None:
    runs.answer("install torch", 1)
    with pytest.raises(SystemExit, match=r"check the network and run again: python -m pip .*install torch"):
        script.pip("python", "install", "torch")


def test_an_environment_that_works_is_kept(script: ModuleType, runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    script.make_venv(tmp_path)
    assert not any("-m venv" in command for command in runs.commands)


def test_a_broken_environment_is_made_anew(script: ModuleType, runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    runs.answer("-m pip --version", 1)
    script.make_venv(tmp_path)
    assert f"-m venv {tmp_path}" in runs.commands[1]
    assert not (tmp_path / "bin").exists()
