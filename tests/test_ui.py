"""The page, in this process by its handler, and in headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat_model.conftest import clip

__all__ = ["clip"]
pytest.importorskip("gradio", reason="the extra `ui` is not installed")


def test_an_answer_comes_with_frames_plot_attempts_and_receipt(clip: Path) -> None:
    from vreason_agent.ask_page import _asker
    from vreason_agent.chat_model import ChatVReason
    from vreason_agent.receipt import read_receipt

    ask = _asker(ChatVReason())
    *_, last = ask(str(clip), "Which <b>color</b>?", "red\nblue", 4, 4, "switching", "off")
    for start, schedule in ((0, "switching"), (4, "off")):
        _, page, _, button = last[start : start + 4]
        assert f"schedule: {schedule}" in page
        assert page.count("<figure") == 4
        assert "<img src=" in page
        assert "4 frames:" in page
        receipt = read_receipt(button.value if isinstance(button.value, str) else button.value["path"])
        assert receipt["traces"][0]["trace"]["config"]["schedule"] == schedule


@pytest.mark.parametrize(
    ("video", "question", "told"), [(None, "x", "drop one"), ("x.mp4", " ", "write one"), ("none.mp4", "x", "none.mp4")]
)
def test_what_is_missing_or_broken_is_said_on_the_page(video: str | None, question: str, told: str) -> None:
    from vreason_agent.ask_page import _asker
    from vreason_agent.chat_model import ChatVReason

    *_, last = _asker(ChatVReason())(video, question, "", 4, 4, "switching", "none")
    assert told in last[1]
    assert "role='alert'" in last[1]


@pytest.fixture
def address() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vreason_agent", "ui", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.enable_socket
def test_the_sample_is_answered_in_a_browser(address: str, tmp_path: Path) -> None:
    playwright: Any = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    browser_path = shutil.which("chromium")
    if browser_path is None:
        pytest.skip("Debian's chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as run:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = run.chromium.launch(executable_path=browser_path, args=sandbox)
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("button", name="Ask", exact=True).click()
        page.get_by_role("alert").wait_for()
        assert "drop one" in page.get_by_role("alert").inner_text()
        page.get_by_role("button", name="Take the sample").click()
        page.wait_for_function("document.querySelector('#question textarea').value.length > 5")
        page.get_by_role("button", name="Ask", exact=True).click()
        page.locator(".vr-answer").wait_for(timeout=120_000)
        assert page.locator(".vr-answer").inner_text() == "circle"
        assert page.locator(".vr-frames img").count() == 32
        assert page.locator(".vr-plot img").count() == 1
        assert "accept" in page.locator(".vr-attempts").inner_text()
        with page.expect_download() as download:
            page.get_by_role("button", name="Receipt").click()
        download.value.save_as(tmp_path / "receipt.html")
        browser.close()
    assert "vreason.receipt/1" in (tmp_path / "receipt.html").read_text()
