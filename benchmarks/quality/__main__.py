"""The closing figures: `python -m benchmarks.quality COMMAND --data DIR --out DIR`.

card, schedules, signals, agent and ladder make figures on test questions (ladder: every policy over the same answers,
and its bars); tune-steps, tune-phase and tune-policy compare
settings on development questions (--split dev), calibrate fits a calibrator on them; verify checks the batched ladder
against the real graph.

Run from the repository's root. Clips and answers are kept in the folders given by --data and --out, so that a stopped
run goes on where it was and a finished one prints its table at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.quality.agent import BY_SEED, agent, tune_policy
from benchmarks.quality.bench import Bench
from benchmarks.quality.calibration import calibrate
from benchmarks.quality.card import card
from benchmarks.quality.phases import tune_phase
from benchmarks.quality.replay import ladder_report
from benchmarks.quality.schedules import SCHEDULES, compare_schedules, decoding_config, tune_steps
from benchmarks.quality.signals import signals
from benchmarks.quality.verify import verify
from vreason_agent.confidence import Calibrator
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import VReasonError
from vreason_agent.graphs.policy import AcceptPolicy, Ladder

DEFAULTS, POLICY, LADDER = VReasonConfig(), AcceptPolicy(), Ladder()


def main(argv: Sequence[str] | None = None) -> int:
    """Make one figure and print it."""
    args = _parser().parse_args(argv)
    bench = Bench(
        data=args.data,
        out=args.out,
        model=args.model,
        split=args.split,
        num_questions=args.questions,
        first_seed=args.first_seed,
        batch_size=args.batch_size,
        scene_set=args.scene_set,
    )
    try:
        print(_COMMANDS[args.command](bench, args))
    except VReasonError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


def _card(bench: Bench, args: argparse.Namespace) -> str:
    return card(bench, args.frames)


def _schedules(bench: Bench, args: argparse.Namespace) -> str:
    return compare_schedules(
        bench,
        args.schedules,
        num_frames=args.frames,
        learning_rate=args.learning_rate,
        update_interval=args.update_interval,
    )


def _tune_steps(bench: Bench, args: argparse.Namespace) -> str:
    return tune_steps(
        bench,
        args.schedule,
        num_frames=args.frames,
        learning_rates=args.learning_rates,
        update_intervals=args.update_intervals,
    )


def _tune_phase(bench: Bench, args: argparse.Namespace) -> str:
    return tune_phase(
        bench,
        args.frames,
        warmup_steps=args.warmup_steps,
        min_final_steps=args.min_final_steps,
        ema_decays=args.ema_decays,
    )


def _signals(bench: Bench, args: argparse.Namespace) -> str:
    steered = decoding_config("switching", learning_rate=args.learning_rate, update_interval=args.update_interval)
    return signals(bench, {"off": VReasonConfig(schedule="off"), "switching": steered}, args.frames)


def _calibrate(bench: Bench, args: argparse.Namespace) -> str:
    return calibrate(bench, _vreason(args), args.frames, path=args.calibrator, held_out=args.held_out)


def _agent(bench: Bench, args: argparse.Namespace) -> str:
    return agent(bench, _policy(args), LADDER, _vreason(args))


def _ladder(bench: Bench, args: argparse.Namespace) -> str:
    calibrator = None if args.calibrator is None else Calibrator.load(args.calibrator)
    benches = [replace(bench, scene_set=scene_set) for scene_set in args.scene_sets or [bench.scene_set]]
    vreason = _vreason(args)
    return "\n\n".join(ladder_report(one, vreason, calibrator=calibrator, max_risk=args.max_risk) for one in benches)


def _verify(bench: Bench, args: argparse.Namespace) -> str:
    return verify(bench, _policy(args), LADDER, _vreason(args))


def _tune_policy(bench: Bench, args: argparse.Namespace) -> str:
    return tune_policy(
        bench,
        LADDER,
        _vreason(args),
        min_entropy_drops=args.min_entropy_drops,
        min_agreeing=args.min_agreeings,
        max_retries=args.max_retry_counts,
    )


_COMMANDS: dict[str, Callable[[Bench, argparse.Namespace], str]] = {
    "card": _card,
    "schedules": _schedules,
    "tune-steps": _tune_steps,
    "tune-phase": _tune_phase,
    "signals": _signals,
    "calibrate": _calibrate,
    "agent": _agent,
    "ladder": _ladder,
    "verify": _verify,
    "tune-policy": _tune_policy,
}


def _policy(args: argparse.Namespace) -> AcceptPolicy:
    return AcceptPolicy(
        min_entropy_drop=args.min_entropy_drop,
        min_agreeing=args.min_agreeing,
        max_retries=args.max_retries,
        variations=BY_SEED,
    )


def _vreason(args: argparse.Namespace) -> VReasonConfig:
    """Return the package's defaults under another schedule: what `ask` decodes with."""
    return VReasonConfig(schedule=args.schedule)


