"""Every policy of the ladder over the same answers, and the bars: `python -m benchmarks.ladder --out DIR`.

`vreason-agent eval` asks every question once at every rung (a stopped run goes on); what a policy does with these
answers is then computed by its own code, so that all policies, a random gate of equal cost and a perfect gate see the
same answers. Retries are not replayed: their frames were not looked at (`benchmarks/retries.py` measures those).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.climb import Climb, answer_of, climb
from vreason_agent.cli import main as vreason_agent
from vreason_agent.confidence import Calibrator, Confidence
from vreason_agent.confidence.calibration import apply_calibrator, closest_calibrator
from vreason_agent.confidence.shipped import shipped_calibrators
from vreason_agent.evaluation import Answer, Question, Result, mean, read_runs, score
from vreason_agent.evaluation.metrics import auroc
from vreason_agent.evaluation.reliability import calibration_error
from vreason_agent.evaluation.report import accuracy_of, markdown_table, percent
from vreason_agent.evaluation.world_dataset import oracle_results
from vreason_agent.graphs.policy import AcceptPolicy, Ladder

Rungs = Mapping[int, Sequence[Result]]
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
DROPS = (0.0, 0.3, 0.5, 0.7, 0.9)
SHARES = {"standard": 0.65, "mixed": 0.40}
"""Bar: unique frames of the default policy as a share of those of the last rung."""
TRUST_HEADS = ["rung", "right", "AUROC", "AUROC of sight", "ECE", "ECE of an exact probability, 95th percentile"]
HEADS = ["policy", "accuracy", "frames", "share of last rung", "shown", "seconds", "answered", "wrong of those"]


@dataclass(frozen=True)
class Replayed:
    """One policy over all questions."""

    policy: AcceptPolicy
    climbs: list[Climb]
    results: list[Result]

    @property
    def num_frames(self) -> float:
        """Mean number of different frames of a question."""
        return float(mean([row.answer.num_frames for row in self.results]).value or 0.0)

    @property
    def answered(self) -> list[Result]:
        """Questions that were answered."""
        return [row for row in self.results if row.answer.decision == "accept"]

    @property
    def stops(self) -> list[int]:
        """Frames of the last attempt of each question."""
        return [one.attempts[-1]["num_frames"] for one in self.climbs]


def main(argv: Sequence[str] | None = None) -> None:
    """Ask what has not been asked, and print the report of every set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs, one per set")
    parser.add_argument(
        "--scene-sets", nargs="+", choices=("standard", "mixed", "dense"), default=["standard", "mixed"]
    )
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--first-seed", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--schedule", default="switching")
    parser.add_argument("--calibrator", type=Path, help="JSON file (default: those shipped for the model)")
    parser.add_argument("--max-risk", type=float, default=0.05)
    args = parser.parse_args(argv)
    counts = Ladder().rungs()
    for scene_set in args.scene_sets:
        folder = args.out / scene_set
        asked = ["eval", f"world:{scene_set}", "--split", args.split, "--questions", str(args.questions)]
        asked += ["--first-seed", str(args.first_seed), "--schedule", args.schedule, "--out", str(folder)]
        asked += ["--frames", *map(str, counts), "--ladder", str(counts[-1])]
        if code := vreason_agent([*asked, "--json"]):
            raise SystemExit(code)
        rungs = {run.config["num_frames"]: run.results for run in read_runs(folder)}
        calibrators = (Calibrator.load(args.calibrator),) if args.calibrator else shipped_calibrators()
        seeds = f"{args.split} seeds {args.first_seed} to {args.first_seed + args.questions - 1}"
        print(f"## {scene_set}, {seeds}, {args.schedule}\n")
        print(ladder_report(calibrated(rungs, calibrators), SHARES.get(scene_set), max_risk=args.max_risk), "\n")


