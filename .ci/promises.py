"""Hold the table of promises (`.ci/promises.md`) to the documents that make them and to the tests that prove them.

Each row names a document, words that stand in it, and a test. A row fails where the document no longer says these
words, or where the test does not exist. Only the standard library is used; no test is run.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / ".ci" / "promises.md"
ROW = re.compile(r"^\| (\S+\.md) \| (.+?) \| `(\S+\.py)::(\w+)` \|$", re.MULTILINE)


def plain(text: str) -> str:
    """Return a text without emphasis and on one line, as promises are compared."""
    return re.sub(r"\s+", " ", text.replace("**", ""))


def failure_of(document: str, promise: str, file: str, test: str, root: Path = ROOT) -> str | None:
    """Return what is wrong with a row of the table; `None` if nothing is."""
    page, module = root / document, root / file
    if not page.is_file() or plain(promise) not in plain(page.read_text(encoding="utf-8")):
        return f"{document} does not say: {promise}"
    if not module.is_file() or not re.search(rf"^ *(?:async )?def {test}\(", module.read_text("utf-8"), re.MULTILINE):
        return f"no such test: {file}::{test} (promised by {document}: {promise})"
    return None


def main() -> int:
    """Check every row; print the failures, else how many promises each document makes."""
    text = TABLE.read_text(encoding="utf-8")
    rows = ROW.findall(text)
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    failures = [failure for row in rows if (failure := failure_of(*row))]
    failures += [f"not a row: {line}" for line in lines if not ROW.match(line)]
    for failure in failures:
        print(f"promises: {failure}", file=sys.stderr)
    if failures:
        return 1
    counts = Counter(document for document, *_ in rows)
    print(f"{len(rows)} promises:", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
