"""How well each raw signal tells right answers from wrong ones, with steering off and on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.quality.bench import Bench
from vreason_agent.decoding import VReasonConfig
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.evaluation.report import accuracy_of, percent, signal_table

HIGHER_IS_CONFIDENT = {
    "answer_probability": True,
    "joint_probability": True,
    "option_probability": True,
    "option_margin": True,
    "option_probability_before": True,
    "option_margin_before": True,
    "option_mass": True,
    "self_certainty": True,
    "answer_entropy": False,
    "mean_entropy": False,
    "final_entropy": False,
    "unsteered_final_entropy": False,
    "entropy_drop": True,
    "peak_entropy": False,
    "weakest_window_entropy": False,
    "perplexity": False,
    "slope": False,
    "num_increases": False,
    "num_tokens": False,
}
"""Every signal of `vreason_agent.confidence.read_signals`, with the direction it is read in, fixed before measuring."""


def signals(bench: Bench, configs: Mapping[str, VReasonConfig], frame_counts: Sequence[int]) -> str:
    """Return the AUROC of every signal per decoding and frame count, as Markdown; below 0.5 it points the other way.

    First over the rows that have the signal, then as a gate over all rows sees it.
    """
    runs = {
        f"{name}, {num_frames} frames": bench.run(Setting(num_frames=num_frames, vreason=config))
        for num_frames in frame_counts
        for name, config in configs.items()
    }
    right = "; ".join(f"{name}: {percent(accuracy_of(rows))} % right" for name, rows in runs.items())
    head = f"AUROC for being right, {bench.split} questions, weights {bench.engine.fingerprint}. {right}."
    measured = signal_table(runs, HIGHER_IS_CONFIDENT)
    gate = signal_table(runs, HIGHER_IS_CONFIDENT, missing_ranks_last=True)
    return "\n".join([head, "", measured, "", "The same with rows ranked last that lack the signal:", "", gate])
