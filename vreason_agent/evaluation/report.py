"""Cells and tables of results in Markdown, figures with their 95 % intervals.

This module does not know how the results came about.
"""

from __future__ import annotations

from collections.abc import Sequence

from vreason_agent.evaluation.metrics import Estimate, accuracy
from vreason_agent.evaluation.runner import Result

ALL_KINDS = "all"
Results = Sequence[Result]


def accuracy_of(results: Results) -> Estimate:
    """Accuracy of a run, its interval widened for questions that share a video."""
    return accuracy([row.score.is_correct for row in results], clusters=_clusters(results))


def by_kind(results: Results) -> dict[str, list[Result]]:
    """Split a run by question kind; the first group, `"all"`, holds every row."""
    groups: dict[str, list[Result]] = {ALL_KINDS: list(results)}
    for kind in sorted({row.question.kind for row in results}):
        groups[kind] = [row for row in results if row.question.kind == kind]
    return groups


def percent(estimate: Estimate, *, signed: bool = False, bare: bool = False) -> str:
    """Format a share as percent, with its interval unless `bare`."""
    if estimate.value is None:
        return "-"
    form = "{:+.1f}" if signed else "{:.1f}"
    value = form.format(100 * estimate.value)
    if bare or estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{form.format(100 * estimate.low)}, {form.format(100 * estimate.high)}]"


def number(estimate: Estimate, *, digits: int = 3, with_interval: bool = False) -> str:
    """Format a mean or an area, on request with its interval."""
    if estimate.value is None:
        return "-"
    value = f"{estimate.value:.{digits}f}"
    if not with_interval or estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is left-aligned, the others right-aligned."""
    lines = [headers, [":--", *["--:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _clusters(results: Results) -> list[str]:
    return [row.question.cluster for row in results]
