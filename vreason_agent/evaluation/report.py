"""Tables of results in Markdown, every figure with its 95 % interval and its number of rows.

This module does not know how the results came about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vreason_agent.answers import normalize_answer
from vreason_agent.errors import EvaluationError, quote
from vreason_agent.evaluation.metrics import Estimate, accuracy, auroc, mcnemar_p_value, mean, paired_difference
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


def share_changed(first: Results, second: Results) -> Estimate:
    """Share of questions whose final answer differs between two runs, however it is written."""
    return _share(first, second, lambda row: normalize_answer(row.answer.answer or ""))


def share_rewritten(first: Results, second: Results) -> Estimate:
    """Share of questions whose generated tokens differ between two runs."""
    return _share(first, second, lambda row: row.answer.token_hash or row.answer.text)


def signal_mean(results: Results, name: str) -> Estimate:
    """Mean of a signal over the rows that have it; `n` says how many."""
    rows = [row for row in results if row.answer.signals.get(name) is not None]
    return mean([float(row.answer.signals[name] or 0.0) for row in rows], clusters=_clusters(rows))


def signal_auroc(
    results: Results, name: str, *, higher_is_confident: bool, missing_ranks_last: bool = False
) -> Estimate:
    """AUROC of a signal for being right, over the rows that have the signal and a readable answer; `n` says how many.

    With `missing_ranks_last` it is that of a gate over all rows, to which the others are the least confident. It then
    mostly measures whether there was a signal, where that says much.
    """
    sign = 1.0 if higher_is_confident else -1.0
    values = [row.answer.signals.get(name) if row.score.is_parsed else None for row in results]
    rows = [(row, value) for row, value in zip(results, values, strict=True) if missing_ranks_last or value is not None]
    scores = [None if value is None else sign * value for _, value in rows]
    ranked = [row for row, _ in rows]
    return auroc(scores, [row.score.is_correct for row in ranked], clusters=_clusters(ranked))


def card_table(model: Mapping[int, Results], oracle: Mapping[int, Results], blind: Results) -> str:
    """Accuracy per kind and number of frames beside the oracle's, then without video and by chance.

    Args:
        model: Results by number of frames.
        oracle: Results of an oracle that sees the sampled frames only, by the same numbers.
        blind: Results of the model without video.
    """
    headers = ["kind", "n"]
    for frames in model:
        headers += [f"{frames} frames", f"oracle {frames}"]
    groups = {frames: by_kind(results) for frames, results in model.items()}
    bounds = {frames: by_kind(results) for frames, results in oracle.items()}
    unseen = by_kind(blind)
    rows = []
    for kind, rows_of_kind in unseen.items():
        cells = [kind, str(len(rows_of_kind))]
        for frames in model:
            cells += [percent(accuracy_of(groups[frames][kind])), percent(accuracy_of(bounds[frames][kind]), bare=True)]
        rows.append([*cells, percent(accuracy_of(rows_of_kind)), _chance(rows_of_kind)])
    return markdown_table([*headers, "no video", "chance"], rows)


def comparison_table(runs: Mapping[str, Results], *, baseline: str, signals: Sequence[str] = ()) -> str:
    """Each run against one of them on the same questions: accuracy, paired difference, tokens, changed answers.

    Raises:
        EvaluationError: `baseline` is none of the runs, or two runs answer different questions.
    """
    if baseline not in runs:
        msg = f"no run named {quote(baseline)} to compare with, found {', '.join(runs)}; run it first or name another"
        raise EvaluationError(msg)
    base = runs[baseline]
    headers = ["run", "n", "accuracy", f"minus {baseline}", "p", "tokens", *signals, "answers changed", "texts changed"]
    rows = []
    for name, results in runs.items():
        require_same_questions(base, results)
        pairs = [[row.score.is_correct for row in run] for run in (base, results)]
        difference = paired_difference(pairs[0], pairs[1], clusters=_clusters(results))
        p_value = mcnemar_p_value(pairs[0], pairs[1])
        tokens = mean([row.answer.num_tokens for row in results])
        cells = [name, str(len(results)), percent(accuracy_of(results))]
        cells += ["", ""] if results is base else [percent(difference, signed=True), f"{p_value:.3f}"]
        cells += [number(tokens, digits=1), *(_mean_cell(results, signal) for signal in signals)]
        cells += [percent(share(base, results), bare=True) for share in (share_changed, share_rewritten)]
        rows.append(cells)
    return markdown_table(headers, rows)


def signal_table(
    runs: Mapping[str, Results], directions: Mapping[str, bool], *, missing_ranks_last: bool = False
) -> str:
    """AUROC of every signal in every run.

    Args:
        runs: Results by name.
        directions: For each signal's name, whether a higher value means more confident.
        missing_ranks_last: Take in the rows without the signal or a readable answer, see `signal_auroc`.
    """
    rows = []
    for signal, higher_is_confident in directions.items():
        cells = [signal, "higher" if higher_is_confident else "lower"]
        for results in runs.values():
            if all(row.answer.signals.get(signal) is None for row in results):
                cells.append("-")
                continue
            area = signal_auroc(
                results, signal, higher_is_confident=higher_is_confident, missing_ranks_last=missing_ranks_last
            )
            cells.append(number(area, digits=3, with_interval=True) + _fewer(area, results))
        rows.append(cells)
    return markdown_table(["signal", "confident when", *(f"{name} (n = {len(runs[name])})" for name in runs)], rows)


def require_same_questions(first: Results, second: Results) -> None:
    """Raise `EvaluationError` unless two runs hold the same questions in the same order."""
    if [row.question.digest for row in first] != [row.question.digest for row in second]:
        msg = f"two runs of {len(first)} and {len(second)} rows answer different questions; run both on one dataset"
        raise EvaluationError(msg)


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


def _mean_cell(results: Results, signal: str) -> str:
    estimate = signal_mean(results, signal)
    return number(estimate) + _fewer(estimate, results)


def _fewer(estimate: Estimate, results: Results) -> str:
    return f" (n = {estimate.n})" if estimate.n < len(results) else ""


def _share(first: Results, second: Results, key: Callable[[Result], str]) -> Estimate:
    require_same_questions(first, second)
    changed = [key(a) != key(b) for a, b in zip(first, second, strict=True)]
    return accuracy(changed, clusters=_clusters(first))


def _clusters(results: Results) -> list[str]:
    return [row.question.cluster for row in results]


def _chance(results: Results) -> str:
    chances = [row.question.chance for row in results if row.question.chance is not None]
    return percent(mean(chances), bare=True) if chances else "-"
