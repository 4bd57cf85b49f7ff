from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vreason_agent.cli import ask, main


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write two seconds of video, 16 frames."""
    path = str(tmp_path_factory.mktemp("clip") / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (64, 48))
    for value in range(16):
        writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    writer.release()
    return path


Script = Callable[..., Any]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Return a function that makes `ask` use a chat model that plays a script of (answer, entropy_drop, choice)."""

    def play(*lines: tuple[str | None, float | None, str | None], bundled: bool = False) -> Any:
        from vreason_agent.graphs import ScriptedChatModel, ScriptedReply

        replies = [
            ScriptedReply(
                answer,
                {"entropy_drop": drop, "peak_entropy": 1.25, "final_entropy": 0.25},
                choice,
                reasoning="0.0 red square\n",
            )
            for answer, drop, choice in lines
        ]
        chat_model = ScriptedChatModel(replies=replies)
        monkeypatch.setattr(ask, "make_chat_model", lambda arguments: chat_model)
        monkeypatch.setattr(ask, "model_facts", lambda model: {"name": "scripted", "device": "cpu", "bundled": bundled})
        monkeypatch.setattr(ask, "check_context", lambda *arguments: None)
        return chat_model

    return play


class Command:
    """Runs the command line in this process and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        code = main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)