def ladder_report(rungs: Rungs, most: float | None, *, max_risk: float) -> str:
    """Return every policy's figures, the bars, and the questions behind what is missed, as Markdown.

    Args:
        rungs: Answers by number of frames, with their probabilities (`calibrated`).
        most: Bar on the share of the last rung's frames; `None` for none.
        max_risk: Bound on the share of wrong answers of the bounded policy.
    """
    default = replay(rungs, AcceptPolicy(max_retries=0))
    bounded = replay(rungs, AcceptPolicy(max_retries=0, max_risk=max_risk))
    parts = [
        markdown_table(HEADS, policy_rows(rungs, default, bounded)),
        markdown_table(["bar", "needed", "measured", "met"], bars(rungs, default, bounded, most)),
        markdown_table(TRUST_HEADS, trust_rows(rungs, default)),
        "AUROC of sight: of knowing nothing but whether the frames show the answer, which no model is told (1 where an "
        "oracle that is told what they show is right, else 0).",
        "Wrong answers of the default policy, by kind and last rung; `unseen`: the frames do not show the answer "
        "(an oracle that is told what they show is wrong too).",
        markdown_table(["kind", "questions", "wrong", "unseen", *map(str, rungs)], wrong_rows(rungs, default)),
    ]
    return "\n\n".join(parts)


def calibrated(rungs: Rungs, calibrators: Sequence[Calibrator]) -> dict[int, list[Result]]:
    """Return the rows with each answer's probability and its calibrator's thresholds among their details."""
    return {count: [_calibrate(row, calibrators) for row in rows] for count, rows in rungs.items()}


def _calibrate(row: Result, calibrators: Sequence[Calibrator]) -> Result:
    answer, setup = row.answer, row.answer.details.get("setup")
    if not calibrators or setup is None:
        return row
    read = {"text": answer.answer, "choice": answer.choice, "kind": "open"}
    record = apply_calibrator(
        Confidence(answer=read, signals=answer.signals), closest_calibrator(calibrators, setup), setup
    )
    details = {**answer.details, "probability": record.probability, "calibration": record.calibration}
    return replace(row, answer=replace(answer, details=details))


def replay(rungs: Rungs, policy: AcceptPolicy) -> Replayed:
    """Take every question up the ladder by answers that are known."""
    known = {(row.question.id, count): row.answer for count, rows in rungs.items() for row in rows}
    questions = [row.question for row in next(iter(rungs.values()))]
    counts = sorted(rungs)

    def ask(asked: Sequence[Question], num_frames: int, variation: Mapping[str, Any]) -> list[Answer]:
        return [known[question.id, num_frames] for question in asked]

    climbs = climb(questions, ask, ladder=Ladder(counts[0], counts[-1]), policy=policy)
    answers = [answer_of(one) for one in climbs]
    rows = [
        Result(one.question, answer, score(one.question, answer)) for one, answer in zip(climbs, answers, strict=True)
    ]
    return Replayed(policy, climbs, rows)


def policy_rows(rungs: Rungs, default: Replayed, bounded: Replayed) -> list[list[str]]:
    """One row per fixed number of frames, per policy over its thresholds, and per gate."""
    last = max(rungs)
    table = [_fixed_row(count, rows, last) for count, rows in sorted(rungs.items())]
    table.append(_row(f"default (probability >= {default.policy.min_probability:g})", default, last))
    table.append(_row(f"max_risk {bounded.policy.max_risk:g}", bounded, last))
    base = AcceptPolicy(max_retries=0)
    for least in THRESHOLDS:
        table.append(_row(f"probability >= {least:g}", replay(rungs, replace(base, min_probability=least)), last))
    for drop in DROPS:
        rule = replace(base, min_probability=None, min_entropy_drop=drop)
        table.append(_row(f"entropy drop >= {drop:g}, stable", replay(rungs, rule), last))
    stable = replace(base, min_probability=None, min_entropy_drop=None)
    table.append(_row("stable alone", replay(rungs, stable), last))
    for rise in (0.0, 0.05):
        table.append(_row(f"default, min_rise {rise:g}", replay(rungs, replace(base, min_rise=rise)), last))
    table.append(_gate_row("random gate of the default's cost", random_gate(rungs, default), default.num_frames, last))
    return [*table, _gate_row("perfect gate", *perfect_gate(rungs), last)]


