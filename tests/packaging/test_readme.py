"""What the README and the other documents promise can be typed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from vreason_agent.cli import build_parser, main
from vreason_agent.decoding import VReasonConfig

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md"]


def code_lines(document: Path) -> list[str]:
    """Return the lines of a document's shell blocks, continuation lines joined, without comments."""
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").strip() for line in lines if line.strip() and not line.startswith("#")]


def commands(start: str) -> list[str]:
    """Return every command in the documents that begins with a word."""
    lines = [line for document in DOCUMENTS for line in code_lines(document)]
    return sorted({line for line in lines if line.startswith(f"{start} ")})


def test_the_readme_shows_the_two_commands_that_matter() -> None:
    shown = " ".join(code_lines(ROOT / "README.md"))
    assert "make demo" in shown
    assert "make test" in shown


@pytest.mark.parametrize("line", commands("vreason-agent"))
def test_every_documented_command_line_is_understood(line: str) -> None:
    words = shlex.split(line, comments=True)
    assert callable(build_parser().parse_args(words[1:]).run)


@pytest.mark.parametrize("line", commands("make"))
def test_every_documented_make_target_exists(line: str) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
    assert set(words) <= set(targets)


def test_every_option_of_ask_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    help_text = build_parser().parse_args(["ask", "x", "y"])
    options = {f"--{name.replace('_', '-')}" for name in vars(help_text)} - {
        "--command",
        "--run",
        "--video",
        "--question",
    }
    assert [option for option in sorted(options) if option not in readme] == []


def test_the_readmes_python_answers_truly_on_the_clip_that_demo_video_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo-video", "clip.mp4"]) == 0
    capsys.readouterr()
    for block in python_blocks(ROOT / "README.md"):
        exec(compile(block, "README.md", "exec"), {})
    assert re.match(r"green \{'final_entropy': .*\ngreen \{'attempts': ", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_page_s_python_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """One process; the blocks of a page share their names, as a reader who types them one after the other has it."""
    for clip in ("clip.mp4", "door.mp4", "garden.mp4", "yard.mp4"):
        assert main(["demo-video", str(tmp_path / clip)]) == 0
    pages = {page.name: python_blocks(page) for page in DOCUMENTS if python_blocks(page)}
    assert len(pages) >= 8
    runner = "import json, sys\nfor page, blocks in json.load(sys.stdin).items():\n    names = {}\n"
    runner += "    for block in blocks:\n        exec(compile(block, page, 'exec'), names)\n"
    command = [sys.executable, "-c", runner]
    done = subprocess.run(command, input=json.dumps(pages), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


def python_blocks(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def test_the_method_page_names_every_field_of_the_configuration() -> None:
    rows = re.findall(r"^\|.*\|$", (ROOT / "docs" / "method.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])}
    assert named == {field.name for field in fields(VReasonConfig)}


def test_documents_link_to_files_that_exist() -> None:
    missing = [
        f"{document.name}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert missing == []
