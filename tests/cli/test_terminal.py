from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings

import pytest

from vreason_agent.cli.terminal import Progress, interruptible, warnings_as_lines


def test_running_text_is_indented_and_ended_before_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=False)
    for piece in ("0.0 red", " square\n", "3.1 blue"):
        progress.token(piece)
    progress.line("next")
    assert capsys.readouterr().err == "  0.0 red square\n  3.1 blue\nnext\n"


def test_the_answer_begins_a_line_after_the_reasoning(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=False)
    for channel, piece in (("reasoning", "red"), ("reasoning", " circle"), ("text", "cir"), ("text", "cle")):
        progress.token(piece, channel=channel)
    progress.end_tokens()
    assert capsys.readouterr().err == "  red circle\n  circle\n"


def test_control_characters_of_a_model_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=False).token("red\x1b[2J\x07 square\n")
    assert capsys.readouterr().err == "  red\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER} square\n  "


def test_quiet_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=True)
    progress.token("text")
    progress.line("line")
    assert capsys.readouterr().err == ""


def test_warnings_become_lines_without_file_and_line_number(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_as_lines(Progress(quiet=False)):
        for _ in range(2):
            warnings.filterwarnings("always", category=BytesWarning)  # as a library may, which resets Python's memory
            warnings.warn("frames 1 and 2\nlook the same in time", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: frames 1 and 2 look the same in time\n"


def test_a_warning_is_shown_once_though_a_library_changes_the_filters_between(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings_as_lines(Progress(quiet=False)):
        for text in ("positions collapse", "positions collapse", "something else"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
            warnings.warn(text, UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: positions collapse\nwarning: something else\n"


def test_what_a_native_library_prints_is_dropped_and_what_python_prints_is_not() -> None:
    code = """
import os, sys
from vreason_agent.cli.terminal import native_noise_silenced
for _ in range(2):
    with native_noise_silenced():
        os.write(2, b"noise ")
        print("line", file=sys.stderr)
os.write(2, b"after")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stderr == "line\nline\nafter"


def test_a_crash_of_a_native_library_is_told_still() -> None:
    code = """
import ctypes
from vreason_agent.cli.terminal import native_noise_silenced
with native_noise_silenced():
    ctypes.string_at(0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "Fatal Python error: Segmentation fault" in result.stderr


def test_ctrl_c_sets_the_event_before_it_raises_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
    assert stopped.is_set()
    assert signal.getsignal(signal.SIGINT) is before
