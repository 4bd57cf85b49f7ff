"""The model card: accuracy per kind and frame count, beside an oracle, without video, and by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.quality.bench import Bench
from vreason_agent.evaluation import Estimate, Result, mean
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.evaluation.report import accuracy_of, by_kind, card_table, percent
from vreason_agent.evaluation.world_dataset import oracle_results

Results = Sequence[Result]


def card(bench: Bench, frame_counts: Sequence[int]) -> str:
    """Return the card as Markdown: the table, and below it what the bar of the bundled model asks."""
    model = {num_frames: bench.run(Setting(num_frames=num_frames)) for num_frames in frame_counts}
    oracle = {num_frames: oracle_results(results) for num_frames, results in model.items()}
    blind = bench.run(Setting(num_frames=0))
    title = f"{bench.title}, weights {bench.engine.fingerprint}"
    table = card_table(model, oracle, blind)
    return "\n".join([f"{title}; accuracy in % with 95 % interval.", "", table, "", *bar(model, oracle, blind)])


def bar(model: Mapping[int, Results], oracle: Mapping[int, Results], blind: Results) -> list[str]:
    """Return the figures that the bar is about, one a line: share of the oracle's accuracy, few frames, no video."""
    most, fewest = max(model), min(model)
    shares = {kind: _share(rows, by_kind(oracle[most])[kind]) for kind, rows in by_kind(model[most]).items()}
    weakest = min((kind for kind in shares if kind != "all"), key=lambda kind: shares[kind])
    chance = mean([row.question.chance for row in blind if row.question.chance is not None])
    unparsed = [sum(not row.score.is_parsed for row in rows) / len(rows) for rows in model.values()]
    return [
        f"- at {most} frames: {shares['all']:.1%} of the oracle's accuracy overall (bar 90 %); "
        f"lowest kind {weakest}: {shares[weakest]:.1%} (bar 80 %)",
        f"- at {fewest} frames: {percent(accuracy_of(model[fewest]))} against {percent(accuracy_of(model[most]))}",
        f"- without video: {percent(accuracy_of(blind))}, a uniform guess {percent(chance, bare=True)} (bar: within 5)",
        f"- by form at {most} frames: {_by_form(model[most])}",
        f"- outputs without a readable answer: {', '.join(f'{share:.1%}' for share in unparsed)}",
    ]


def _share(rows: Results, bound: Results) -> float:
    return _value(accuracy_of(rows)) / max(_value(accuracy_of(bound)), 1e-9)


def _by_form(rows: Results) -> str:
    forms = {
        "multiple choice": [row for row in rows if row.question.options],
        "open": [row for row in rows if row.question.is_open],
    }
    return ", ".join(f"{name} {percent(accuracy_of(part))} (n = {len(part)})" for name, part in forms.items())


def _value(estimate: Estimate) -> float:
    return 0.0 if estimate.value is None else estimate.value