def random_gate(rungs: Rungs, replayed: Replayed) -> float:
    """Expected accuracy of stopping at random, at each rung as often as a policy stops there: the same frames."""
    stops = Counter(replayed.stops)
    total = len(replayed.results)
    return sum(stops[count] / total * _share_right(rows) for count, rows in rungs.items())


def perfect_gate(rungs: Rungs) -> tuple[float, float]:
    """Accuracy and unique frames of a gate that stops at the first rung that is right, else at the last."""
    right = [
        next((count for count, row in zip(sorted(rungs), rows, strict=True) if row.score.is_correct), None)
        for rows in zip(*(rungs[count] for count in sorted(rungs)), strict=True)
    ]
    return sum(stop is not None for stop in right) / len(right), sum(stop or max(rungs) for stop in right) / len(right)


def bars(rungs: Rungs, default: Replayed, bounded: Replayed, most: float | None) -> list[list[str]]:
    """What is asked of the ladder, and what was measured."""
    last, eight = max(rungs), sorted(rungs)[1]
    gain = _share_right(default.results) - _share_right(rungs[last])
    share, perfect = default.num_frames / last, perfect_gate(rungs)[1] / last
    gate = _share_right(default.results) - random_gate(rungs, default)
    pooled = [row for rows in rungs.values() for row in rows]
    answered, max_risk = len(bounded.answered) / len(bounded.results), bounded.policy.max_risk or 0.0
    wrong = 1 - _share_right(bounded.answered) if bounded.answered else 0.0
    ends = _ends(default)
    error = calibration_error(*_scored(ends))
    table = [
        (f"best guesses against fixed {last}, points", ">= -1.0", f"{100 * gain:+.1f}", gain >= -0.01),
        (
            f"AUROC of the probability at {eight} frames",
            ">= .90",
            _auroc(rungs[eight]),
            float(_auroc(rungs[eight])) >= 0.9,
        ),
        ("AUROC over all rungs", ">= .90", _auroc(pooled), float(_auroc(pooled)) >= 0.9),
        ("ECE where the ladder ends", f"<= {error.null_high:.3f}", f"{error.value:.3f}", error.is_within_null),
        ("over a random gate of equal cost, points", ">= 8.0", f"{100 * gate:+.1f}", gate >= 0.08),
        (f"answered at max_risk {max_risk:g}", ">= .75", f"{answered:.3f}", answered >= 0.75),
        (f"wrong of those at max_risk {max_risk:g}", f"<= {max_risk:g}", f"{wrong:.3f}", wrong <= max_risk),
    ]
    if most is not None:
        found = f"{share:.3f} (perfect gate: {perfect:.3f})"
        table.insert(1, (f"unique frames as a share of {last}", f"<= {most:.2f}", found, share <= most))
    return [[name, needed, measured, "yes" if met else "no"] for name, needed, measured, met in table]


def trust_rows(rungs: Rungs, default: Replayed) -> list[list[str]]:
    """AUROC and calibration error of the probability per rung, over all, and where the ladder ends."""
    groups = {f"{count} frames": list(rows) for count, rows in sorted(rungs.items())}
    groups["all rungs"] = [row for rows in rungs.values() for row in rows]
    groups["where the ladder ends"] = _ends(default)
    table = []
    for name, rows in groups.items():
        error = calibration_error(*_scored(rows))
        sight = _auroc_of_sight(rows) if name.endswith(" frames") else ""
        aurocs = [percent(accuracy_of(rows)), _auroc(rows), sight]
        table.append([name, *aurocs, f"{error.value:.3f}", f"{error.null_high:.3f}"])
    return table


