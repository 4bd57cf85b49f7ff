"""The report of an `eval` run, and of two runs compared: as plain data, as text, and as one self-contained HTML page.

Runs that differ in their seed only are one row: their answers are pooled, a question's value is its mean over seeds,
and intervals treat the questions of one video as one. This module does not know how the answers came about.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

from vreason_agent.errors import EvaluationError, quote
from vreason_agent.evaluation.benchmark_files import summarize
from vreason_agent.evaluation.metrics import Estimate, accuracy, auroc, bootstrap_difference, mean
from vreason_agent.evaluation.report import by_kind, markdown_table, number, percent
from vreason_agent.evaluation.runner import Result, Run
from vreason_agent.plots import html_image, plot_accuracy_by_frames, plot_categories, plot_profiles, plot_risk_coverage

Results = Sequence[Result]
PROFILE_POINTS = 20


def grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group runs by their label: the seeds of one setting."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    return groups


def make_report(manifest: Mapping[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """Return the report of one run folder as JSON data.

    Every other decoding is compared with plain decoding (schedule `off`) of the same frames and temperature.

    Args:
        manifest: What was run; `benchmark` names the authors' own figures, if the dataset has some.
        runs: Every configuration with its answers.
    """
    groups = grouped(runs)
    settings = [_setting(label, group, manifest.get("benchmark")) for label, group in groups.items()]
    plain = {_condition(group): label for label, group in groups.items() if _is_plain(group)}
    compared = [
        compare(groups[base], group, names=(base, label))
        for label, group in groups.items()
        if (base := plain.get(_condition(group))) not in (None, label)
    ]
    return {"manifest": dict(manifest), "settings": settings, "comparisons": compared}


def _condition(runs: Sequence[Run]) -> tuple[Any, ...]:
    """Return what two runs must share to differ by their decoding only."""
    return tuple(runs[0].config.get(name) for name in ("num_frames", "temperature", "max_new_tokens"))


def _is_plain(runs: Sequence[Run]) -> bool:
    vreason = runs[0].config.get("vreason") or {}
    return vreason.get("schedule") == "off" and not vreason.get("lite") and not runs[0].config.get("is_direct")


def compare(first: Sequence[Run], second: Sequence[Run], *, names: tuple[str, str]) -> dict[str, Any]:
    """Return paired differences `second - first` over the questions that both answered, as JSON data.

    Args:
        first: The seeds of one setting.
        second: Those of another.
        names: What they are called.

    Raises:
        EvaluationError: No question is in both.
    """
    one, other = _by_question(first), _by_question(second)
    common = [digest for digest in one if digest in other]
    if not common:
        msg = f"{quote(names[0])} and {quote(names[1])} have no question in common; run both on one dataset"
        raise EvaluationError(msg)
    clusters = [one[digest][0].question.cluster for digest in common]

    def difference(value: Callable[[Result], float]) -> dict[str, Any]:
        means = [[fmean(map(value, rows[digest])) for digest in common] for rows in (one, other)]
        return asdict(bootstrap_difference(means[0], means[1], clusters=clusters))

    pairs = [(a, b) for digest in common for a, b in zip(one[digest], other[digest], strict=False)]
    return {
        "first": names[0],
        "second": names[1],
        "num_questions": len(common),
        "num_only_in_one": len(one) + len(other) - 2 * len(common),
        "num_seeds": [len(first), len(second)],
        "points": difference(lambda row: row.score.points),
        "tokens": difference(lambda row: row.answer.num_tokens),
        "seconds": difference(lambda row: row.answer.seconds),
        "mean_entropy": difference(lambda row: row.answer.signals.get("mean_entropy") or 0.0),
        "share_answers_changed": fmean(_said(a) != _said(b) for a, b in pairs),
        "share_texts_changed": fmean(a.answer.token_hash != b.answer.token_hash for a, b in pairs),
        "num_gained": sum(b.score.points > a.score.points for a, b in pairs),
        "num_lost": sum(b.score.points < a.score.points for a, b in pairs),
    }


def compare_folders(first: Sequence[Run], second: Sequence[Run], *, names: tuple[str, str]) -> list[dict[str, Any]]:
    """Compare two run folders: setting by setting where both have it, or the only setting of each.

    Raises:
        EvaluationError: They share no setting and hold more than one each, or share no question.
    """
    one, other = grouped(first), grouped(second)
    common = [label for label in one if label in other]
    if len(one) == len(other) == 1:
        ((label, runs),), ((label_too, runs_too),) = one.items(), other.items()
        return [compare(runs, runs_too, names=(f"{names[0]}: {label}", f"{names[1]}: {label_too}"))]
    if not common:
        msg = f"{names[0]} has {', '.join(one)}; {names[1]} has {', '.join(other)}: none is in both; run one anew"
        raise EvaluationError(msg)
    return [
        compare(one[label], other[label], names=(f"{names[0]}: {label}", f"{names[1]}: {label}")) for label in common
    ]


def _by_question(runs: Sequence[Run]) -> dict[str, list[Result]]:
    rows: dict[str, list[Result]] = {}
    for run in runs:
        for row in run.results:
            rows.setdefault(row.question.digest, []).append(row)
    return rows


def _said(row: Result) -> str:
    return row.answer.choice or row.answer.answer or ""


def _setting(label: str, runs: Sequence[Run], benchmark: str | None) -> dict[str, Any]:
    rows = [row for run in runs for row in run.results]
    per_seed = [fmean(row.score.points for row in run.results) for run in runs]
    signals = ("mean_entropy", "peak_entropy", "final_entropy", "entropy_drop", "answer_probability")
    return {
        "label": label,
        "config": dict(runs[0].config),
        "seeds": [run.config.get("seed") for run in runs],
        "num_rows": len(rows),
        "num_failed": sum(row.answer.error is not None for row in rows),
        "num_unread": sum(not row.score.is_parsed for row in rows),
        "points": asdict(_points(rows)),
        "points_per_seed": per_seed,
        "spread_over_seeds": stdev(per_seed) if len(per_seed) > 1 else None,
        "by_kind": {kind: asdict(_points(group)) for kind, group in by_kind(rows).items()},
        "summary": {name: asdict(one) for name, one in summarize(benchmark, rows).items()} if benchmark else {},
        "tokens": asdict(_mean(rows, lambda row: row.answer.num_tokens)),
        "seconds": asdict(_mean(rows, lambda row: row.answer.seconds)),
        "frames": asdict(_mean(rows, lambda row: row.answer.num_frames)),
        "updates": asdict(_mean(rows, lambda row: row.answer.details.get("num_updates"))),
        "peak_position": asdict(_mean(rows, lambda row: row.answer.details.get("peak_position"))),
        "signals": {name: asdict(_mean(rows, lambda row, key=name: row.answer.signals.get(key))) for name in signals},  # type: ignore[misc]
        "auroc_answer_probability": asdict(_auroc(rows)),
    }


def _auroc(rows: Results) -> Estimate:
    scores = [row.answer.signals.get("answer_probability") for row in rows]
    if all(value is None for value in scores):
        return Estimate(None, None, None, len(rows))
    return auroc(scores, [row.score.is_correct for row in rows], clusters=[row.question.cluster for row in rows])


def _points(rows: Results) -> Estimate:
    """Return the mean of the points; of whole points Wilson's interval, which never leaves [0, 1]."""
    clusters = [row.question.cluster for row in rows]
    if all(row.score.points in (0.0, 1.0) for row in rows):
        return accuracy([row.score.is_correct for row in rows], clusters=clusters)
    return mean([row.score.points for row in rows], clusters=clusters)


