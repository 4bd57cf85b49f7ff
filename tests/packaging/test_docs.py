"""The pages of docs/ can be built, and none of their links leads nowhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARD = "vreason_agent/tiny/MODEL_CARD.md"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(source / "docs"), source, out]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    result = build(ROOT, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "vreason_agent.video.read_frames" in (tmp_path / "docs" / "api.html").read_text()


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    shutil.copytree(ROOT / "docs", pages / "docs", ignore=shutil.ignore_patterns("api.md"))
    (pages / CARD).parent.mkdir(parents=True)
    for page in ("README.md", "SECURITY.md", "CHANGELOG.md", CARD):
        shutil.copy(ROOT / page, pages / page)
    (pages / "docs" / "api.md").write_text("# Reference\n\n[gone](nowhere.md)\n")
    result = build(pages, tmp_path / "out")
    assert result.returncode == 1
    assert "target not found: 'nowhere.md'" in result.stderr