def frame_count(value: str) -> int:
    """Accept an even number of frames."""
    if not value.isdecimal() or int(value) < 2 or int(value) % 2:
        raise argparse.ArgumentTypeError(f"{value!r} is no even number of frames from 2; use one such as 8")
    return int(value)


def question_count(value: str) -> int:
    """Accept a number of questions."""
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is no number of questions from 1; use one such as 200")
    return int(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _COMMANDS:
        _add_common(commands.add_parser(name))
    for name, default in (
        ("card", LADDER.rungs()),
        ("tune-phase", LADDER.rungs()),
        ("signals", (8,)),
        ("calibrate", LADDER.rungs()),
    ):
        commands.choices[name].add_argument("--frames", nargs="+", type=frame_count, default=default, metavar="N")
    for name in ("schedules", "tune-steps"):
        commands.choices[name].add_argument("--frames", type=frame_count, default=8, metavar="N")
    for name in ("schedules", "signals"):
        steps = commands.choices[name]
        steps.add_argument("--learning-rate", type=float, default=DEFAULTS.learning_rate)
        steps.add_argument("--update-interval", type=int, default=DEFAULTS.update_interval)
    commands.choices["schedules"].add_argument("--schedules", nargs="+", choices=SCHEDULES, default=SCHEDULES)
    tuning = commands.choices["tune-steps"]
    tuning.add_argument("--learning-rates", nargs="+", type=float, default=[0.05, 0.2, 0.5])
    tuning.add_argument("--update-intervals", nargs="+", type=int, default=[1, 2, 4])
    phase = commands.choices["tune-phase"]
    phase.add_argument("--warmup-steps", nargs="+", type=int, default=[4, 8, 12])
    phase.add_argument("--min-final-steps", nargs="+", type=int, default=[1, 2, 4, 8])
    phase.add_argument("--ema-decays", nargs="+", type=float, default=[0.8, 0.9, 0.95])
    fitting = commands.choices["calibrate"]
    fitting.add_argument("--calibrator", type=Path, required=True, help="JSON file to write")
    fitting.add_argument("--held-out", type=float, default=0.5, help="share of clips for bounds on the ladder's risk")
    for name in ("calibrate", "tune-steps", "agent", "ladder", "verify", "tune-policy"):
        commands.choices[name].add_argument("--schedule", choices=SCHEDULES, default=DEFAULTS.schedule)
    for name in ("agent", "verify"):
        policy = commands.choices[name]
        policy.add_argument("--min-entropy-drop", type=float, default=POLICY.min_entropy_drop)
        policy.add_argument("--min-agreeing", type=int, default=POLICY.min_agreeing)
        policy.add_argument("--max-retries", type=int, default=POLICY.max_retries)
    ladder = commands.choices["ladder"]
    ladder.add_argument("--scene-sets", nargs="+", choices=("standard", "dense", "mixed"), help="one report each")
    ladder.add_argument("--calibrator", type=Path, help="JSON file (default: the one shipped for the model)")
    ladder.add_argument("--max-risk", type=float, default=0.05)
    thresholds = commands.choices["tune-policy"]
    thresholds.add_argument("--min-entropy-drops", nargs="+", type=float, default=[-9.0, 0.0, 0.3, 0.5, 0.6, 0.7, 0.8])
    thresholds.add_argument("--min-agreeings", nargs="+", type=int, default=[1, 2])
    thresholds.add_argument("--max-retry-counts", nargs="+", type=int, default=[0, 1])
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, required=True, help="cache folder of clips, outside the repository")
    command.add_argument("--out", type=Path, required=True, help="folder of answers; a stopped run goes on from it")
    command.add_argument("--model", default="tiny", help="folder or hub id (default: the bundled model)")
    command.add_argument("--split", choices=("test", "dev"), default="test")
    command.add_argument("--scene-set", choices=("standard", "dense", "mixed"), default="standard")
    command.add_argument(
        "--questions", type=question_count, default=1000, help="number of questions (default: %(default)s)"
    )
    command.add_argument("--first-seed", type=int, default=0, help="seed of the first question (default: 0)")
    command.add_argument("--batch-size", type=int, default=48)


if __name__ == "__main__":
    raise SystemExit(main())
