"""An OpenCV that cannot load leads to one error with its remedy, through whichever door it is met."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Command
from vreason_agent.cli import doctor
from vreason_agent.errors import DependencyError
from vreason_agent.tools import video_tools
from vreason_agent.tools.contact_sheet import draw_sheet
from vreason_agent.tools.image_blocks import encode_jpeg, fit
from vreason_agent.video import (
    Isolation,
    ReadOptions,
    check_scenes_library,
    load_cv2,
    probe,
    read_frames,
    read_image,
    read_images,
)

REMEDY = "pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless"
BROKEN = {
    "a system library is missing": "raise ImportError('libGL.so.1: cannot open shared object file')",
    "it cannot be mapped": "raise OSError('libGL.so.1: native text')",
    "numpy is of another time": "raise AttributeError('_ARRAY_API not found')",
    "one of two wheels was removed": "",
}
PICTURE = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
IMAGE = np.zeros((100, 100, 3), np.uint8)
DOORS: dict[str, Callable[[str], object]] = {
    "probe": probe,
    "isolated": lambda path: probe(path, ReadOptions(isolation=Isolation())),
    "read_frames": lambda path: read_frames(path, [0.0]),
    "read_image": lambda _: read_image(PICTURE),
    "read_images": lambda _: read_images([PICTURE], ReadOptions(isolation=Isolation())),
    "find_scenes": lambda _: check_scenes_library(),
    "tool": lambda path: {tool.name: tool for tool in video_tools(path)}["video_info"].invoke({}),
    "jpeg": lambda _: encode_jpeg(IMAGE, max_bytes=9999),
    "fit": lambda _: fit(IMAGE, 10),
    "sheet": lambda _: draw_sheet(IMAGE[None], (0.0,), 1, max_side_px=100),
}


def _break(folder: Path, kind: str) -> Path:
    (folder / "cv2").mkdir()
    (folder / "cv2" / "__init__.py").write_text(BROKEN[kind])
    return folder


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An OpenCV that does not load, by what is wrong with it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "cv2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(_break(tmp_path, request.param))
    return str(request.param)


@pytest.fixture
def unread(clip: str, tmp_path: Path) -> str:
    """A clip of which nothing is known yet."""
    return str(shutil.copy(clip, tmp_path / "unread.avi"))


def test_loading_it_names_the_headless_wheel(broken: str) -> None:
    with pytest.raises(DependencyError, match=REMEDY) as caught:
        load_cv2()
    assert "native" not in str(caught.value)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_names_the_remedy(unread: str, broken: str, door: str) -> None:
    with pytest.raises(DependencyError, match=REMEDY):
        DOORS[door](unread)


@pytest.mark.parametrize("arguments", [["probe"], ["probe", "--isolate"], ["ask"]], ids=" ".join)
def test_every_command_names_the_remedy(unread: str, broken: str, command: Command, arguments: list[str]) -> None:
    question = ["What?"] if arguments == ["ask"] else []
    assert command(*arguments, unread, *question) == 1
    assert command.err.endswith(f"{REMEDY}\n")


def test_a_clip_is_not_written(broken: str, command: Command, tmp_path: Path) -> None:
    assert command("demo-video", str(tmp_path / "a.mp4")) == 1
    assert command.err.endswith(f"{REMEDY}\n")


def test_doctor_tells_what_is_wrong_and_goes_on(broken: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "check_model", lambda _: "fine")
    assert command("doctor") == 1
    assert "bug in" not in command.err
    failed = [line for line in command.out.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in failed] == ["opencv", "video"]
    assert all(line.endswith(REMEDY) for line in failed)


@pytest.mark.slow
def test_tools_graphs_and_the_tiny_world_are_imported_without_it(tmp_path: Path) -> None:
    folder = _break(tmp_path, "a system library is missing")
    code = "import vreason_agent.tools, vreason_agent.graphs, vreason_agent.tiny.render, vreason_agent.chat_model"
    path = os.pathsep.join([str(folder), *(entry for entry in sys.path if entry)])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