def wrong_rows(rungs: Rungs, default: Replayed) -> list[list[str]]:
    """Wrong best guesses by kind, how many no reader of the frames could know, and after how many frames they ended."""
    known = {(row.question.id, count): row for count, rows in rungs.items() for row in rows}
    wrong = [row for row in default.results if not row.score.is_correct]
    stops = dict(zip((row.question.id for row in default.results), default.stops, strict=True))
    seen = oracle_results([known[row.question.id, stops[row.question.id]] for row in wrong])
    unseen = {row.question.id for row in seen if not row.score.is_correct}
    table = []
    for kind, total in sorted(Counter(row.question.kind for row in default.results).items()):
        some = [row.question.id for row in wrong if row.question.kind == kind]
        ended = Counter(stops[each] for each in some)
        cells = [total, len(some), sum(each in unseen for each in some), *(ended[count] for count in sorted(rungs))]
        table.append([kind, *map(str, cells)])
    return table


def _ends(replayed: Replayed) -> list[Result]:
    """Return each question's answer with the probability of the attempt that it is quoted from."""
    rows = zip(replayed.climbs, replayed.results, strict=True)
    quoted = [(one.attempts[one.decisions[-1]["quotes"]]["confidence"].get("probability"), row) for one, row in rows]
    return [replace(row, answer=replace(row.answer, details={"probability": value})) for value, row in quoted]


def _scored(rows: Sequence[Result]) -> tuple[list[float], list[bool]]:
    known = [(row.answer.details.get("probability"), row.score.is_correct) for row in rows]
    return [float(value) for value, _ in known if value is not None], [
        right for value, right in known if value is not None
    ]


def _auroc(rows: Sequence[Result]) -> str:
    value = auroc(*_scored(rows)).value
    return "nan" if value is None else f"{value:.3f}"


def _auroc_of_sight(rows: Sequence[Result]) -> str:
    """AUROC of the oracle's verdict as a score for the answers that could be read."""
    read = [row for row in rows if row.score.is_parsed]
    seen = [float(row.score.is_correct) for row in oracle_results(read)]
    value = auroc(seen, [row.score.is_correct for row in read]).value
    return "nan" if value is None else f"{value:.3f}"


def _share_right(rows: Sequence[Result]) -> float:
    return sum(row.score.is_correct for row in rows) / len(rows)


def _fixed_row(count: int, rows: Sequence[Result], last: int) -> list[str]:
    seconds = float(mean([row.answer.seconds for row in rows]).value or 0.0)
    cells = [f"{count:.1f}", f"{count / last:.3f}", f"{count:.1f}", f"{seconds:.2f}", "100.0"]
    return [f"fixed {count}", percent(accuracy_of(rows)), *cells, f"{100 - 100 * _share_right(rows):.1f}"]


def _row(name: str, replayed: Replayed, last: int) -> list[str]:
    rows, answered = replayed.results, replayed.answered
    shown = sum(one.spent["frames_shown"] for one in replayed.climbs) / len(rows)
    seconds = float(mean([row.answer.seconds for row in rows]).value or 0.0)
    frames = replayed.num_frames
    cells = [f"{frames:.1f}", f"{frames / last:.3f}", f"{shown:.1f}", f"{seconds:.2f}"]
    risk = f"{100 - 100 * _share_right(answered):.1f}" if answered else "-"
    return [name, percent(accuracy_of(rows)), *cells, f"{100 * len(answered) / len(rows):.1f}", risk]


def _gate_row(name: str, accuracy: float, frames: float, last: int) -> list[str]:
    return [
        name,
        f"{100 * accuracy:.1f}",
        f"{frames:.1f}",
        f"{frames / last:.3f}",
        "",
        "",
        "100.0",
        f"{100 - 100 * accuracy:.1f}",
    ]


if __name__ == "__main__":
    main()
