"""How every command ends: one line, one exit code, one JSON object, whatever the console, the disk or the user does."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vreason_agent
from tests.cli.conftest import Command, Script
from vreason_agent.cli import ask, build_parser, main
from vreason_agent.tiny import render


def run(*code_and_arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *code_and_arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_a_console_that_cannot_show_a_character_loses_that_character_only(
    clip: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "\u8996.avi"
    named.write_bytes(Path(clip).read_bytes())
    commands = {
        ("ask", str(named), "Where?", "--frames", "2", "--max-frames", "2"): "Answer: up \\u2192 left",
        ("ask", str(named), "Where?", "--frames", "2", "--max-frames", "2", "--json"): '"up \\u2192 left"',
        ("probe", str(named)): "\\u8996.avi: video",
        ("demo-video", str(tmp_path / "\u8996.mp4")): "\\u8996.mp4",
        ("ask", str(tmp_path / "\u9999.mp4"), "Where?"): "",
    }
    for arguments, shown in commands.items():
        script(("up \u2192 left", 0.8, None), ("up \u2192 left", 0.8, None))
        buffers = io.BytesIO(), io.BytesIO()
        streams = [io.TextIOWrapper(written, encoding="cp1252") for written in buffers]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        code = main(arguments)
        monkeypatch.undo()
        for stream in streams:
            stream.flush()
        out, err = (written.getvalue().decode("cp1252") for written in buffers)
        assert code == (0 if shown else 1), err
        assert shown in out
        assert "Unicode" not in err


def test_a_failure_is_one_line_and_with_json_one_object_with_its_exit_code(command: Command, tmp_path: Path) -> None:
    missing = str(tmp_path / "no.mp4")
    for arguments, code, name in (
        (["ask", missing, "What?"], 1, "VideoNotFoundError"),
        (["probe", missing], 1, "VideoNotFoundError"),
        (["ask", missing, "What?", "--frames", "3"], 2, "UsageError"),
        (["demo-video", str(tmp_path)], 2, "UsageError"),
    ):
        assert command(*arguments, "--json") == code
        report = json.loads(command.out)
        assert list(report) == ["answer", "error"]
        assert report["answer"] is None
        assert (report["error"]["name"], report["error"]["exit_code"]) == (name, code)
        assert command.err == f"vreason-agent: error: {report['error']['message']}\n"


def test_an_argument_is_repeated_in_short(command: Command, tmp_path: Path) -> None:
    long = "x" * 5000
    for arguments in (["ask", "no.mp4", "What?", "--device", long], [long], ["ask", "no.mp4", "What?", f"--{long}"]):
        assert command(*arguments) == 2
        assert len(command.err) < 600


def test_a_full_disk_leaves_no_half_clip_and_says_what_to_do(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: str, clip: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(render, "write_clip", fill)
    assert command("demo-video", tmp_path / "demo.mp4") == 1
    assert command.err.endswith(
        "No space left on device; free some disk space, or choose another folder (for temporary files by TMPDIR)\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/gone']"), "set TMPDIR to a folder"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "check the permissions"),
        (ZeroDivisionError("division by zero"), "Set VREASON_TRACEBACK=1 to see the traceback, and please report it."),
    ],
)
def test_a_failure_of_the_machine_has_its_remedy_and_a_bug_says_so(
    command: Command, clip: str, monkeypatch: pytest.MonkeyPatch, failure: Exception, remedy: str
) -> None:
    def fail(arguments: object) -> None:
        raise failure

    monkeypatch.setattr(ask, "make_chat_model", fail)
    assert command("ask", clip, "What?", "--quiet") == 1
    assert remedy in command.err
    assert command.err.count("\n") == 1
    assert ("bug" in command.err) == isinstance(failure, ZeroDivisionError)


def test_a_traceback_is_shown_where_it_is_asked_for(
    command: Command, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "make_chat_model", lambda arguments: 1 / 0)
    monkeypatch.setenv("VREASON_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        command("ask", clip, "What?", "--quiet")


def test_ctrl_c_while_modules_load_leaves_one_line() -> None:
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
class Interrupt:
    def find_spec(self, name, *rest):
        if name == "vreason_agent.cli.ask":
            os.kill(os.getpid(), {int(signal.SIGINT)})
sys.meta_path.insert(0, Interrupt())
from vreason_agent.__main__ import main
sys.exit(main())
"""
    result = run("-c", code)
    assert (result.returncode, result.stderr) == (130, "vreason-agent: interrupted\n")


def test_a_reader_that_goes_away_ends_the_command_quietly(clip: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "vreason_agent", "probe", clip]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


def test_a_file_name_that_is_not_utf8_is_refused_before_a_decoder_sees_it(
    command: Command, clip: str, tmp_path: Path
) -> None:
    path = tmp_path / "y\udcff.avi"
    path.write_bytes(Path(clip).read_bytes())
    (tmp_path / "link.avi").symlink_to(path)
    for arguments in (["probe", path], ["ask", path, "What?"], ["probe", tmp_path / "link.avi"]):
        assert command(*map(str, arguments)) == 1
        assert "UTF-8; rename it" in command.err
        assert command.err.count("\n") == 1
    assert command("demo-video", tmp_path / "z\udcff.mp4") == 1
    assert "UTF-8; rename it" in command.err


def test_help_and_version_are_printed(command: Command) -> None:
    assert command("--version") == 0
    assert command.out == f"vreason-agent {vreason_agent.__version__}\n"
    for name in ("ask", "demo-video", "probe", "doctor"):
        assert command(name, "--help") == 0
        assert command.out.startswith(f"usage: vreason-agent {name}")


def test_the_package_runs_as_a_module() -> None:
    result = run("-m", "vreason_agent", "ask", "x.mp4", "")
    assert result.returncode == 2
    assert result.stderr.startswith("vreason-agent: error: argument QUESTION")


def test_every_documented_key_of_json_is_in_help(command: Command) -> None:
    assert command("ask", "--help") == 0
    assert build_parser().prog == "vreason-agent"
    assert "{answer: null, error: {name, message, exit_code}}" in " ".join(command.out.split())
