"""`vreason-agent report RUN`: one HTML page of a run of `batch` or `eval`, or of a receipt.

This module finds out what was given, and knows no page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vreason_agent.cli.eval import MANIFEST
from vreason_agent.cli.parser import name
from vreason_agent.errors import ConfigError, quote


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "report",
        help="write one HTML page of a run or a receipt",
        description="Write one self-contained HTML page of what was run before, without a model: of a batch its "
        "answers, of an eval run its figures and plots, of a receipt (JSON that `ask --report FILE.json` wrote) the "
        "answer with its frames and traces. The last line printed is the page's path.",
    )
    add = parser.add_argument
    add("run_or_receipt", metavar="RUN", type=name, help="folder of a batch or eval run, or a receipt")
    add("--out", type=name, metavar="FILE", help="page to write (default: report.html in the run, RECEIPT.html)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print its path."""
    source = Path(arguments.run_or_receipt)
    page = Path(arguments.out) if arguments.out else source / "report.html" if source.is_dir() else None
    page = page or source.with_suffix(".html")
    text = _page_of(source)
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{quote(str(page))} cannot be written: {exc.strerror}; choose another --out FILE") from exc
    print(page)
    return 0


def _page_of(source: Path) -> str:
    if not source.is_dir():
        from vreason_agent.receipt import html_page, read_receipt

        return html_page(read_receipt(source))
    from vreason_agent.evaluation.runner import read_runs

    runs = read_runs(source)
    if (source / MANIFEST).exists():
        from vreason_agent.cli.eval import read_manifest
        from vreason_agent.evaluation.run_report import make_report, report_html

        return report_html(make_report(read_manifest(source), runs), runs)
    from vreason_agent.batch_run import flat_row
    from vreason_agent.receipt import batch_page

    return batch_page(source.name, [flat_row(result) for one in runs for result in one.results])
