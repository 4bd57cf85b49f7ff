"""The table of promises is held to the documents and the tests that it names."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
promises = runpy.run_path(str(ROOT / ".ci" / "promises.py"))


def test_every_promise_of_the_table_is_made_and_has_its_test(capsys) -> None:
    assert promises["main"]() == 0, capsys.readouterr().err


def test_a_promise_that_is_not_made_or_not_tested_is_told(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("Weights **never\nchange**.")
    (tmp_path / "test_it.py").write_text("async def test_weights(): ...\n")
    failure_of = promises["failure_of"]
    assert failure_of("page.md", "Weights never change", "test_it.py", "test_weights", tmp_path) is None
    assert "does not say" in failure_of("page.md", "Weights may change", "test_it.py", "test_weights", tmp_path)
    for file, test in (("test_it.py", "test_weight"), ("test_no.py", "test_weights")):
        assert "no such test" in failure_of("page.md", "never change", file, test, tmp_path)
