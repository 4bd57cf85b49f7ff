"""`demo-video`, `probe`, `doctor` and the command line as a whole."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Command
from tests.frame_numbers import needs_frame_numbers
from vreason_agent.cli import build_parser, doctor
from vreason_agent.cli.demo_video import ENDINGS
from vreason_agent.errors import ModelLoadError
from vreason_agent.tiny.render import CODECS, write_clip
from vreason_agent.tiny.world import make_clip


def test_demo_video_writes_a_clip_and_prints_its_question_and_answer(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "demo.mp4"
    assert command("demo-video", path, "--json") == 0
    facts = json.loads(command.out)
    assert list(facts) == ["path", "seed", "question", "options", "answer", "kind"]
    assert facts["answer"]
    assert path.stat().st_size > 1000
    assert command("probe", path) == 0


def test_the_last_line_of_demo_video_is_the_command_that_asks_its_question(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "my demo.mp4"
    assert command("demo-video", path, "--json") == 0
    facts = json.loads(command.out)
    assert command("demo-video", path) == 0
    words = shlex.split(command.out.splitlines()[-1])
    assert words[0] == "vreason-agent"
    arguments = build_parser().parse_args(words[1:])
    assert (arguments.video, arguments.question, arguments.option or []) == (
        str(path),
        facts["question"],
        facts["options"],
    )
    assert f"True answer: {facts['answer']}" in command.out


def test_the_same_seed_writes_the_same_question_and_another_seed_another(command: Command, tmp_path: Path) -> None:
    printed = []
    for seed in ("3", "3", "4"):
        command("demo-video", tmp_path / "demo.avi", "--seed", seed, "--json")
        printed.append({**json.loads(command.out), "seed": None})
    assert printed[0] == printed[1] != printed[2]


def test_a_folder_that_is_not_there_says_what_to_do(command: Command, tmp_path: Path) -> None:
    assert command("demo-video", tmp_path / "no-such-folder" / "demo.mp4") == 1
    assert re.search(r"mkdir -p .*no-such-folder", command.err)
    assert command.err.count("\n") == 1


def test_demo_video_replaces_its_own_clip_and_facts(command: Command, tmp_path: Path) -> None:
    assert command("demo-video", tmp_path / "demo.mp4", "--seed", "3") == 0
    assert command("demo-video", tmp_path / "demo.mp4", "--seed", "4") == 0
    assert json.loads((tmp_path / "demo.json").read_text())["seed"] == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("demo.json", '{"mine": 1}'),
        ("demo.json", "[1]"),
        ("demo.json", "no JSON"),
        ("demo.mp4", "a film"),
    ],
)
def test_demo_video_overwrites_a_file_it_did_not_write_only_by_force(
    command: Command, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    assert command("demo-video", tmp_path / "demo.mp4") == 1
    assert command.err.endswith("was not written by demo-video; choose another name, or add --force to overwrite it\n")
    assert command.err.count("\n") == 1
    assert name in command.err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, content)]
    assert command("demo-video", tmp_path / "demo.mp4", "--force") == 0
    assert json.loads((tmp_path / "demo.json").read_text())["seed"] == 1


def test_demo_video_keeps_a_film_that_lies_beside_the_facts_of_another_clip(command: Command, tmp_path: Path) -> None:
    assert command("demo-video", tmp_path / "demo.avi") == 0
    (tmp_path / "demo.mp4").write_text("a film")
    assert command("demo-video", tmp_path / "demo.mp4") == 1
    assert "demo.json' exists and belongs to the clip 'demo.avi'; choose another name" in command.err
    assert (tmp_path / "demo.mp4").read_text() == "a film"


def test_demo_video_does_not_write_where_a_folder_is_or_writing_is_denied(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    assert command("demo-video", tmp_path / "folder.mp4", "--force") == 1
    assert "exists and is not a file; choose another name" in command.err
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert command("demo-video", tmp_path / "demo.mp4") == 1
    assert "is write-protected; choose another folder" in command.err


@pytest.mark.parametrize("name", [".", "demo", "demo.xyz"])
def test_demo_video_asks_for_the_name_of_a_video_file(command: Command, name: str) -> None:
    assert command("demo-video", name) == 2
    assert "choose an ending among .mp4, .avi, .mkv, .webm, such as demo.mp4" in command.err


def test_demo_video_knows_the_endings_that_can_be_written() -> None:
    assert set(ENDINGS) == set(CODECS)


def test_writing_webm_leaves_nothing_of_opencv_on_stderr(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "vreason_agent", "demo-video", str(tmp_path / "demo.webm"), "--json"]
    result = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["path"].endswith("demo.webm")


def damaged(folder: Path) -> dict[str, Path]:
    """Write a picture and clips whose inside is damaged, so that their decoders complain."""
    cv2.imwrite(str(folder / "picture.png"), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    for ending in ("mp4", "webm"):
        write_clip(folder / f"clip.{ending}", make_clip(0))
    files = {path.name: path for path in folder.iterdir() if path.suffix != ".json"}
    for path in files.values():
        content = bytearray(path.read_bytes())
        for at in range(len(content) // 3, len(content) * 2 // 3, 97):
            content[at] ^= 0x5A
        path.write_bytes(content)
    return files


@pytest.mark.parametrize("name", ["picture.png", "clip.mp4", "clip.webm"])
def test_reading_a_damaged_file_leaves_only_our_own_line_on_stderr(tmp_path: Path, name: str) -> None:
    path = damaged(tmp_path)[name]
    result = subprocess.run(
        [sys.executable, "-m", "vreason_agent", "probe", str(path)], capture_output=True, text=True, timeout=60
    )
    own = result.stderr.startswith("vreason-agent: error: ") and result.stderr.count("\n") == 1
    assert own if result.returncode else result.stderr == ""


def test_probe_prints_what_a_file_is(command: Command, clip: str) -> None:
    assert command("probe", clip) == 0
    assert command.out.startswith(f"{clip}: video, 64x48 px, 2.00 s, 16 frames, 8 frames per second")
    assert command("probe", clip, "--json") == 0
    facts = json.loads(command.out)
    assert (facts["num_frames"], facts["is_constant_rate"], facts["is_seekable"]) == (16, True, True)
    assert facts["streams"] == [{"width_px": 64, "height_px": 48, "codec": "mjpeg", "is_read": True}]
    assert facts["plan"] == {"num_times": 32, "num_frames": 16, "num_seeks": 0, "num_skipped_frames": 0}


@needs_frame_numbers
def test_probe_words_streams_and_what_a_plan_would_cost(command: Command, clip: str) -> None:
    assert command("probe", clip, "--frames", "2") == 0
    assert command.out.splitlines()[1:] == [
        "  video streams: 64x48 mjpeg (read)",
        "  frames: evenly spaced, reached by seeking",
        "  reading 2 frames: 1 seek, 0 frames decoded and skipped",
    ]
    assert command("probe", clip, "--frames", "3") == 2
    assert "try 4" in command.err


def test_probe_of_pictures_tells_no_streams(command: Command, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64, 3), np.uint8))
    for path in (tmp_path, tmp_path / "a.png"):
        assert command("probe", path, "--frames", "2") == 0
        assert "video streams" not in command.out
        assert "reading 1 frame: 0 seeks" in command.out


def test_probe_of_a_missing_file_is_one_line(command: Command, tmp_path: Path) -> None:
    assert command("probe", tmp_path / "missing.mp4") == 1
    assert command.err.count("\n") == 1
    assert "missing.mp4" in command.err


def test_probe_prints_no_control_characters_of_a_name(command: Command, clip: str, tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mevil\n\x07.avi"
    path.write_bytes(Path(clip).read_bytes())
    assert command("probe", path) == 0
    assert command.out.startswith(f"{tmp_path}/\ufffd[31mevil\ufffd\ufffd.avi: video, 64x48 px")
    assert command("probe", path, "--json") == 0
    assert command.out.isascii()
    assert json.loads(command.out)["path"] == str(path)


def test_probe_tells_a_url_without_user_and_query(command: Command) -> None:
    assert command("probe", "HTTPS://u:secret@example.com/x.mp4?token=secret") == 1
    assert "'HTTPS://example.com/x.mp4' is not a file path" in command.err
    assert "secret" not in command.err


def test_doctor_reports_every_check_and_passes_here(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(given: argparse.Namespace) -> str:
        return f"{given.model} {given.revision} {given.device} {given.dtype}"

    monkeypatch.setattr(doctor, "describe_folder", told)
    monkeypatch.setattr(doctor, "check_model", told)
    assert command("doctor", "--model", "m", "--revision", "r", "--device", "cpu", "--dtype", "float32") == 0
    lines = command.out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", name] for name in ("python", "packages", "opencv", "video", "torch", "folder", "model")
    ]
    assert lines[-1].endswith("m r cpu float32")


def test_doctor_goes_on_after_a_failed_check_and_exits_with_1(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise ImportError("libGL.so.1: cannot open shared object file")

    def no_model(arguments: argparse.Namespace) -> str:
        raise ModelLoadError("no weights;\nrun: make demo")

    monkeypatch.setattr(doctor, "check_opencv", fail)
    monkeypatch.setattr(doctor, "check_model", no_model)
    assert command("doctor") == 1
    assert "FAIL  opencv    libGL.so.1" in command.out
    assert "ok    torch" in command.out
    assert "FAIL  model     no weights; run: make demo" in command.out


def test_two_opencv_wheels_at_once_are_told_how_to_keep_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "5.0")
    with pytest.raises(ImportError, match=r"overwrite each other; run: pip uninstall -y opencv-python && pip install"):
        doctor.check_opencv()


def test_an_opencv_that_does_not_load_is_told_how_to_get_the_headless_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"run: pip uninstall -y opencv-python && pip install .*headless"):
        doctor.check_opencv()


def test_the_printed_command_can_be_typed_where_the_name_begins_with_a_dash(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("demo-video", "--", "-x.mp4") == 0
    words = shlex.split(command.out.splitlines()[-1])
    assert build_parser().parse_args(words[1:]).video == "./-x.mp4"


@pytest.mark.parametrize(
    ("words", "extra"),
    [(["serve"], "serve"), (["mcp", "--root", "."], "mcp"), (["ui"], "ui")],
)
def test_a_missing_extra_is_named_with_its_command_before_anything_is_loaded(
    command: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], extra: str
) -> None:
    monkeypatch.setattr("vreason_agent.cli.parser.find_spec", lambda module: None)
    assert command(*words) == 1
    assert f"pip install 'vreason-agent[{extra}]'" in command.err
    assert "loading" not in command.err


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_loaded(command: Command, clip: str) -> None:
    assert command("ask", clip, "What?", "--report", "/nowhere/at/all.html") == 2
    assert "choose a folder that exists" in command.err
