"""docs/video.md holds: its example runs and its tables are whole; each hazard of the internals names a test."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from vreason_agent.video import PLANS, ReadOptions

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "video.md").read_text()
INTERNALS = (ROOT / "docs" / "internals" / "video.md").read_text()


def test_every_hazard_names_a_test_that_there_is() -> None:
    rows = re.findall(r"^\| .* \| .* \| `(test_\w+\.py)::(test_\w+)` \|$", INTERNALS, re.MULTILINE)
    assert len(rows) == INTERNALS.partition("## Hazards")[2].count("\n| ") - 1 >= 25
    for file, name in rows:
        assert f"\ndef {name}(" in (ROOT / "tests" / "video" / file).read_text(), name


def test_every_rule_and_every_option_is_in_its_table() -> None:
    plans = TEXT.partition("## Sampling plans")[2].partition("##")[0]
    assert re.findall(r"^\| `(\w+)` \|", plans, re.MULTILINE) == [*PLANS]
    options = TEXT.partition("## How files are read")[2].partition("##")[0]
    assert re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE) == [field.name for field in fields(ReadOptions)]


def test_the_example_runs(write_cv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    write_cv("clip.mp4")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/video.md", "exec"), {})
    assert "(4, 48, 64, 3)" in capsys.readouterr().out