def _mean(rows: Results, value: Callable[[Result], float | None]) -> Estimate:
    known = [(number, row.question.cluster) for row in rows if (number := value(row)) is not None]
    return mean([value for value, _ in known], clusters=[cluster for _, cluster in known])


# As text.


def report_text(report: Mapping[str, Any]) -> str:
    """Return a report as Markdown tables."""
    manifest, settings = report["manifest"], report["settings"]
    head = [f"{manifest['dataset']}: {manifest['num_questions']} questions; {manifest['model']['name']}"]
    head += [f"note: {note}" for note in manifest.get("notes", ())]
    tables = [_settings_table(settings), _kinds_table(settings)]
    if any(one["summary"] for one in settings):
        tables.append(_summary_table(settings))
    if report["comparisons"]:
        tables.append(comparison_text(report["comparisons"]))
    return "\n\n".join(["\n".join(head), *tables])


def comparison_text(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Return comparisons as a Markdown table: the second minus the first, in points of a hundred."""
    headers = ["second minus first", "questions", "seeds", "accuracy", "gained", "lost", "answers changed"]
    headers += ["texts changed", "tokens", "mean entropy", "seconds"]
    rows = [
        [
            f"{one['second']} minus {one['first']}",
            str(one["num_questions"]) + (f" ({one['num_only_in_one']} in one only)" if one["num_only_in_one"] else ""),
            " / ".join(str(count) for count in one["num_seeds"]),
            percent(Estimate(**one["points"]), signed=True),
            str(one["num_gained"]),
            str(one["num_lost"]),
            f"{100 * one['share_answers_changed']:.1f} %",
            f"{100 * one['share_texts_changed']:.1f} %",
            _signed(one["tokens"], 1),
            _signed(one["mean_entropy"], 4),
            _signed(one["seconds"], 2),
        ]
        for one in comparisons
    ]
    return markdown_table(headers, rows)


def _settings_table(settings: Sequence[Mapping[str, Any]]) -> str:
    headers = ["setting", "rows", "accuracy %", "± over seeds", "unread", "failed", "frames", "tokens", "seconds"]
    headers += ["peak (nats)", "its position", "final (nats)", "AUROC"]
    rows = [
        [
            one["label"],
            str(one["num_rows"]),
            percent(Estimate(**one["points"])),
            "-" if one["spread_over_seeds"] is None else f"{100 * one['spread_over_seeds']:.1f}",
            str(one["num_unread"]),
            str(one["num_failed"]),
            *(_bare(one[name], digits) for name, digits in (("frames", 1), ("tokens", 1), ("seconds", 2))),
            _bare(one["signals"]["peak_entropy"], 3),
            _bare(one["peak_position"], 2),
            _bare(one["signals"]["final_entropy"], 3),
            _bare(one["auroc_answer_probability"], 3),
        ]
        for one in settings
    ]
    return markdown_table(headers, rows)


def _kinds_table(settings: Sequence[Mapping[str, Any]]) -> str:
    kinds = list(dict.fromkeys(kind for one in settings for kind in one["by_kind"]))
    rows = [
        [kind, *(percent(Estimate(**one["by_kind"][kind])) if kind in one["by_kind"] else "-" for one in settings)]
        for kind in kinds
    ]
    return markdown_table(["accuracy % by kind", *(one["label"] for one in settings)], rows)


def _summary_table(settings: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for one in settings for name in one["summary"]))
    rows = [
        [name, *(percent(Estimate(**one["summary"][name])) if name in one["summary"] else "-" for one in settings)]
        for name in names
    ]
    return markdown_table(["as the authors report", *(one["label"] for one in settings)], rows)


def _bare(estimate: Mapping[str, Any], digits: int) -> str:
    return number(Estimate(**estimate), digits=digits)


def _signed(estimate: Mapping[str, Any], digits: int) -> str:
    value = estimate["value"]
    return "-" if value is None else f"{value:+.{digits}f}"


# As a page.

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1f2937;max-width:72rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:13px;margin:1rem 0;display:block;overflow-x:auto}
th,td{border-bottom:1px solid #e5e7eb;padding:.25rem .6rem;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{background:#f9fafb}
img{max-width:100%}pre{background:#f9fafb;padding:1rem;overflow-x:auto;font-size:12px}"""


def report_html(report: Mapping[str, Any], runs: Sequence[Run]) -> str:
    """Return a report as one HTML page that needs no other file: the tables, and plots as embedded SVG.

    Raises:
        DependencyError: matplotlib is missing.
    """
    manifest, groups = report["manifest"], grouped(runs)
    rows = {label: [row for run in group for row in run.results] for label, group in groups.items()}
    title = f"{manifest['dataset']}, {manifest['model']['name']}"
    images = [html_image(figure, alt=alt) for alt, figure in _figures(report, rows)]
    tables = "\n".join(_html_table(block) for block in report_text(report).split("\n\n"))
    facts = html.escape("\n".join(f"{key}: {value}" for key, value in manifest.items()))
    body = f"<h1>{html.escape(title)}</h1>\n{tables}\n{''.join(images)}\n<h2>Manifest</h2>\n<pre>{facts}</pre>"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _figures(report: Mapping[str, Any], rows: Mapping[str, Results]) -> list[tuple[str, Any]]:
    kinds = {
        one["label"]: {kind: (e["value"], e["low"], e["high"]) for kind, e in one["by_kind"].items()}
        for one in report["settings"]
    }
    figures = [("accuracy by kind", plot_categories(kinds, title="Accuracy by kind, 95 % intervals"))]
    by_frames: dict[str, list[tuple[int, float, float | None, float | None]]] = {}
    for one in report["settings"]:
        name = one["config"].get("vreason", {}).get("schedule", one["label"])
        points = one["points"]
        row = (round(one["frames"]["value"] or 0), points["value"], points["low"], points["high"])
        by_frames.setdefault(str(name), []).append(row)
    if len({row[0] for group in by_frames.values() for row in group}) > 1:
        figures.append(("accuracy by frames", plot_accuracy_by_frames(by_frames, title="Accuracy by frames")))
    if curves := {label: curve for label, group in rows.items() if (curve := _curve(group))}:
        figures.append(("risk and coverage", plot_risk_coverage(curves, title="Answered by answer probability")))
    if profiles := {name: profile for label, group in rows.items() for name, profile in _profiles(label, group)}:
        figures.append(("entropy profile", plot_profiles(profiles, title="Entropy from first token to last")))
    return figures


def _curve(rows: Results) -> tuple[list[float], list[bool]] | None:
    values = [(row.answer.signals.get("answer_probability") or 0.0, row.score.is_correct) for row in rows]
    return (
        ([value for value, _ in values], [right for _, right in values]) if any(value for value, _ in values) else None
    )


def _profiles(label: str, rows: Results) -> list[tuple[str, list[float]]]:
    """Return the mean entropy at equal shares of the way through the generation, of right and of wrong answers."""
    profiles = []
    for name, is_right in (("right", True), ("wrong", False)):
        series = [
            row.answer.details["entropy"]
            for row in rows
            if row.score.is_correct == is_right and row.answer.details.get("entropy")
        ]
        if series:
            at = [index / (PROFILE_POINTS - 1) for index in range(PROFILE_POINTS)]
            values = [fmean(one[round(share * (len(one) - 1))] for one in series) for share in at]
            profiles.append((f"{label}: {name}", values))
    return profiles


def _html_table(block: str) -> str:
    """Return a Markdown table, or a paragraph, as HTML."""
    lines = block.split("\n")
    if not lines[0].startswith("|"):
        return "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    cells = [[html.escape(cell.strip()) for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]
    head, *rows = cells
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
