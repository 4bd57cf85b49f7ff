"""`ask` with the bundled model and its folder: the whole path from a file to an answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from vreason_agent.cli import ask
from vreason_agent.cli.ask_model import make_chat_model
from vreason_agent.cli.terminal import printable
from vreason_agent.model.source import bundled_folder


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound the time of every test, whatever the weights have learned."""
    monkeypatch.setattr(
        ask, "make_chat_model", lambda arguments: make_chat_model(arguments).model_copy(update={"max_tokens": 48})
    )


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Write a demo clip; return the arguments that ask its question with 4 frames."""
    from vreason_agent.tiny.render import write_clip
    from vreason_agent.tiny.world import make_clip

    clip = make_clip(0)
    path = tmp_path_factory.mktemp("demo") / "demo.mp4"
    write_clip(path, clip)
    options = [part for option in clip.questions[0].options for part in ("--option", option)]
    return [str(path), clip.questions[0].question, *options, "--frames", "4", "--max-frames", "4"]


def asked(command: Command, *arguments: str) -> dict[str, Any]:
    assert command("ask", *arguments, "--json") in (0, 3), command.err
    report: dict[str, Any] = json.loads(command.out)
    return report


def texts(report: dict[str, Any]) -> list[str]:
    return [attempt["reasoning"] + attempt["text"] for attempt in report["attempts"]]


def test_the_bundled_model_answers_offline_with_signals_frames_and_the_note_on_its_world(
    command: Command, question: list[str]
) -> None:
    report = asked(command, *question, "--verbose")
    assert report["model"]["name"] == "tiny"
    assert report["model"]["bundled"] is True
    assert "colored shapes" in command.err
    assert report["confidence"]["steering"]["schedule"] == "switching"
    assert report["confidence"]["signals"]["num_tokens"] > 0
    assert len(report["frames"]) == report["attempts"][-1]["num_frames"]
    assert report["usage"]["output_tokens"] > 0
    for text in texts(report):
        assert printable(text).split()[0] in command.err  # it was streamed


def test_the_same_seed_gives_the_same_attempts(command: Command, question: list[str]) -> None:
    first, second = (asked(command, *question, "--seed", "5") for _ in range(2))
    assert texts(first) == texts(second)
    assert first["decision"] == second["decision"]


def test_the_schedule_reaches_the_decoding(command: Command, question: list[str]) -> None:
    assert asked(command, *question, "--schedule", "off")["confidence"]["steering"]["vreason"] == "off"


def test_a_model_folder_is_loaded_and_answers_as_the_same_weights_do(
    command: Command, question: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my model"
    shutil.copytree(bundled_folder(), folder)
    bundled = asked(command, *question)
    named = asked(command, *question, "--model", str(folder), "--device", "cpu")
    assert named["model"]["name"] == str(folder)
    assert texts(named) == texts(bundled)
    assert "colored shapes" not in command.err
    monkeypatch.setenv("VREASON_MODEL", str(folder))
    assert asked(command, *question)["model"]["name"] == str(folder)


@pytest.mark.parametrize(
    ("model", "remedy"),
    [("no/such/folder", "no/such/folder"), ("Qwen/Qwen2.5-VL-3B-Instruct", "hf download Qwen/Qwen2.5-VL-3B-Instruct")],
)
def test_a_model_that_is_not_here_is_one_line_that_ends_in_what_to_do(
    command: Command, question: list[str], model: str, remedy: str
) -> None:
    assert command("ask", *question, "--model", model, "--quiet") == 1
    assert command.err.startswith("vreason-agent: error: ")
    assert command.err.count("\n") == 1
    assert remedy in command.err


def test_a_folder_without_a_model_is_one_line(command: Command, question: list[str], tmp_path: Path) -> None:
    assert command("ask", *question, "--model", str(tmp_path), "--quiet") == 1
    assert "has no config.json" in command.err
    assert command.err.count("\n") == 1


def test_more_frames_than_the_context_holds_are_told_before_any_token(command: Command, question: list[str]) -> None:
    assert command("ask", *question[:2], "--frames", "2048", "--max-frames", "2048") == 1
    assert "2048 frames take" in command.err
    assert "attempt 1" not in command.err


INTERRUPTED = """
import os, signal, sys, time
from vreason_agent.cli import ask, main
from vreason_agent.cli.ask_model import model_facts

forwards = 0

def count(*_):
    global forwards
    forwards += 1
    if forwards == 20:  # the prompt and 19 tokens
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)  # a token of a real model takes its time, in which the main thread hears the signal

def listen(chat_model):
    chat_model.engine.hf_model.model.language_model.layers[0].register_forward_hook(count)
    return model_facts(chat_model)

ask.model_facts = listen
code = main(["ask", *sys.argv[1:], "--quiet"])
print(code, forwards)
"""


@pytest.mark.slow
def test_ctrl_c_stops_the_real_model_within_a_token(question: list[str]) -> None:
    arguments = [*question[:-4], "--frames", "32", "--max-frames", "32"]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *arguments], capture_output=True, text=True, timeout=120)
    code, forwards = map(int, done.stdout.split())
    assert code == 130
    assert 20 <= forwards <= 21
    assert done.stderr == "vreason-agent: interrupted\n"


def test_doctor_passes_with_the_bundled_model(command: Command) -> None:
    assert command("doctor", "--device", "cpu", "--check") == 0
    assert "; can be steered; loaded in" in command.out
    assert command.out.count("ok    method") == 5
    assert "ok    model     tiny: " in command.out
