"""What the README and the other documents promise can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vreason_agent.cli import build_parser, main

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


@pytest.mark.parametrize(
    ("document", "printed"),
    [
        ("README.md", r"green \{'final_entropy': .*\ngreen \{'attempts': "),
        ("docs/graphs.md", r".+ (entropy|no answer)"),
        ("docs/chat-model.md", r"\w+\n\['reasoning', 'text'\]\n\{'final_entropy': "),
        ("docs/confidence.md", r"(?s)This is the model's answer.*\n0\.\d+ \[0\.0, .* \('steered', 'toy_model'\)\n$"),
    ],
)
def test_the_first_python_examples_work_on_the_clip_that_demo_video_writes(
    document: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = first_python_block(ROOT / document)
    monkeypatch.chdir(tmp_path)
    assert main(["demo-video", "clip.mp4"]) == 0
    capsys.readouterr()
    exec(compile(block, document, "exec"), {})
    assert re.match(printed, capsys.readouterr().out)


def first_python_block(document: Path) -> str:
    found = re.search(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_documents_link_to_files_that_exist() -> None:
    missing = [
        f"{document.name}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert missing == []
