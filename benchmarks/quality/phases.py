"""How the definition of the final phase decides what the entropy drop says; compared on development seeds.

The entropies of plain decoding do not depend on these settings, so that one run serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from benchmarks.quality.bench import Bench
from benchmarks.quality.schedules import require_dev
from vreason_agent.decoding import DecodingTrace, VReasonConfig
from vreason_agent.decoding.phase import PhaseTracker
from vreason_agent.evaluation import Answer, Result
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.evaluation.report import markdown_table, number, signal_auroc

DROP = "entropy_drop"


def tune_phase(
    bench: Bench,
    frame_counts: Sequence[int],
    *,
    warmup_steps: Sequence[int],
    min_final_steps: Sequence[int],
    ema_decays: Sequence[float],
) -> str:
    """Return, per setting and frame count, how many answers have an entropy drop and its AUROC, as Markdown.

    Raises:
        ConfigError: The bench holds test questions.
    """
    require_dev(bench)
    runs = {count: bench.run(Setting(num_frames=count)) for count in frame_counts}
    headers = ["warmup_steps", "min_final_steps", "ema_decay"]
    rows = []
    for warmup, fewest, decay in product(warmup_steps, min_final_steps, ema_decays):
        config = VReasonConfig(schedule="off", warmup_steps=warmup, min_final_steps=fewest, ema_decay=decay)
        cells = [_cell([_measured(row, config) for row in run]) for run in runs.values()]
        rows.append([str(warmup), str(fewest), f"{decay:g}", *cells])
    head = f"{bench.num_questions} dev questions, off; AUROC of the entropy drop (share of answers that have one)"
    table = markdown_table([*headers, *(f"{count} frames" for count in frame_counts)], rows)
    return "\n".join([f"{head}; weights {bench.engine.fingerprint}.", "", table])


def entropy_drop(answer: Answer, config: VReasonConfig) -> float | None:
    """Return the drop that `DecodingTrace` finds in these entropies under `config`."""
    entropy, tracker = answer.details["entropy"][: answer.details["answer_stop"]], PhaseTracker(config)
    averages = tuple(tracker.observe(step, value).entropy_ema for step, value in enumerate(entropy))
    trace = DecodingTrace(config, entropy=tuple(entropy), entropy_ema=averages, forced=(False,) * len(entropy))
    return trace.entropy_drop()


def _measured(row: Result, config: VReasonConfig) -> Result:
    return replace(row, answer=replace(row.answer, signals={DROP: entropy_drop(row.answer, config)}))


def _cell(results: Sequence[Result]) -> str:
    share = sum(row.answer.signals[DROP] is not None for row in results) / len(results)
    area = signal_auroc(results, DROP, higher_is_confident=True)
    return f"{number(area, with_interval=True)} ({100 * share:.0f} %)"
