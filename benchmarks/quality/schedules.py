"""V-Reason's schedules against plain decoding on the same questions; its step tuned on development seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from benchmarks.quality.bench import Bench
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import ConfigError
from vreason_agent.evaluation import Result, mean
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.evaluation.report import comparison_table, markdown_table, number

SCHEDULES = ("off", "switching", "alternating", "minimize", "maximize", "random")
SIGNALS = ("mean_entropy", "final_entropy", "entropy_drop")


def decoding_config(schedule: str, *, learning_rate: float, update_interval: int) -> VReasonConfig:
    """Return the configuration of a schedule; a steered one records the unsteered entropy too, for its AUROC."""
    if schedule == "off":
        return VReasonConfig(schedule="off")
    return VReasonConfig(
        schedule=schedule,  # type: ignore[arg-type]  # validated by the config
        learning_rate=learning_rate,
        update_interval=update_interval,
        record_unsteered_entropy=True,
    )


def compare_schedules(
    bench: Bench, schedules: Sequence[str], *, num_frames: int, learning_rate: float, update_interval: int
) -> str:
    """Return the comparison of schedules with `off`, as Markdown."""
    rate = {"learning_rate": learning_rate, "update_interval": update_interval}
    configs = {name: decoding_config(name, **rate) for name in schedules}  # type: ignore[arg-type]
    title = f"{num_frames} frames, learning_rate {learning_rate:g}, update_interval {update_interval}"
    return _compare(bench, configs, num_frames, title)


def tune_steps(
    bench: Bench, schedule: str, *, num_frames: int, learning_rates: Sequence[float], update_intervals: Sequence[int]
) -> str:
    """Return the comparison of one schedule's step sizes and intervals with `off`, on development seeds only.

    Raises:
        ConfigError: The bench holds test questions.
    """
    require_dev(bench)
    configs = {"off": VReasonConfig(schedule="off")}
    for rate, interval in product(learning_rates, update_intervals):
        configs[f"{schedule}, lr {rate:g}, k {interval}"] = decoding_config(
            schedule, learning_rate=rate, update_interval=interval
        )
    return _compare(bench, configs, num_frames, f"{num_frames} frames, tuning of {schedule}")


def require_dev(bench: Bench) -> None:
    """Raise `ConfigError` where something would be tuned on test questions."""
    if bench.split != "dev":
        msg = f"split={bench.split!r}: tuning on it would spoil every figure; use --split dev"
        raise ConfigError(msg)


def _compare(bench: Bench, configs: Mapping[str, VReasonConfig], num_frames: int, title: str) -> str:
    runs = {name: bench.run(Setting(num_frames=num_frames, vreason=config)) for name, config in configs.items()}
    table = comparison_table(runs, baseline="off", signals=SIGNALS)
    head = f"{bench.num_questions} {bench.split} questions, {title}; weights {bench.engine.fingerprint}."
    return "\n".join([head, "", table, "", _steering_table(runs)])


def _steering_table(runs: Mapping[str, Sequence[Result]]) -> str:
    """How often each schedule acted, and how far it was from always lowering entropy."""
    names = ("num_updates", "share_differs_from_minimize", "exploitation_share")
    rows = []
    for name, results in runs.items():
        values = [[row.answer.details.get(item) for row in results] for item in names]
        cells = [number(mean([float(value) for value in column if value is not None]), digits=2) for column in values]
        rows.append([name, *cells])
    return markdown_table(["run", "updates", "share unlike minimize", "share of steps in exploitation"], rows)
