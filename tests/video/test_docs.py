"""docs/video.md holds: every hazard of its table names a test that there is, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vreason_agent.video import PLANS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "video.md").read_text()
ROWS = [line.strip("|").split("|") for line in TEXT.partition("## Hazards")[2].splitlines() if line.startswith("|")][2:]


def test_the_table_of_hazards_has_its_rows() -> None:
    assert len(ROWS) >= 30
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_every_hazard_names_a_test_that_there_is(row: list[str]) -> None:
    file, name = re.fullmatch(r" `(test_\w+\.py)::(test_\w+)` ", row[2]).groups()  # type: ignore[union-attr]
    assert f"\ndef {name}(" in (ROOT / "tests" / "video" / file).read_text()


def test_every_rule_is_in_the_table_of_plans() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Sampling plans")[2].partition("##")[0], re.MULTILINE) == [
        *PLANS
    ]


def test_the_example_runs(write_opencv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    write_opencv("clip.mp4")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/video.md", "exec"), {})
    assert "(4, 48, 64, 3)" in capsys.readouterr().out
